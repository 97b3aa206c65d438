//! `POST /videos/frames`: videos that a browser cannot play.

mod clients;
mod limits;
mod off;
mod strangers;

use std::path::Path;

use image::RgbImage;
use tempfile::TempDir;

use crate::support::ffmpeg::{MPEG4, blurred, encode, ffmpeg, has_ffmpeg};
use crate::support::likeness::{photos_like, sharpness_like};
use crate::support::rest::{self, Reply};
use crate::support::server::Server;
use crate::support::{glb, until};

/// A video of the sample scene's photos, four per second.
fn walk(name: &str, options: &[&str]) -> Vec<u8> {
    made(name, |file| {
        encode(options, file);
    })
}

/// A video of one photo for six seconds. It takes little, and its 30 frames take 10 MB.
fn still() -> Vec<u8> {
    made("still.mp4", |file| {
        let input = ["-loop", "1", "-framerate", "5", "-i", "000.jpg", "-t", "6"];
        let small = ["-c:v", "mpeg4", "-q:v", "8", "-g", "600"];
        let size = ["-vf", "scale=2880:-2"];
        ffmpeg(&[&input[..], &size, &small].concat(), file);
    })
}

/// The bytes of a file that is made in a folder of its own.
fn made(name: &str, make: impl FnOnce(&Path)) -> Vec<u8> {
    let folder = TempDir::new().expect("writable");
    let file = folder.path().join(name);
    make(&file);
    std::fs::read(file).expect("written")
}

async fn send(server: &Server, query: &str, video: &[u8]) -> Reply {
    let url = format!("{}/videos/frames?{query}", server.base());
    rest::request_with(
        "POST",
        &url,
        &[("Content-Type", "video/mp4")],
        video.to_vec(),
    )
    .await
}

/// The frames of an answer. Checks what comes before each of them.
fn frames(reply: &Reply) -> Vec<RgbImage> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let length = reply.header("content-length").expect("a length");
    assert_eq!(length, reply.body.len().to_string());
    let kind = reply.header("content-type").expect("a type");
    let boundary = kind.strip_prefix("multipart/form-data; boundary=");
    let boundary = boundary.expect("a form");
    let mut rest = &reply.body[..];
    let mut found = Vec::new();
    loop {
        let number = found.len() + 1;
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"images\"; \
             filename=\"frame_{number:05}.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n"
        );
        let Some(part) = rest.strip_prefix(head.as_bytes()) else {
            assert_eq!(rest, format!("--{boundary}--\r\n").as_bytes());
            return found;
        };
        let next = format!("\r\n--{boundary}");
        let end = part
            .windows(next.len())
            .position(|at| at == next.as_bytes());
        let end = end.expect("a boundary");
        let jpeg = image::load_from_memory_with_format(&part[..end], image::ImageFormat::Jpeg);
        found.push(jpeg.expect("a JPEG file").to_rgb8());
        rest = &part[end + 2..];
    }
}

/// The names in the folder for videos.
fn left(server: &Server) -> Vec<String> {
    let folder = server.data_dir().join("videos").read_dir();
    let entries = folder.into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Waits until no file of a video is left.
async fn nothing_is_left(server: &Server) {
    until("the removal of the video", async || {
        left(server).is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn frames_come_in_order_and_are_those_of_the_video() {
    if !has_ffmpeg() {
        return;
    }
    let server = Server::start(&[]).await;
    assert_eq!(server.get("/info").await.json()["inputs"]["videos"], true);
    let video = walk("walk.mp4", &MPEG4);
    let all: Vec<_> = (0..8).collect();
    for (query, expected) in [
        ("count=4", &[0, 2, 4, 6][..]),
        ("count=3", &[0, 3, 5]),
        ("per_second=2", &[0, 2, 4, 6]),
        ("per_second=0.5", &[0]),
        ("", &all),
    ] {
        // The last one has given its place back.
        let reply = send(&server, query, &video).await;
        assert_eq!(photos_like(&frames(&reply)), expected, "{query}");
    }
    nothing_is_left(&server).await;
    let log = server.logged("video_sent").await;
    assert!(log.contains("video_sent"), "{log}");
}

#[tokio::test]
async fn an_answer_can_be_sent_on() {
    if !has_ffmpeg() {
        return;
    }
    let server = Server::start(&[]).await;
    let reply = send(&server, "count=3", &walk("walk.mp4", &MPEG4)).await;
    let kind = reply.header("content-type").expect("a type").to_owned();
    let url = format!("{}/reconstruct?process_res=56", server.base());
    let made = rest::request_with("POST", &url, &[("content-type", &kind)], reply.body).await;
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(glb::read(&made.body).cameras.len(), 3);
}

#[tokio::test]
async fn sharp_frames_are_taken_among_blurred_ones() {
    if !has_ffmpeg() {
        return;
    }
    let server = Server::start(&[]).await;
    let reply = send(&server, "count=4", &made("walk.mkv", blurred)).await;
    let frames = frames(&reply);
    assert_eq!(frames.len(), 4);
    for (frame, view) in frames.iter().zip(photos_like(&frames)) {
        let sharpness = sharpness_like(view, frame);
        assert!(sharpness > 0.7, "photo {view} has {sharpness}");
    }
}

#[tokio::test]
async fn containers_and_codecs_that_browsers_do_not_play() {
    if !has_ffmpeg() {
        return;
    }
    let server = Server::start(&[]).await;
    for (name, options) in [
        ("walk.avi", &MPEG4[..]),
        ("walk.mov", &["-c:v", "mjpeg", "-q:v", "2"]),
        ("walk.mkv", &["-c:v", "ffv1"]),
        ("walk.ts", &["-c:v", "mpeg2video", "-q:v", "2", "-r", "25"]),
    ] {
        let reply = send(&server, "count=2", &walk(name, options)).await;
        assert_eq!(photos_like(&frames(&reply)), [0, 4], "{name}");
    }
}

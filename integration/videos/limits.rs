//! How much a video and its frames may take.

use super::{frames, made, nothing_is_left, send, still, walk};
use crate::support::ffmpeg::{MPEG4, ffmpeg, has_ffmpeg};
use crate::support::raw::{ask, ask_with};
use crate::support::rest::{FORM, form, request_with};
use crate::support::server::Server;
use crate::support::stand_in::StandIn;

/// A video of a test picture.
fn test_picture(size: &str, seconds: u32) -> Vec<u8> {
    let source = format!("testsrc2=size={size}:rate=5:duration={seconds}");
    made("test.mp4", |file| {
        let input = ["-f", "lavfi", "-i", &source];
        ffmpeg(
            &[&input[..], &["-c:v", "mpeg4", "-q:v", "31"]].concat(),
            file,
        );
    })
}

#[tokio::test]
async fn a_large_video_is_refused_before_it_is_sent() {
    let stand_in = StandIn::new();
    let server = stand_in.server(&["--max-video-mb", "1"]).await;
    let line = "POST /videos/frames HTTP/1.1";
    let headers = [
        ("Host", "localhost"),
        ("Content-Length", "1048577"),
        ("Expect", "100-continue"),
        ("Connection", "close"),
    ];
    let mut heard = ask(&server, line, &headers).await;
    assert_eq!(heard.status, 413, "{}", heard.head);
    let body = heard.body().await;
    assert!(
        body.contains("video_too_large") && body.contains("1048576"),
        "{body}"
    );
    // Its length is not announced.
    let headers = [
        ("Host", "localhost"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
    ];
    let chunk = format!("100001\r\n{}\r\n0\r\n\r\n", "x".repeat(0x10_0001));
    let mut heard = ask_with(&server, line, &headers, &chunk).await;
    assert_eq!(heard.status, 413, "{}", heard.head);
    let body = heard.body().await;
    assert!(body.contains("video_too_large"), "{body}");
    nothing_is_left(&server).await;
}

#[tokio::test]
async fn frames_take_no_more_than_they_may() {
    if !has_ffmpeg() {
        return;
    }
    let server = Server::start(&["--max-video-mb", "1"]).await;
    let video = still();
    assert!(video.len() < 1 << 20, "{} bytes", video.len());
    let reply = send(&server, "count=30", &video).await;
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert_eq!(reply.json()["code"], "video_too_large");
    assert!(reply.detail().contains("ask for fewer"), "{}", reply.text());
    nothing_is_left(&server).await;
    let reply = send(&server, "count=2", &video).await;
    assert_eq!(frames(&reply).len(), 2);
}

#[tokio::test]
async fn large_frames_become_smaller_and_others_stay() {
    if !has_ffmpeg() {
        return;
    }
    let server = Server::start(&[]).await;
    for (size, expected) in [("4096x64", (3840, 60)), ("640x360", (640, 360))] {
        let reply = send(&server, "count=1", &test_picture(size, 1)).await;
        assert_eq!(frames(&reply)[0].dimensions(), expected);
    }
    let narrow = Server::start(&["--max-image-pixels", "100000"]).await;
    let reply = send(&narrow, "count=1", &test_picture("640x360", 1)).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert_eq!(reply.json()["code"], "invalid_video");
}

#[tokio::test]
async fn requests_are_checked() {
    if !has_ffmpeg() {
        return;
    }
    let server = Server::start(&["--max-images-limit", "3"]).await;
    for (query, code, word) in [
        ("count=0", "invalid_parameter", "between 1 and 3"),
        ("count=4", "invalid_parameter", "between 1 and 3"),
        ("count=-1", "invalid_parameter", "between 1 and 3"),
        ("count=few", "invalid_parameter", "an integer"),
        ("per_second=0", "invalid_parameter", "and 60"),
        ("per_second=61", "invalid_parameter", "and 60"),
        ("per_second=NaN", "invalid_parameter", "and 60"),
        ("count=2&per_second=2", "invalid_parameter", "choose one"),
        ("counts=2", "unknown_parameter", "count?"),
    ] {
        let reply = send(&server, query, b"video").await;
        assert_eq!(reply.status, 422, "{query}: {}", reply.text());
        assert_eq!(reply.json()["code"], code, "{query}");
        assert!(reply.detail().contains(word), "{}", reply.detail());
    }
    let url = format!("{}/videos/frames", server.base());
    let body = form(&[("file", Some("walk.mp4"), b"video")]);
    let reply = request_with("POST", &url, &[("Content-Type", FORM)], body).await;
    assert_eq!(reply.status, 415, "{}", reply.text());
    assert_eq!(reply.json()["code"], "unsupported_media_type");
    // A long video has fewer frames in each second, and the default is no more than may be.
    let video = walk("walk.mp4", &MPEG4);
    for query in ["per_second=60", ""] {
        let reply = send(&server, query, &video).await;
        assert_eq!(frames(&reply).len(), 3, "{query}");
    }
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_takes_no_videos() {
    let stand_in = StandIn::new();
    let server = stand_in.server(&["--min-free-disk-mb", "1000000000"]).await;
    let reply = send(&server, "", b"video").await;
    assert_eq!(reply.status, 507, "{}", reply.text());
    assert_eq!(reply.json()["code"], "disk_full");
    nothing_is_left(&server).await;
}

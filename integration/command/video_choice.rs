//! Which frames of a video are taken, and how many.

use super::video::{frames, images};
use super::{Desk, succeeded};
use crate::support::ffmpeg::{MPEG4, blurred, encode, has_ffmpeg};
use crate::support::likeness::{photos_like, sharpness_like};
use std::path::Path;

#[tokio::test]
async fn sharp_frames_are_taken_among_blurred_ones() {
    if !has_ffmpeg() {
        return;
    }
    let desk = Desk::new();
    blurred(&desk.path("walk.mkv"));
    for count in ["4", "2"] {
        let file = "scene.original.nerfstudio.zip";
        let arguments = ["--num-frames", count, "--force", "-o", file, "walk.mkv"];
        succeeded(&desk.run(&arguments).await);
        let images = images(&desk.path(file));
        assert_eq!(images.len().to_string(), count);
        for (image, view) in images.iter().zip(photos_like(&images)) {
            let sharpness = sharpness_like(view, image);
            assert!(sharpness > 0.7, "photo {view} has {sharpness}");
        }
    }
}

#[tokio::test]
async fn frames_of_each_second() {
    if !has_ffmpeg() {
        return;
    }
    let desk = Desk::new();
    encode(&MPEG4, &desk.path("walk.mp4"));
    let taken = async |rate: &str, file| frames(&desk, &["--frames-per-second", rate], file).await;
    assert_eq!(taken("2", "walk.mp4").await, [0, 2, 4, 6]);
    assert_eq!(taken("0.4", "walk.mp4").await, [0]);
    let all: Vec<_> = (0..8).collect();
    assert_eq!(taken("60", "walk.mp4").await, all);
    // It does not know its duration.
    let vp8 = ["-c:v", "libvpx", "-b:v", "2M", "-f", "webm"];
    let recording = encode(&vp8, Path::new("pipe:1"));
    std::fs::write(desk.path("recording.webm"), recording).expect("writable");
    assert_eq!(taken("2", "recording.webm").await, [0, 2, 4, 6]);
}

#[tokio::test]
async fn numbers_of_frames_are_checked() {
    let desk = Desk::new();
    for (arguments, words) in [
        (&["--frames-per-second", "0"][..], "at most 60"),
        (&["--frames-per-second", "61"], "at most 60"),
        (&["--num-frames", "5001"], "5000"),
        (
            &["--num-frames", "5", "--frames-per-second", "2"],
            "cannot be used with",
        ),
    ] {
        let output = desk.run(&[arguments, &["walk.mp4"]].concat()).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

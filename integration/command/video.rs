//! Videos, encoded by ffmpeg from the sample scene's photos and read by ffmpeg.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use image::RgbImage;
use serde_json::Value;

use super::{Desk, names, succeeded};
use crate::support::ffmpeg::{MPEG4, encode, ffmpeg, has_ffmpeg};
use crate::support::likeness::photos_like;
use crate::support::scene::Scene;
use crate::support::within;

/// The images of a result.
pub(super) fn images(file: &Path) -> Vec<RgbImage> {
    let mut archive = zip::ZipArchive::new(File::open(file).expect("written")).expect("a zip file");
    let mut read = |name: &str| {
        let mut bytes = Vec::new();
        let mut entry = archive.by_name(name).expect("it is there");
        entry.read_to_end(&mut bytes).expect("it is whole");
        bytes
    };
    let transforms: Value = serde_json::from_slice(&read("transforms.json")).expect("JSON");
    let frames = transforms["frames"].as_array().expect("a list");
    let image = |frame: &Value| {
        let bytes = read(frame["file_path"].as_str().expect("a path"));
        image::load_from_memory(&bytes).expect("an image").to_rgb8()
    };
    frames.iter().map(image).collect()
}

/// Reconstructs a video; returns the indices of the photos used.
pub(super) async fn frames(desk: &Desk, options: &[&str], video: &str) -> Vec<usize> {
    let arguments = [
        options,
        &["--force", "-o", "scene.nerfstudio.zip", "--", video],
    ]
    .concat();
    succeeded(&desk.run(&arguments).await);
    desk.nothing_is_left();
    photos_like(&images(&desk.path("scene.nerfstudio.zip")))
}

#[tokio::test]
async fn frames_are_spread_evenly_and_none_is_taken_twice() {
    if !has_ffmpeg() {
        return;
    }
    let desk = Desk::new();
    encode(&MPEG4, &desk.path("walk.mp4"));
    let taken = async |count: &str| frames(&desk, &["--num-frames", count], "walk.mp4").await;
    assert_eq!(taken("4").await, [0, 2, 4, 6]);
    assert_eq!(taken("3").await, [0, 3, 5]);
    assert_eq!(taken("1").await, [0]);
    let all: Vec<_> = (0..8).collect();
    assert_eq!(taken("8").await, all);
    assert_eq!(frames(&desk, &[], "walk.mp4").await, all, "there are no 20");
}

#[tokio::test]
async fn a_recording_of_a_browser_does_not_know_its_duration() {
    if !has_ffmpeg() {
        return;
    }
    let desk = Desk::new();
    // Without seeking in its output, the muxer cannot write the duration into the header.
    let vp8 = ["-c:v", "libvpx", "-b:v", "2M", "-f", "webm"];
    let recording = encode(&vp8, Path::new("pipe:1"));
    std::fs::write(desk.path("recording.webm"), recording).expect("writable");
    let probe = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration"])
        .args(["-of", "csv=p=0"])
        .arg(desk.path("recording.webm"))
        .output();
    let duration = probe.expect("ffprobe starts").stdout;
    assert_eq!(String::from_utf8_lossy(&duration).trim(), "N/A");
    let taken = frames(&desk, &["--num-frames", "4"], "recording.webm").await;
    assert_eq!(taken, [0, 2, 4, 6]);
}

#[tokio::test]
async fn frames_without_times_are_counted() {
    if !has_ffmpeg() {
        return;
    }
    let desk = Desk::new();
    encode(
        &[&MPEG4[..], &["-f", "m4v"]].concat(),
        &desk.path("stream.m4v"),
    );
    let taken = frames(&desk, &["--num-frames", "2"], "stream.m4v").await;
    assert_eq!(taken, [0, 4]);
}

/// A cut without re-encoding keeps earlier packets and hides their frames with an edit list.
#[tokio::test]
async fn hidden_frames_of_a_cut_are_not_counted() {
    if !has_ffmpeg() {
        return;
    }
    let desk = Desk::new();
    // Frames that depend on all earlier frames.
    encode(
        &[&MPEG4[..], &["-g", "100"]].concat(),
        &desk.path("walk.mp4"),
    );
    let walk = desk.path("walk.mp4");
    let walk = walk.to_str().expect("a plain name");
    let cut = ["-ss", "1", "-i", walk, "-c", "copy"];
    ffmpeg(&cut, &desk.path("cut.mp4"));
    let probe = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets"])
        .args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"])
        .arg(desk.path("cut.mp4"))
        .output();
    let packets = probe.expect("ffprobe starts").stdout;
    assert_eq!(String::from_utf8_lossy(&packets).trim(), "8");
    let taken = async |count: &str| frames(&desk, &["--num-frames", count], "cut.mp4").await;
    assert_eq!(taken("2").await, [4, 6]);
    assert_eq!(taken("4").await, [4, 5, 6, 7]);
}

/// ffmpeg could interpret such names as options, URLs or patterns.
#[tokio::test]
async fn any_name_of_a_file_or_folder_will_do() {
    if !has_ffmpeg() {
        return;
    }
    let desk = Desk::new();
    let videos = ["-x.mp4", "12:30.mp4", "50%d.mp4", "concat:a|b.mp4"];
    for video in videos {
        let mut file = std::ffi::OsString::from("file:");
        file.push(desk.path(video));
        encode(&MPEG4, Path::new(&file));
    }
    let temporary = desk.path("%d of 100%");
    std::fs::create_dir(&temporary).expect("writable");
    for video in videos {
        let arguments = [
            "--num-frames",
            "2",
            "--force",
            "-o",
            "scene.nerfstudio.zip",
            "--",
            video,
        ];
        let mut command = desk.command("flat", &arguments);
        command.env("TMPDIR", &temporary);
        let output = within("the program's end", command.output()).await;
        succeeded(&output.expect("the program starts"));
        assert_eq!(
            photos_like(&images(&desk.path("scene.nerfstudio.zip"))),
            [0, 4],
            "{video}"
        );
        assert_eq!(names(&temporary), Vec::<String>::new());
    }
}

#[tokio::test]
async fn videos_and_photos_go_together() {
    if !has_ffmpeg() {
        return;
    }
    let desk = Desk::new();
    encode(&MPEG4, &desk.path("b.mp4"));
    for (name, view) in [("a.jpg", 7), ("c.jpg", 1)] {
        std::fs::write(desk.path(name), Scene::load().photo(view)).expect("writable");
    }
    let inputs = ["--num-frames", "2", "a.jpg", "b.mp4", "c.jpg"];
    let arguments = [&["-o", "scene.nerfstudio.zip"], &inputs[..]].concat();
    succeeded(&desk.run(&arguments).await);
    let images = images(&desk.path("scene.nerfstudio.zip"));
    assert_eq!(photos_like(&images), [7, 0, 4, 1]);
}

#[tokio::test]
async fn what_ffmpeg_cannot_read_is_said() {
    if !has_ffmpeg() {
        return;
    }
    let desk = Desk::new();
    // An MP4 whose index is at its end, which the truncation removes.
    encode(&MPEG4, &desk.path("whole.mp4"));
    let whole = std::fs::read(desk.path("whole.mp4")).expect("written");
    std::fs::write(desk.path("cut.mp4"), &whole[..whole.len() / 2]).expect("writable");
    let words = "words of a note, which ffmpeg would draw\n".repeat(100);
    std::fs::write(desk.path("notes.txt"), words).expect("writable");
    let sound = ["-f", "lavfi", "-i", "sine=duration=1"];
    ffmpeg(&sound, &desk.path("sound.wav"));
    let cases = [
        ("cut.mp4", "moov atom not found"),
        ("notes.txt", "it is text"),
        ("sound.wav", "it has no frames"),
    ];
    for (file, reason) in cases {
        let said = desk.refusal(&[file]).await;
        assert!(said.contains(file) && said.contains(reason), "{said}");
        assert!(said.contains("no JPEG, PNG, WebP or HEIC image"), "{said}");
    }
}

//! Videos whose frames are not sRGB with square pixels.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use image::RgbImage;

use super::{Desk, succeeded};
use crate::support::ffmpeg::{ffmpeg, has_ffmpeg};
use crate::support::within;

/// How the sample scene becomes a video of each kind. White becomes 203 cd/m².
const SDR: &str = "scale=252:-2,setsar=1,format=yuv420p";
const TO_LINEAR: &str = "scale=252:-2:out_range=limited,format=yuv444p,setsar=1,\
     setparams=range=limited:color_primaries=bt709:color_trc=iec61966-2-1:colorspace=bt470bg,\
     zscale=transfer=linear:npl=203,format=gbrpf32le";

fn hdr(transfer: &str) -> String {
    format!(
        "{TO_LINEAR},zscale=transfer={transfer}:primaries=2020:matrix=2020_ncl:range=limited:npl=203,\
         format=yuv420p10le"
    )
}

/// Whether ffmpeg can make HDR videos and read them. Debian's can.
fn has_zscale() -> bool {
    let list = Command::new("ffmpeg")
        .args(["-v", "error", "-filters"])
        .output();
    let list = list.expect("ffmpeg starts").stdout;
    String::from_utf8_lossy(&list).contains(" zscale ")
}

/// Encodes a lossless video of the sample scene's photos.
fn encode(filters: &str, tags: &[&str], file: &Path) {
    let input = ["-framerate", "4", "-i", "%03d.jpg", "-vf", filters];
    let ffv1 = ["-c:v", "ffv1"];
    ffmpeg(&[&input[..], &ffv1, tags].concat(), file);
}

/// The frames that the program takes of a video, as the model sees them.
async fn frames(desk: &Desk, video: &str) -> Vec<RgbImage> {
    let arguments = [
        "--num-frames",
        "2",
        "--force",
        "-o",
        "a.nerfstudio.zip",
        video,
    ];
    succeeded(&desk.run(&arguments).await);
    desk.nothing_is_left();
    let file = File::open(desk.path("a.nerfstudio.zip")).expect("written");
    let mut archive = zip::ZipArchive::new(file).expect("a zip file");
    let names: Vec<_> = archive.file_names().map(str::to_owned).collect();
    let images = names.iter().filter(|name| name.ends_with(".png"));
    let images = images.map(|name| {
        let mut bytes = Vec::new();
        let mut entry = archive.by_name(name).expect("there");
        entry.read_to_end(&mut bytes).expect("whole");
        image::load_from_memory(&bytes).expect("an image").to_rgb8()
    });
    images.collect()
}

/// Mean absolute difference of all channels.
fn difference(one: &[RgbImage], other: &[RgbImage]) -> f64 {
    assert_eq!(one.len(), other.len());
    let (mut sum, mut count) = (0.0, 0.0);
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one.dimensions(), other.dimensions());
        for (a, b) in one.iter().zip(other.iter()) {
            sum += f64::from(a.abs_diff(*b));
            count += 1.0;
        }
    }
    sum / count
}

#[tokio::test]
async fn hdr_videos_have_the_colours_of_an_sdr_copy() {
    if !has_ffmpeg() || !has_zscale() {
        return;
    }
    let desk = Desk::new();
    encode(SDR, &[], &desk.path("sdr.mkv"));
    let expected = frames(&desk, "sdr.mkv").await;
    for transfer in ["smpte2084", "arib-std-b67"] {
        let tags = [
            "-color_trc",
            transfer,
            "-color_primaries",
            "bt2020",
            "-colorspace",
            "bt2020nc",
        ];
        let video = format!("{transfer}.mkv");
        encode(&hdr(transfer), &tags, &desk.path(&video));
        let found = difference(&frames(&desk, &video).await, &expected);
        // The same frames taken as SDR: only the transfer function is not told.
        let untold = format!("{transfer}-untold.mkv");
        let filters = format!("{},setparams=color_trc=bt709", hdr(transfer));
        encode(&filters, &["-color_trc", "bt709"], &desk.path(&untold));
        let flat = difference(&frames(&desk, &untold).await, &expected);
        assert!(
            found < 8.0 && found < flat / 2.0,
            "{transfer}: {found}, as SDR {flat}"
        );
    }
}

#[tokio::test]
async fn an_ffmpeg_that_cannot_convert_hdr_is_told() {
    if !has_ffmpeg() || !has_zscale() {
        return;
    }
    let desk = Desk::new();
    let tags = [
        "-color_trc",
        "smpte2084",
        "-color_primaries",
        "bt2020",
        "-colorspace",
        "bt2020nc",
    ];
    encode(&hdr("smpte2084"), &tags, &desk.path("pq.mkv"));
    // The installed one, without a filter in its list.
    let found = Command::new("sh")
        .args(["-c", "command -v ffmpeg"])
        .output();
    let found = String::from_utf8(found.expect("a shell").stdout).expect("a path");
    let script = format!("#!/bin/sh\n{0} \"$@\" | grep -v ' zscale '\n", found.trim());
    let program = desk.path("tmp").with_file_name("ffmpeg");
    std::fs::write(&program, script).expect("writable");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("ours");
    let mut command = desk.command("flat", &["pq.mkv"]);
    let path = std::env::var("PATH").expect("there is one");
    command.env("PATH", format!("{}:{path}", desk.folder.path().display()));
    let output = within("the program's end", command.output()).await;
    let output = output.expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in [
        "pq.mkv is an HDR video (PQ)",
        "the filters zscale;",
        "install an ffmpeg",
    ] {
        assert!(said.contains(words), "{words:?} is missing in {said:?}");
    }
    desk.nothing_is_left();
}

#[tokio::test]
async fn pixels_that_are_not_square_become_square() {
    if !has_ffmpeg() {
        return;
    }
    let desk = Desk::new();
    encode("scale=240:180,setsar=1", &[], &desk.path("square.mkv"));
    let expected = frames(&desk, "square.mkv").await;
    for (video, filters) in [
        ("wide.mkv", "scale=240:180,scale=180:180,setsar=4/3"),
        ("high.mkv", "scale=240:180,scale=240:90,setsar=1/2"),
        ("untold.mkv", "scale=240:180,setsar=0"),
        // A mistake: nothing has such pixels.
        ("absurd.mkv", "scale=240:180,scale=60:180,setsar=1000"),
    ] {
        encode(filters, &[], &desk.path(video));
        let found = frames(&desk, video).await;
        assert!(difference(&found, &expected) < 12.0, "{video}");
    }
}

//! Files that cannot be used, folders, and where the result and the report go.

use serde_json::Value;

use super::{Desk, names, succeeded};
use crate::cutouts::cutout;
use crate::support::glb;
use crate::support::pictures::{colored_image, photo};

/// ffmpeg takes such a photo for a video.
const AVIF: &[u8] = b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf\0\0\0\x08meta";
/// A phone's photo, of 150x101 pixels in tiles of 64x64.
const HEIC: &[u8] = include_bytes!("../../reconstruction/tests/golden/heic/grid.heic");
const ISOM: &[u8] = b"\0\0\0\x14ftypisom\0\0\0\0";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A desk with three photos in a folder.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.photos("photos", 3);
    desk
}

fn write(desk: &Desk, name: &str, content: &[u8]) {
    std::fs::write(desk.path(name), content).expect("writable");
}

#[tokio::test]
async fn bad_files_among_others_are_skipped_and_named() {
    let desk = desk();
    write(&desk, "photos/cut.png", &photo(1)[..100]);
    write(&desk, "IMG_1.HEIC", &HEIC[..9000]);
    write(&desk, "walk.mp4", ISOM);
    std::fs::create_dir(desk.path("empty")).expect("writable");
    let inputs = ["photos", "IMG_1.HEIC", "walk.mp4", "empty"];
    let output = desk.run(&inputs).await;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(text(&output.stdout).contains(" points of 3 photos, "));
    let skipped: Vec<_> = said
        .lines()
        .filter(|line| line.ends_with("; it is skipped"))
        .collect();
    assert_eq!(skipped.len(), 4, "{said}");
    for words in [
        "warning: photos/cut.png: The PNG file is truncated",
        "warning: IMG_1.HEIC: The HEIC file is truncated",
        "warning: walk.mp4 is no JPEG, PNG, WebP or HEIC image",
        "warning: there are no photos (JPEG, PNG, WebP or HEIC) in the folder empty",
    ] {
        assert!(
            skipped.iter().any(|line| line.starts_with(words)),
            "{words}: {said}"
        );
    }
    desk.nothing_is_left();

    for input in inputs {
        let arguments = ["--strict", "-o", "strict.glb", "photos/0.png", input];
        let said = desk.refusal(&arguments).await;
        assert!(said.contains(input) && !said.contains("skipped"), "{said}");
    }
    assert_eq!(names(&desk.path("photos")).len(), 4, "nothing is removed");
    assert!(!desk.path("strict.glb").exists());
}

#[tokio::test]
async fn still_pictures_are_never_read_as_videos() {
    let desk = desk();
    for (name, content, kind) in [
        ("a.avif", AVIF, "AVIF"),
        ("b.mov", AVIF, "AVIF"),
        ("c.heic", AVIF, "AVIF"),
        ("d.gif", b"GIF89a\x01\0\x01\0", "GIF"),
        ("e.tiff", b"II*\0\x08\0\0\0", "TIFF"),
        ("f.dng", b"MM\0*\0\0\0\x08", "TIFF"),
    ] {
        write(&desk, name, content);
        let said = desk.refusal(&[name]).await;
        let expected = format!("{name} is {kind}, which is not read; export it as JPEG");
        assert!(said.contains(&expected), "{said}");
    }
}

#[tokio::test]
async fn photos_of_phones_are_read_as_they_are() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("phone")).expect("writable");
    for name in ["phone/IMG_1.HEIC", "phone/IMG_2.HEIC", "IMG_3.mov"] {
        write(&desk, name, HEIC);
    }
    let output = desk.run(&["phone", "IMG_3.mov", "--json"]).await;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let frames = report["metadata"]["frames"].as_array().expect("a list");
    assert_eq!(frames.len(), 3, "{report}");
    assert_eq!(report["skipped"], serde_json::json!([]));
}

#[tokio::test]
async fn a_folder_gives_photos_by_their_content() {
    let desk = desk();
    let folder = |name: &str| std::fs::create_dir(desk.path(name)).expect("writable");
    folder("photos/more");
    write(&desk, "photos/scan", &photo(3));
    write(&desk, "photos/notes.jpg", b"words");
    write(&desk, "photos/more/0.png", &photo(4));
    let output = desk.run(&["photos"]).await;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(
        said,
        "note: photos/more is left out: it is a folder; --recursive looks into it\n\
         note: photos/notes.jpg is left out: it is no photo\n"
    );
    assert!(text(&output.stdout).contains(" points of 4 photos, "));

    for number in 0..20 {
        write(&desk, &format!("photos/more/{number}.txt"), b"words");
    }
    let output = desk
        .run(&["--recursive", "--json", "--force", "photos"])
        .await;
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 11, "{said}");
    assert!(
        said.ends_with("note: 11 more are left out; --json lists all\n"),
        "{said}"
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["left_out"].as_array().expect("a list").len(), 21);
    let frames = report["metadata"]["frames"].as_array().expect("a list");
    assert_eq!(frames.len(), 5);
    assert!(frames.contains(&"more/0.png".into()), "{frames:?}");
}

#[tokio::test]
async fn the_report_is_json() {
    let desk = desk();
    write(&desk, "cut.png", &photo(1)[..100]);
    let output = desk.run(&["photos", "cut.png", "--json"]).await;
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let bytes = std::fs::metadata(desk.path("scene.glb"))
        .expect("written")
        .len();
    assert_eq!(report["output"], "scene.glb");
    assert_eq!(
        (&report["format"], &report["bytes"]),
        (&"glb".into(), &bytes.into())
    );
    assert_eq!(report["error"], Value::Null);
    assert_eq!(report["metadata"]["quality"]["verdict"], "good");
    let paths: Vec<_> = report["photos"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    assert_eq!(paths.len(), 3);
    assert_eq!(
        *paths[2],
        serde_json::json!({"path": "photos/2.png", "name": "2.png"})
    );
    assert_eq!(report["skipped"][0]["path"], "cut.png");
    let reason = report["skipped"][0]["reason"].as_str().expect("text");
    assert!(reason.contains("truncated"), "{reason}");

    let output = desk.run(&["photos", "--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["error"]["exit_code"], 1);
    let message = report["error"]["message"].as_str().expect("text");
    assert!(message.contains("scene.glb exists already"), "{message}");
    assert_eq!(report["metadata"], Value::Null);
}

#[tokio::test]
async fn the_result_goes_to_stdout_on_request() {
    let desk = desk();
    let file = {
        succeeded(&desk.run(&["photos", "-o", "a.ply"]).await);
        std::fs::read(desk.path("a.ply")).expect("written")
    };
    let output = desk.run(&["photos", "-o", "-", "--format", "ply"]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == file);
    let said = text(&output.stderr);
    assert!(
        said.starts_with("-: ") && said.contains(" points of 3 photos"),
        "{said}"
    );
    let arguments = ["photos", "-o", "-", "--format", "ply", "--json"];
    let output = desk.run(&arguments).await;
    assert!(output.stdout == file);
    let report: Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(report["output"], "-");
    let said = desk.refusal(&["photos", "-o", "-"]).await;
    assert!(said.contains("--format"), "{said}");
    assert_eq!(names(desk.folder.path()), ["a.ply", "photos", "tmp"]);
}

#[tokio::test]
async fn a_file_that_is_there_is_replaced_only_on_request() {
    let desk = desk();
    write(&desk, "scene.glb", b"old");
    let said = desk.refusal(&["photos"]).await;
    assert!(
        said.contains("scene.glb exists already; --force replaces it"),
        "{said}"
    );
    assert_eq!(std::fs::read(desk.path("scene.glb")).expect("kept"), b"old");
    succeeded(&desk.run(&["photos", "--force"]).await);
    let replaced = std::fs::read(desk.path("scene.glb")).expect("there");
    assert!(!glb::read(&replaced).points.is_empty());
}

#[tokio::test]
async fn transparent_pixels_are_no_points() {
    let desk = Desk::new();
    let mut files = Vec::new();
    for secret in [[255, 0, 255], [0, 255, 0]] {
        std::fs::create_dir_all(desk.path("cutouts")).expect("writable");
        for number in 0..3 {
            let picture = colored_image(100, 75, [20 * number, 60, 40]);
            write(
                &desk,
                &format!("cutouts/{number}.png"),
                &cutout(&picture, secret),
            );
        }
        succeeded(&desk.run(&["cutouts", "--force", "-o", "a.ply"]).await);
        files.push(std::fs::read(desk.path("a.ply")).expect("written"));
    }
    assert!(files[0] == files[1], "the points tell the hidden colour");
    succeeded(&desk.run(&["cutouts"]).await);
    let contents = glb::read(&std::fs::read(desk.path("scene.glb")).expect("written"));
    assert!(!contents.points.is_empty());
    let is_seen = |colour: &&[u8; 3]| colour[1] < 100 && colour[2] < 100;
    assert_eq!(
        contents.colours.iter().filter(is_seen).count(),
        contents.points.len()
    );
}

//! `pointstream reconstruct`: a reconstruction from the command line.

mod files;
mod terminal;
mod video;
mod video_choice;
mod video_colours;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::archives::archive;
use crate::support::pictures::{black, photo, plain, sized};
use crate::support::scene::Scene;
use crate::support::{glb, until, within};

/// The working folder of a run, with a folder for its temporary files.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().expect("writable");
        std::fs::create_dir(folder.path().join("tmp")).expect("writable");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Creates a folder with `count` small photos.
    fn photos(&self, name: &str, count: u32) -> PathBuf {
        let folder = self.path(name);
        std::fs::create_dir(&folder).expect("writable");
        for number in 0..count {
            std::fs::write(folder.join(format!("{number}.png")), photo(number)).expect("writable");
        }
        folder
    }

    fn command(&self, model: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointstream"));
        // Ignore the environment of the test run.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POINTSTREAM_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(self.folder.path())
            .env("TMPDIR", self.path("tmp"))
            .args(["reconstruct", "--device", "cpu", "--model"])
            .arg(archive(model))
            .args(["--process-res", "56"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command("flat", arguments);
        within("the program's end", command.output())
            .await
            .expect("the program starts")
    }

    /// Runs a command that must fail; returns its error message.
    async fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(output.stdout, b"", "{said}");
        self.nothing_is_left();
        said
    }

    fn nothing_is_left(&self) {
        assert_eq!(names(&self.path("tmp")), Vec::<String>::new());
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().expect("readable");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("readable").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn succeeded(output: &Output) -> String {
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    assert_eq!(complaints, "", "stderr must be empty");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_folder_becomes_a_scene() {
    let desk = Desk::new();
    let scene = Scene::load();
    let folder = scene.path(0).parent().expect("a folder").to_owned();
    let folder = folder.to_str().expect("a plain name");
    let output = desk.run(&[folder]).await;
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{notes}");
    let is_note = |line: &str| line.starts_with("note: ") && line.ends_with("it is no photo");
    assert!(notes.lines().all(is_note), "{notes}");
    assert!(notes.contains("cameras.json"), "{notes}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("scene.glb: "), "{said}");
    let contents = glb::read(&std::fs::read(desk.path("scene.glb")).expect("written"));
    assert_eq!(contents.cameras.len(), scene.names.len());
    assert!(said.contains(&format!("{} points", contents.points.len())));
    assert!(said.contains(&format!("{} photos", scene.names.len())));
    desk.nothing_is_left();
    assert_eq!(names(desk.folder.path()), ["scene.glb", "tmp"]);
}

#[tokio::test]
async fn the_files_name_tells_the_format_and_parameters_are_those_of_a_session() {
    let desk = Desk::new();
    let folder = desk.photos("photos", 3);
    for hidden in ["._0.png", ".DS_Store"] {
        std::fs::write(folder.join(hidden), b"\0\x05\x16\x07").expect("writable");
    }
    let run = async |arguments: &[&str]| {
        succeeded(&desk.run(arguments).await);
        let at = arguments.iter().position(|argument| *argument == "-o");
        std::fs::read(desk.path(arguments[at.expect("given") + 1])).expect("written")
    };
    let ply = run(&["photos", "-o", "a.ply", "--num-max-points", "100"]).await;
    assert!(ply.starts_with(b"ply\n"));
    let head = String::from_utf8_lossy(&ply[..ply.len().min(400)]);
    assert!(head.contains("element vertex 100\n"), "{head}");
    let zip = run(&["photos", "-o", "a.colmap.zip"]).await;
    assert!(zip.starts_with(b"PK"));
    std::fs::write(desk.path("scene.bin"), b"old").expect("writable");
    let arguments = ["photos/0.png", "photos/2.png", "--force", "-o", "scene.bin"];
    let glb = run(&[&arguments[..], &["--format", "glb", "--no-cameras"]].concat()).await;
    let contents = glb::read(&glb);
    assert!(!contents.points.is_empty());
    assert_eq!(contents.cameras.len(), 2);
    assert_eq!(contents.line_ends, 0);
}

#[tokio::test]
async fn what_cannot_work_is_said_in_a_sentence() {
    let desk = Desk::new();
    desk.photos("photos", 2);
    std::fs::create_dir(desk.path("empty")).expect("writable");
    std::fs::write(desk.path("empty/notes.txt"), b"words").expect("writable");
    std::fs::write(desk.path("cut.png"), &photo(1)[..100]).expect("writable");
    let cases: &[(&[&str], &[&str])] = &[
        (&["missing"], &["missing", "No such file"]),
        (&["photos", "missing.jpg"], &["missing.jpg"]),
        (&["empty"], &["empty", "JPEG, PNG, WebP or HEIC"]),
        (&["cut.png"], &["cut.png", "truncated"]),
        (
            &["photos", "cut.png", "--strict"],
            &["cut.png", "truncated"],
        ),
        (&["empty", "cut.png"], &["empty", "cut.png", "truncated"]),
        (&["cut.png", "cut.png"], &["cut.png", "none of the photos"]),
        (&["photos", "-o", "a.stl"], &["a.stl", ".glb", "--format"]),
        (&["photos", "-o", "nowhere/a.glb"], &["nowhere/a.glb"]),
        (&["photos", "-o", "empty", "--format", "glb"], &["empty"]),
        (
            &["photos", "--conf-thresh-percentile", "101"],
            &["conf_thresh_percentile", "between 0 and 100"],
        ),
        (
            &["photos", "--glb-compression", "squash"],
            &["glb_compression", "meshopt"],
        ),
        (
            &["photos", "--process-res-method", "stretch"],
            &["process_res_method", "upper_bound_resize"],
        ),
    ];
    for (arguments, words) in cases {
        let said = desk.refusal(arguments).await;
        assert!(said.contains("error: "), "{said}");
        for word in *words {
            assert!(said.contains(word), "{word:?} is missing in {said:?}");
        }
    }
    assert_eq!(
        names(desk.folder.path()),
        ["cut.png", "empty", "photos", "tmp"]
    );
    let output = desk.run(&[]).await;
    assert_eq!(output.status.code(), Some(2), "photos are required");
}

#[tokio::test]
async fn doubts_about_the_result_are_told() {
    let desk = Desk::new();
    desk.photos("photos", 3);
    std::fs::write(desk.path("photos/3.png"), black()).expect("writable");
    std::fs::write(desk.path("photos/4.png"), photo(0)).expect("writable");
    std::fs::write(desk.path("photos/5.png"), sized(1120, 280)).expect("writable");
    let output = desk.run(&["photos"]).await;
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains(" points of 5 photos, quality partial, "),
        "{said}"
    );
    let complaints = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = complaints.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "quality: partial (too_dark, duplicates, odd_shape)",
            "warning: 3.png is doubtful: too_dark",
            "warning: 4.png is a copy of an earlier photo: duplicates",
            "warning: 5.png is left out: odd_shape",
        ]
    );
    assert_eq!(lines.len(), 7, "{complaints}");
    assert!(lines[4..].iter().all(|line| line.starts_with("advice: ")));
    assert!(desk.path("scene.glb").is_file());
    desk.nothing_is_left();
}

#[tokio::test]
async fn a_result_without_points_is_a_failure_and_is_not_written() {
    let desk = Desk::new();
    desk.photos("photos", 0);
    for name in ["0.png", "1.png"] {
        let blue = plain([0, 0, if name == "0.png" { 200 } else { 210 }]);
        std::fs::write(desk.path("photos").join(name), blue).expect("writable");
    }
    std::fs::write(desk.path("old.glb"), b"old").expect("writable");
    for name in ["old.glb", "new.ply"] {
        let mut command = desk.command("reporting", &["photos", "--force", "-o", name]);
        let output = within("the program's end", command.output()).await;
        let output = output.expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert_eq!(output.stdout, b"", "{said}");
        assert!(said.starts_with("quality: failed ("), "{said}");
        for words in [
            "rotation_only",
            "warning: 1.png is left out",
            "advice: the camera turned",
            &format!("error: these photos give no point cloud; {name} is not written"),
        ] {
            assert!(said.contains(words), "{words:?} is missing in {said:?}");
        }
    }
    assert_eq!(std::fs::read(desk.path("old.glb")).expect("kept"), b"old");
    assert_eq!(names(desk.folder.path()), ["old.glb", "photos", "tmp"]);
    desk.nothing_is_left();
}

#[tokio::test]
async fn a_video_needs_ffmpeg() {
    let desk = Desk::new();
    std::fs::write(desk.path("walk.mp4"), b"\0\0\0\x20ftypisom").expect("writable");
    let mut command = desk.command("flat", &["walk.mp4"]);
    command.env("PATH", desk.path("tmp"));
    let output = within("the program's end", command.output())
        .await
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("walk.mp4") && said.contains("install ffmpeg"),
        "{said}"
    );
    desk.nothing_is_left();
}

#[tokio::test]
async fn an_interrupted_run_leaves_nothing() {
    let desk = Desk::new();
    desk.photos("photos", 6);
    let mut command = desk.command("slow", &["photos"]);
    let mut process = command.spawn().expect("the program starts");
    until("the last photo", async || {
        let mut folders = vec![desk.path("tmp")];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().into_iter().flatten().flatten() {
                if entry.file_name() == "6.rgb" {
                    return Some(());
                }
                folders.push(entry.path());
            }
        }
        None
    })
    .await;
    interrupt(&mut process).await;
    desk.nothing_is_left();
    assert_eq!(names(desk.folder.path()), ["photos", "tmp"]);
}

#[tokio::test]
async fn an_interrupted_run_ends_ffmpeg() {
    let desk = Desk::new();
    std::fs::write(desk.path("walk.mp4"), b"\0\0\0\x20ftypisom").expect("writable");
    // A stand-in that never ends, and writes its process id to a file.
    let program = desk.path("ffprobe");
    let script = "#!/bin/sh\necho $$ > written\nmv written id\nexec sleep 600\n";
    std::fs::write(&program, script).expect("writable");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("ours");
    let mut command = desk.command("flat", &["walk.mp4"]);
    let path = format!("{}:/usr/bin:/bin", desk.folder.path().display());
    command.env("PATH", path);
    let mut process = command.spawn().expect("the program starts");
    let id = until("the start of ffprobe", async || {
        std::fs::read_to_string(desk.path("id")).ok()
    })
    .await;
    interrupt(&mut process).await;
    desk.nothing_is_left();
    let command_line = format!("/proc/{}/cmdline", id.trim());
    until("the end of ffprobe", async || {
        // Empty: the process has ended but has not been waited for.
        let left = std::fs::read(&command_line).unwrap_or_default();
        left.is_empty().then_some(())
    })
    .await;
}

/// Sends SIGINT, as Ctrl-C does, and waits for the process to end.
async fn interrupt(process: &mut Child) {
    let id = process.id().expect("it runs");
    let id = libc::pid_t::try_from(id).expect("a process id");
    // SAFETY: `kill` takes no pointers; the process is our child and has not been waited for.
    assert_eq!(unsafe { libc::kill(id, libc::SIGINT) }, 0);
    let status = within("the program's end", process.wait()).await;
    assert_eq!(status.expect("it ends").code(), Some(130));
}

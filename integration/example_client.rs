//! The example client `examples/websocket_client.py`.

use std::path::Path;
use std::process::Output;

use image::RgbImage;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::archives::repository;
use crate::support::client::Client;
use crate::support::glb;
use crate::support::pictures::{at, png};
use crate::support::proxy::Proxy;
use crate::support::python;
use crate::support::relay::Relay;
use crate::support::scene::Scene;
use crate::support::server::Server;
use crate::support::tokens::Tokens;
use crate::support::{until, within};

/// Runs the client with its own output folder.
async fn run(server: &Server, folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(python::interpreter())
        .arg(repository().join("examples/websocket_client.py"))
        .args(["--server", server.base(), "--process-res", "140"])
        .arg("--output-dir")
        .arg(folder)
        .args(arguments)
        .kill_on_drop(true)
        .output();
    within("the client's end", output)
        .await
        .expect("Python runs")
}

fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaints}");
    said
}

/// Names of the saved files.
fn saved(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().expect("the client makes the folder");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

/// Checks a saved result: number of frames in the metadata, and points in the GLB.
fn check(folder: &Path, name: &str, frames: usize) {
    let bytes = std::fs::read(folder.join(format!("{name}.glb"))).expect("a GLB");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect("metadata");
    let metadata: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(metadata["num_frames"], frames);
    assert_eq!(metadata["glb_size_bytes"], bytes.len());
    let contents = glb::read(&bytes);
    assert_eq!(metadata["num_points"], contents.points.len());
    assert!(!contents.points.is_empty());
    assert_eq!(contents.cameras.len(), frames);
}

#[tokio::test]
async fn photos_become_a_point_cloud() {
    let scene = Scene::load();
    let server = Server::start(&[]).await;
    let folder = TempDir::new().expect("writable");
    let photos: Vec<_> = (0..3).map(|view| scene.path(view)).collect();
    let mut arguments = vec!["--json", "--images"];
    arguments.extend(photos.iter().filter_map(|path| path.to_str()));
    let said = succeeded(&run(&server, folder.path(), &arguments).await);
    assert_eq!(saved(folder.path()), ["scene.glb", "scene.json"]);
    check(folder.path(), "scene", 3);
    assert!(
        said.contains("num_points") && said.contains("flat"),
        "{said}"
    );
    // The client deletes its session.
    let list = server.get("/ws/sessions").await.json();
    assert_eq!(list["stats"]["total_sessions"], 0);
}

#[tokio::test]
async fn binary_messages_carry_the_same() {
    let scene = Scene::load();
    let server = Server::start(&[]).await;
    let photos: Vec<_> = (0..3).map(|view| scene.path(view)).collect();
    let mut arguments = vec!["--incremental", "--batch-size", "2", "--images"];
    arguments.extend(photos.iter().filter_map(|path| path.to_str()));
    let folder = TempDir::new().expect("writable");
    succeeded(&run(&server, folder.path(), &arguments).await);
    for (name, frames) in [("delta_001", 2), ("delta_002", 3), ("scene", 3)] {
        check(folder.path(), name, frames);
    }
    let log = server.logged("kind=\"image\" binary=true").await;
    assert!(
        !log.contains("kind=\"image\" binary=false"),
        "an image as JSON"
    );
}

#[tokio::test]
async fn batches_become_deltas() {
    let scene = Scene::load();
    let server = Server::start(&[]).await;
    let folder = TempDir::new().expect("writable");
    let photos: Vec<_> = (0..3).map(|view| scene.path(view)).collect();
    let mut arguments = vec!["--incremental", "--batch-size", "2", "--keep", "--images"];
    arguments.extend(photos.iter().filter_map(|path| path.to_str()));
    succeeded(&run(&server, folder.path(), &arguments).await);
    let names = ["delta_001", "delta_002", "scene"];
    let mut files: Vec<_> = names
        .iter()
        .flat_map(|name| [format!("{name}.glb"), format!("{name}.json")])
        .collect();
    files.insert(4, "map.json".to_owned());
    assert_eq!(saved(folder.path()), files);
    for (name, frames) in names.into_iter().zip([2, 3, 3]) {
        check(folder.path(), name, frames);
    }
    let list = server.get("/ws/sessions").await.json();
    assert_eq!(list["sessions"][0]["status"], "completed");
}

#[tokio::test]
async fn updates_of_a_long_stream_have_only_what_is_new() {
    let server = Server::with_model("extending", &[]).await;
    let folder = TempDir::new().expect("writable");
    let paths: Vec<_> = (0..40)
        .map(|level| {
            let path = folder.path().join(format!("{level:02}.png"));
            std::fs::write(&path, at(level)).expect("writable");
            path.to_str().expect("a plain name").to_owned()
        })
        .collect();
    let mut arguments = vec!["--incremental", "--batch-size", "10", "--images"];
    arguments.extend(paths.iter().map(String::as_str));
    let output = folder.path().join("output");
    let said = succeeded(&run(&server, &output, &arguments).await);
    assert!(
        said.contains("map: 10 new frames, 0 moved; 40 frames"),
        "{said}"
    );
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(output.join(name)).expect("a file");
        serde_json::from_str(&text).expect("JSON")
    };
    let metadata = read("delta_004.json");
    assert_eq!(metadata["append"]["reset"], false);
    let update = std::fs::read(output.join("delta_004.glb")).expect("a GLB");
    assert_eq!(glb::read(&update).cameras.len(), 10);
    let map = read("map.json");
    assert_eq!(map["update"], metadata["append"]["number"]);
    let frames = map["frames"].as_array().expect("a list");
    assert_eq!(frames.len(), 40);
    let points = frames.iter().map(|frame| frame["points"].as_u64());
    let points: u64 = points.map(|count| count.expect("a number")).sum();
    assert_eq!(metadata["num_points"], points);
}

#[tokio::test]
async fn a_video_becomes_a_point_cloud() {
    let server = Server::start(&[]).await;
    let folder = TempDir::new().expect("writable");
    let video = folder.path().join("walk.avi");
    let script = "
import sys, cv2
names = sys.argv[2:]
first = cv2.imread(names[0])
size = (first.shape[1] // 2, first.shape[0] // 2)
video = cv2.VideoWriter(sys.argv[1], cv2.VideoWriter_fourcc(*'MJPG'), 10, size)
assert video.isOpened()
for name in names:
    for _ in range(5):
        video.write(cv2.resize(cv2.imread(name), size))
video.release()
";
    let scene = Scene::load();
    let making = Command::new(python::interpreter())
        .args(["-c", script])
        .arg(&video)
        .args((0..4).map(|view| scene.path(view)))
        .output();
    let made = within("the video", making).await.expect("Python runs");
    succeeded(&made);
    let output = folder.path().join("output");
    let video = video.to_str().expect("a plain name");
    let arguments = ["--video", video, "--num-frames", "4", "--no-cameras"];
    succeeded(&run(&server, &output, &arguments).await);
    assert_eq!(saved(&output), ["scene.glb", "scene.json"]);
    check(&output, "scene", 4);
}

#[tokio::test]
async fn a_lost_connection_is_taken_up_again() {
    let scene = Scene::load();
    let server = Server::with_model("slow", &[]).await;
    let proxy = Proxy::start(&server).await;
    let folder = TempDir::new().expect("writable");
    let photos: Vec<_> = (0..6).map(|view| scene.path(view)).collect();
    let mut arguments = vec!["--server", &proxy.base, "--keep", "--images"];
    arguments.extend(photos.iter().filter_map(|path| path.to_str()));
    let cut = async {
        until("the generation", async || {
            let list = server.get("/ws/sessions").await.json();
            (list["sessions"][0]["status"] == "processing").then_some(())
        })
        .await;
        proxy.cut();
    };
    let (output, ()) = tokio::join!(run(&server, folder.path(), &arguments), cut);
    succeeded(&output);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.contains("connection lost"), "{complaints}");
    check(folder.path(), "scene", 6);
    // The client did not repeat its request.
    let list = server.get("/ws/sessions").await.json();
    assert_eq!(list["sessions"][0]["image_count"], 6);
    let session = list["sessions"][0]["session_id"].as_str().expect("text");
    let mut again = Client::resume(&server, session).await;
    again.expect_quiet().await;
}

/// Runs the client behind a relay that ends each socket before a result has come.
async fn run_cut(server: &Server, folder: &Path, arguments: &[&str]) -> Output {
    let relay = Relay::cutting_sockets(server, 20 << 10).await;
    let address = format!("http://{}", relay.address);
    let arguments = [&["--server", &address][..], arguments].concat();
    run(server, folder, &arguments).await
}

#[tokio::test]
async fn a_result_that_no_socket_carries_is_fetched() {
    let scene = Scene::load();
    let server = Server::start(&[]).await;
    let folder = TempDir::new().expect("writable");
    let photos: Vec<_> = (0..3).map(|view| scene.path(view)).collect();
    for kind in ["--json", "--incremental"] {
        let mut arguments = vec![kind, "--images"];
        arguments.extend(photos.iter().filter_map(|path| path.to_str()));
        succeeded(&run_cut(&server, folder.path(), &arguments).await);
        check(folder.path(), "scene", 3);
        // It got the result, so it deletes the session.
        let list = server.get("/ws/sessions").await.json();
        assert_eq!(list["stats"]["total_sessions"], 0);
    }
}

#[tokio::test]
async fn later_requests_follow_a_result_that_was_fetched() {
    let scene = Scene::load();
    let server = Server::start(&[]).await;
    let folder = TempDir::new().expect("writable");
    let photos: Vec<_> = (0..3).map(|view| scene.path(view)).collect();
    let mut arguments = vec!["--incremental", "--batch-size", "2", "--keep", "--images"];
    arguments.extend(photos.iter().filter_map(|path| path.to_str()));
    succeeded(&run_cut(&server, folder.path(), &arguments).await);
    for (name, frames) in [("delta_001", 2), ("delta_002", 3), ("scene", 3)] {
        check(folder.path(), name, frames);
    }
    let list = server.get("/ws/sessions").await.json();
    assert_eq!(list["sessions"][0]["status"], "completed");
    assert_eq!(list["sessions"][0]["image_count"], 3);
}

#[tokio::test]
async fn a_request_that_fails_keeps_no_session() {
    let server = Server::with_model("raises_on_black", &[]).await;
    let folder = TempDir::new().expect("writable");
    let photo = folder.path().join("black.png");
    std::fs::write(&photo, png(&RgbImage::new(64, 48))).expect("writable");
    let photo = photo.to_str().expect("a plain name");
    let output = run(&server, folder.path(), &["--images", photo]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("error: ") && !said.contains("is kept"),
        "{said}"
    );
    let list = server.get("/ws/sessions").await.json();
    assert_eq!(list["stats"]["total_sessions"], 0);
}

#[tokio::test]
async fn an_interrupt_takes_the_request_back() {
    let scene = Scene::load();
    let server = Server::with_model("slow", &[]).await;
    let folder = TempDir::new().expect("writable");
    let proxy = Proxy::start(&server).await;
    let photos: Vec<_> = (0..4).map(|view| scene.path(view)).collect();
    let mut arguments = vec!["--server", &proxy.base, "--images"];
    arguments.extend(photos.iter().filter_map(|path| path.to_str()));
    // The client is interrupted while it waits.
    let mut client = Command::new(python::interpreter());
    client
        .arg(repository().join("examples/websocket_client.py"))
        .args(["--process-res", "140", "--output-dir"])
        .arg(folder.path())
        .args(&arguments)
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    // Tests that a shell has started in the background ignore interrupts, and so would the client.
    let listens = || {
        // SAFETY: it takes no pointers but the one that stands for the default.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        Ok(())
    };
    // SAFETY: `signal` is safe between `fork` and `exec`.
    unsafe { client.pre_exec(listens) };
    let client = client.spawn().expect("Python runs");
    server.at_work().await;
    let id = client.id().and_then(|id| libc::pid_t::try_from(id).ok());
    // SAFETY: `kill` takes no pointers; the process is our child and has not been waited for.
    unsafe { libc::kill(id.expect("it runs"), libc::SIGINT) };
    let output = within("the client's end", client.wait_with_output()).await;
    let output = output.expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let list = server.get("/ws/sessions").await.json();
    assert_eq!(list["stats"]["total_sessions"], 0, "it deletes its session");
}

#[tokio::test]
async fn a_session_whose_result_did_not_come_is_kept() {
    let scene = Scene::load();
    let server = Server::with_model("slow", &[]).await;
    let folder = TempDir::new().expect("writable");
    let proxy = Proxy::start(&server).await;
    let base = proxy.base.clone();
    let photos: Vec<_> = (0..4).map(|view| scene.path(view)).collect();
    let mut arguments = vec!["--server", &base, "--images"];
    arguments.extend(photos.iter().filter_map(|path| path.to_str()));
    // The network ends while the client waits.
    let end = async {
        server.at_work().await;
        drop(proxy);
    };
    let (output, ()) = tokio::join!(run(&server, folder.path(), &arguments), end);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the session is kept"), "{said}");
    let list = server.get("/ws/sessions").await.json();
    let session = list["sessions"][0]["session_id"].as_str().expect("kept");
    let path = format!("/ws/session/{session}/result");
    assert!(said.contains(&path), "{said}");
    server.settled(session).await;
    assert_eq!(server.get(&path).await.status, 200);
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_a_sentence() {
    let scene = Scene::load();
    let server = Server::start(&["--max-sessions", "1"]).await;
    let _taken = server.session("").await;
    let folder = TempDir::new().expect("writable");
    let photo = scene.path(0);
    let photo = photo.to_str().expect("a plain name");
    for (arguments, words) in [
        (["--images", photo].as_slice(), "maximum number of sessions"),
        (&["--images", "/no/such.jpg"], "/no/such.jpg"),
        (&["--video", "/no/such.mp4"], "/no/such.mp4"),
        (
            &["--images", photo, "--server", "http://127.0.0.1:9"],
            "is the server running",
        ),
    ] {
        let output = run(&server, folder.path(), arguments).await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.starts_with("error: ") && said.contains(words),
            "{said}"
        );
        assert!(!said.contains("Traceback"), "{said}");
    }
}

#[tokio::test]
async fn a_token_lets_the_client_in() {
    let tokens = Tokens::new();
    let token = tokens.add("user", "create").await;
    let server = tokens.server(&[]).await;
    let scene = Scene::load();
    let photos: Vec<_> = (0..2).map(|view| scene.path(view)).collect();
    let mut arguments = vec!["--images"];
    arguments.extend(photos.iter().filter_map(|path| path.to_str()));
    let folder = TempDir::new().expect("writable");
    let refused = run(&server, folder.path(), &arguments).await;
    let complaints = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(complaints.contains("a token is needed"), "{complaints}");
    let given = [&arguments[..], &["--token", &token]].concat();
    let said = succeeded(&run(&server, folder.path(), &given).await);
    assert!(!said.contains(&token[4..]), "{said}");
    check(folder.path(), "scene", 2);
    // Also when no socket carries the result, so that it is fetched.
    let cut = TempDir::new().expect("writable");
    let said = succeeded(&run_cut(&server, cut.path(), &given).await);
    assert!(!said.contains(&token[4..]), "{said}");
    check(cut.path(), "scene", 2);
}

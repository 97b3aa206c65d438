//! Every format of a result, opened with the libraries that people use for it (in Python, see
//! `integration/formats/`).

use tempfile::TempDir;
use tokio::process::Command;

use crate::support::archives::repository;
use crate::support::client::Client;
use crate::support::pictures;
use crate::support::scene::Scene;
use crate::support::within;
use crate::workflows;

/// Formats, and what files are called after `result`.
const FORMATS: [(&str, &str); 6] = [
    ("glb", "glb"),
    ("ply", "ply"),
    ("colmap", "colmap.zip"),
    ("npz", "npz"),
    ("nerfstudio", "nerfstudio.zip"),
    ("json", "json"),
];

#[tokio::test]
async fn every_format_has_the_same_points_where_its_conventions_put_them() {
    let scene = Scene::load();
    let server = workflows::start().await;
    let query = "process_res=252&num_max_points=20000";
    let created = server.post(&format!("/ws/session/create?{query}")).await;
    let session = created.json()["session_id"]
        .as_str()
        .expect("an identifier")
        .to_owned();
    let mut client = Client::connect(&server, &session).await;
    // A stranger between the photos, and names that no file system would take.
    let names = ["photo.jpg", "photo.jpg", "../Größe 1:2.jpg", "", "x/y.jpeg"];
    for (view, name) in names.into_iter().enumerate() {
        client.upload(name, &scene.photo(view)).await;
        if view == 1 {
            client
                .upload("noise.png", &pictures::noise(1008, 756))
                .await;
        }
    }
    // The second result, so that its world is not the first camera's.
    client.generate(true).await;
    client.result("delta").await;
    client.upload(&scene.names[5], &scene.photo(5)).await;
    client.generate(true).await;
    let answer = client.result("delta").await;
    assert_eq!(answer.metadata()["unregistered_frames"][0], "noise.png");

    let folder = TempDir::new().expect("writable");
    for (format, extension) in FORMATS {
        let path = format!("/ws/session/{session}/result?format={format}");
        let reply = server.get(&path).await;
        assert_eq!(reply.status, 200, "{format}");
        let file = folder.path().join(format!("result.{extension}"));
        std::fs::write(file, reply.body).expect("writable");
    }
    let checking = Command::new(repository().join(".venv/bin/python"))
        .args([
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "integration/formats",
        ])
        .arg("--result")
        .arg(folder.path())
        .current_dir(repository())
        .output();
    let output = within("the look at the files", checking)
        .await
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaints}");
}

//! Every format of a result, opened with the format's common libraries (in Python, see
//! `integration/formats/`; E57 in Rust).

use std::path::Path;

use e57::{CartesianCoordinate, E57Reader};
use image::imageops::{self, FilterType};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::archives::repository;
use crate::support::client::Client;
use crate::support::pictures;
use crate::support::python;
use crate::support::scene::Scene;
use crate::support::server::Server;
use crate::support::within;
use crate::workflows;

/// Formats, and the suffixes of their file names after `result`.
const FORMATS: [(&str, &str); 16] = [
    ("glb", "glb"),
    ("ply", "ply"),
    ("colmap", "colmap.zip"),
    ("colmap_original", "original.colmap.zip"),
    ("npz", "npz"),
    ("nerfstudio", "nerfstudio.zip"),
    ("nerfstudio_original", "original.nerfstudio.zip"),
    ("las", "las"),
    ("laz", "laz"),
    ("e57", "e57"),
    ("xyz", "xyz"),
    ("csv", "csv"),
    ("mesh_glb", "mesh.glb"),
    ("mesh_ply", "mesh.ply"),
    ("mesh_obj", "obj"),
    ("json", "json"),
];

#[tokio::test]
async fn every_format_has_the_same_points_where_its_conventions_put_them() {
    let scene = Scene::load();
    let server = workflows::start().await;
    let (session, mut client) = session(&server, "process_res=252&num_max_points=20000").await;
    // An unrelated image between the photos, and names that are invalid as file names.
    let names = ["photo.jpg", "photo.jpg", "../Größe 1:2.jpg", "", "x/y.jpeg"];
    for (view, name) in names.into_iter().enumerate() {
        client.upload(name, &scene.photo(view)).await;
        if view == 1 {
            client
                .upload("noise.png", &pictures::noise(1008, 756))
                .await;
        }
    }
    // The second result, so that its world differs from the first camera's frame.
    client.generate(true).await;
    client.result("delta").await;
    client.upload(&scene.names[5], &scene.photo(5)).await;
    client.generate(true).await;
    let answer = client.result("delta").await;
    assert_eq!(answer.metadata()["unregistered_frames"][0], "noise.png");
    look_at(&server, &session, &[]).await;
}

#[tokio::test]
async fn formats_agree_on_cropped_photos_of_all_sizes_and_filtered_points() {
    let scene = Scene::load();
    let server = workflows::start().await;
    let query = "process_res=252&process_res_method=lower_bound_crop&num_max_points=20000\
                 &conf_thresh_percentile=25&filter_edges=true&voxel_size=0.01\
                 &filter_black_bg=true&filter_white_bg=true";
    let (session, mut client) = session(&server, query).await;
    // Landscape and portrait images, large and small, one with a rotating EXIF orientation.
    let (width, height) = (scene.width as u32, scene.height as u32);
    let photo = |view| pictures::decoded(&scene.photo(view));
    let small = imageops::resize(&photo(1), width / 2, height / 2, FilterType::Triangle);
    let portrait = imageops::crop_imm(&photo(2), width / 6, 0, width * 2 / 3, height).to_image();
    let odd = imageops::crop_imm(&photo(4), 31, 17, width - 61, height - 38).to_image();
    let photos = [
        ("landscape.jpg", scene.photo(0)),
        ("small.jpg", pictures::jpeg(&small, 1)),
        ("portrait.jpg", pictures::jpeg(&portrait, 1)),
        ("noise.png", pictures::noise(700, 900)),
        (
            "lying.jpg",
            pictures::jpeg(&imageops::rotate270(&photo(3)), 6),
        ),
        ("odd.jpg", pictures::jpeg(&odd, 1)),
        // Its shape is too odd to be cropped with the others.
        ("banner.png", pictures::sized(2000, 220)),
    ];
    for (name, photo) in photos {
        client.upload(name, &photo).await;
    }
    client.generate(true).await;
    let answer = client.result("delta").await;
    let metadata = answer.metadata();
    assert_eq!(metadata["processed_size"], json!([252, 252]));
    let left_out = json!(["noise.png", "banner.png"]);
    assert_eq!(metadata["unregistered_frames"], left_out);
    assert_eq!(metadata["num_frames"], 6);
    let points = metadata["num_points"].as_u64().expect("a number");
    assert!(points < 20_000, "the filters remove points");
    look_at(&server, &session, &[]).await;
}

#[tokio::test]
async fn formats_agree_on_distorted_images() {
    let server = Server::with_model("distorted", &[]).await;
    assert_eq!(
        server.get("/info").await.json()["model"]["distortion"],
        true
    );
    let (session, mut client) = session(&server, "process_res=112").await;
    for name in ["a.png", "b.png", "c.png"] {
        client.upload(name, &pictures::sized(112, 84)).await;
    }
    client.generate(true).await;
    let answer = client.result("delta").await;
    let distortion = answer.metadata()["distortion"].as_array().expect("a list");
    let expected = [[0.0, 0.0], [-0.1, 0.02], [-0.2, 0.04]];
    assert_eq!(distortion.len(), expected.len());
    for (found, expected) in distortion.iter().zip(expected) {
        for (found, expected) in found.as_array().expect("a pair").iter().zip(expected) {
            let found = found.as_f64().expect("a number");
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
    // All frames are registered, and the surface that the model makes up is not that of the photos.
    let unfit = "not agrees_with_the_metadata and not fit_the_other_images";
    look_at(&server, &session, &["-k", unfit]).await;
}

/// Creates a session with these parameters and connects to it.
async fn session(server: &Server, query: &str) -> (String, Client) {
    let created = server.post(&format!("/ws/session/create?{query}")).await;
    let session = created.json()["session_id"]
        .as_str()
        .expect("an identifier")
        .to_owned();
    let client = Client::connect(server, &session).await;
    (session, client)
}

/// Downloads every format of a session's result and runs the Python checks with these options.
pub async fn look_at(server: &Server, session: &str, options: &[&str]) {
    let folder = TempDir::new().expect("writable");
    for (format, extension) in FORMATS {
        let path = format!("/ws/session/{session}/result?format={format}");
        let reply = server.get(&path).await;
        assert_eq!(reply.status, 200, "{format}");
        let file = folder.path().join(format!("result.{extension}"));
        std::fs::write(file, reply.body).expect("writable");
    }
    e57_has_the_points_of_the_csv(folder.path());
    let checking = Command::new(python::interpreter())
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
        .args(options)
        .current_dir(repository())
        .output();
    let output = within("the checks of the files", checking)
        .await
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaints}");
}

/// Positions and colours are bit-equal, and in the same order.
fn e57_has_the_points_of_the_csv(folder: &Path) {
    let text = std::fs::read_to_string(folder.join("result.csv")).expect("written");
    let lines = text.lines().skip(1).map(|line| {
        let numbers = line.split(',').map(|number| number.parse::<f32>());
        let numbers: Result<Vec<_>, _> = numbers.take(6).collect();
        numbers.expect("numbers")
    });
    let file = folder.join("result.e57");
    let mut reader = E57Reader::from_file(file).expect("an E57 file");
    let scan = reader.pointclouds().remove(0);
    let mut points = reader.pointcloud_simple(&scan).expect("a scan");
    points.normalize_color(false);
    let points = points.map(|point| {
        let point = point.expect("a point");
        let CartesianCoordinate::Valid { x, y, z } = point.cartesian else {
            panic!("{:?}", point.cartesian);
        };
        let color = point.color.expect("a colour");
        let position = [x, y, z].map(|value| value as f32);
        [position, [color.red, color.green, color.blue]].concat()
    });
    assert!(points.eq(lines));
}

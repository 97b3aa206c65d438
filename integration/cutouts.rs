//! Transparent pixels: they are never points, and nothing tells their colours.

use image::imageops::{self, FilterType};
use image::{RgbImage, RgbaImage};
use serde_json::json;

use crate::support::archives::archive;
use crate::support::client::Client;
use crate::support::glb;
use crate::support::npz;
use crate::support::pictures::{colored_image, decoded, encoded, png};
use crate::support::rest::{self, FORM, Part};
use crate::support::scene::Scene;
use crate::support::server::{Server, new_data_dir};
use crate::support::until;
use crate::workflows;

/// Colours that somebody hid.
const SECRETS: [[u8; 3]; 2] = [[255, 0, 255], [3, 250, 20]];
/// What stands in their place.
const NEUTRAL: [u8; 3] = [128; 3];
const FORMATS: [&str; 5] = ["glb", "ply", "colmap", "npz", "nerfstudio"];

/// The upper part of a picture, whose lower part is hidden. Its alpha falls step by step.
pub fn cutout(picture: &RgbImage, secret: [u8; 3]) -> Vec<u8> {
    let (width, height) = picture.dimensions();
    encoded(&RgbaImage::from_fn(width, height, |x, y| {
        let edge = height / 2;
        let [red, green, blue] = picture.get_pixel(x, y).0;
        match y {
            _ if y < edge => image::Rgba([red, green, blue, 255 - (x % 100) as u8]),
            _ => image::Rgba([secret[0], secret[1], secret[2], (x % 128) as u8]),
        }
    }))
}

/// A picture without the hidden colours and grey.
fn picture(number: u8, (width, height): (u32, u32)) -> RgbImage {
    colored_image(width, height, [20 * number, 60, 40])
}

/// Uploads cutouts and requests a result.
async fn uploaded(client: &mut Client, size: (u32, u32), secret: [u8; 3]) {
    for number in 0..3 {
        let file = cutout(&picture(number, size), secret);
        client.upload(&format!("{number}.png"), &file).await;
    }
}

fn assert_none_hidden(contents: &glb::Contents) {
    assert!(!contents.points.is_empty());
    for colour in &contents.colours {
        let near = |other: &[u8; 3]| colour.iter().zip(other).all(|(a, b)| a.abs_diff(*b) < 60);
        assert!(!SECRETS.iter().any(near) && !near(&NEUTRAL), "{colour:?}");
    }
}

#[tokio::test]
async fn hidden_colours_change_nothing_that_a_client_gets() {
    let server = Server::start(&[]).await;
    // As they are, mixed by shrinking, and by enlarging.
    for size in [(56, 42), (250, 187), (40, 30)] {
        let mut found = Vec::new();
        for secret in SECRETS {
            let mut client = server.client("").await;
            uploaded(&mut client, size, secret).await;
            client.generate(true).await;
            let contents = glb::read(&client.result("delta").await.glb());
            assert_none_hidden(&contents);
            let session = format!("/ws/session/{}", client.session);
            let mut files = Vec::new();
            for format in FORMATS {
                let file = server
                    .get(&format!("{session}/result?format={format}"))
                    .await;
                assert_eq!(file.status, 200, "{}", file.text());
                files.push(file.body);
            }
            for image in 0..3 {
                let small = format!("{session}/images/{image}/thumbnail");
                files.push(server.get(&small).await.body);
            }
            let small = image::load_from_memory(&files[FORMATS.len()]).expect("a JPEG");
            let lowest = small.to_rgb8().get_pixel(5, 40).0;
            assert!(
                lowest.iter().all(|value| value.abs_diff(128) < 4),
                "{lowest:?}"
            );

            let confidence = npz::floats(&files[3], "confidence");
            let (known, of_points) = (confidence.iter().filter(|value| **value > 1.0), contents);
            assert_eq!(known.count(), of_points.points.len());
            for frame in confidence.chunks_exact(56 * 42) {
                assert!(frame[56 * 21..].iter().all(|value| *value == 1.0));
                let middle = &frame[56 * 15 + 15..][..20];
                assert!(middle.iter().all(|value| *value == 2.0), "{middle:?}");
            }
            found.push(files);
        }
        for (index, (one, other)) in found[0].iter().zip(&found[1]).enumerate() {
            assert!(
                one == other,
                "file {index} of {size:?} tells the hidden colour"
            );
        }
    }
}

#[tokio::test]
async fn opaque_images_with_alpha_are_as_without() {
    let server = Server::start(&[]).await;
    let mut results = Vec::new();
    for alpha in [None, Some(255), Some(128)] {
        let mut client = server.client("").await;
        for number in 0..3 {
            let picture = picture(number, (112, 84));
            let file = alpha.map_or_else(
                || png(&picture),
                |alpha| {
                    encoded(&RgbaImage::from_fn(112, 84, |x, y| {
                        let [red, green, blue] = picture.get_pixel(x, y).0;
                        image::Rgba([red, green, blue, alpha])
                    }))
                },
            );
            client.upload("photo.png", &file).await;
        }
        client.generate(true).await;
        results.push(client.result("delta").await.glb());
        let folder = server.session_folder(&client.session);
        let frame = std::fs::metadata(folder.join("1.rgb")).expect("stored");
        assert_eq!(frame.len(), 56 * 42 * 3);
    }
    assert!(results.iter().all(|glb| *glb == results[0]));
}

#[tokio::test]
async fn pixels_stay_hidden_in_the_next_server_and_in_the_next_session() {
    let model = archive("flat");
    let options = ["--model", model.to_str().expect("a plain name")];
    let server = Server::start_in(new_data_dir(), &options).await;
    let mut client = server.client("").await;
    uploaded(&mut client, (56, 42), SECRETS[0]).await;
    client.generate(true).await;
    let before = client.result("delta").await.glb();
    let session = client.session.clone();
    drop(client);

    let server = Server::start_in(server.kill(), &options).await;
    let mut client = Client::resume(&server, &session).await;
    client.generate(true).await;
    assert!(client.result("delta").await.glb() == before);
    // Frames that are shared, and frames of another size.
    for (query, rows) in [("conf_thresh_percentile=1", 21), ("process_res=112", 42)] {
        let rerun = format!("/ws/session/{session}/rerun?{query}");
        let created = server.post(&rerun).await.json();
        let again = created["session_id"].as_str().expect("an identifier");
        until("the images", async || {
            let info = server.info(again).await;
            (info["image_count"] == 3).then_some(())
        })
        .await;
        let mut client = Client::connect(&server, again).await;
        client.generate(true).await;
        let contents = glb::read(&client.result("delta").await.glb());
        assert_none_hidden(&contents);
        let most = 3 * rows * rows * 4 / 3;
        assert!(contents.points.len() < 2 * most, "{query}");
    }
}

#[tokio::test]
async fn windows_of_a_map_hide_them_too() {
    for model in ["extending", "flat"] {
        let server = Server::with_model(model, &[]).await;
        let mut client = server.client("window=6").await;
        for level in 0..11 {
            let picture = colored_image(56, 42, [level, 60, 40]);
            // Its mean decides where the model places a frame.
            let secret = SECRETS[usize::from(level) % 2];
            client
                .upload(&format!("{level}.png"), &cutout(&picture, secret))
                .await;
            if level % 4 == 3 {
                client.generate(true).await;
                let update = client.result("delta").await;
                assert_none_hidden(&glb::read(&update.glb()));
            }
        }
        client.send(json!({"type": "finalize"})).await;
        let answer = client.result("complete").await;
        assert_none_hidden(&glb::read(&answer.glb()));
        for format in ["ply", "npz", "colmap"] {
            let path = format!("/ws/session/{}/result?format={format}", client.session);
            let reply = server.get(&path).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    }
}

#[tokio::test]
async fn one_request_hides_them_too() {
    let server = Server::start(&[]).await;
    let files = [0, 1, 2].map(|number| cutout(&picture(number, (100, 75)), SECRETS[0]));
    let parts: Vec<Part<'_>> = files
        .iter()
        .map(|file| ("images", Some("a.png"), &file[..]))
        .collect();
    let url = format!("{}/reconstruct?process_res=56", server.base());
    let form = [("content-type", FORM)];
    let reply = rest::request_with("POST", &url, &form, rest::form(&parts)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_none_hidden(&glb::read(&reply.body));
}

#[tokio::test]
async fn nothing_is_left_of_an_image_that_is_all_hidden() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    uploaded(&mut client, (56, 42), SECRETS[0]).await;
    let nothing = RgbaImage::from_pixel(56, 42, image::Rgba([200, 10, 10, 0]));
    client.upload("nothing.png", &encoded(&nothing)).await;
    client.generate(true).await;
    let contents = glb::read(&client.result("delta").await.glb());
    assert_none_hidden(&contents);
    assert!(!contents.colours.contains(&[200, 10, 10]));
}

#[tokio::test]
async fn the_embedded_model_gives_no_points_there_either() {
    let scene = Scene::load();
    let server = workflows::start().await;
    let mut client = server
        .client("process_res=252&conf_thresh_percentile=0")
        .await;
    for view in 0..4 {
        let photo = decoded(&scene.photo(view));
        let photo = imageops::resize(&photo, 252, 189, FilterType::Triangle);
        // The hidden half has the same texture as the photo, so the model could match it.
        let seen = RgbaImage::from_fn(252, 189, |x, y| {
            let [red, green, blue] = photo.get_pixel(x, y).0;
            image::Rgba([red, green, blue, if x < 126 { 255 } else { 0 }])
        });
        client.upload(&scene.names[view], &encoded(&seen)).await;
    }
    client.send(json!({"type": "finalize"})).await;
    let answer = client.result("complete").await;
    assert!(answer.metadata()["num_points"].as_u64().expect("a number") > 1000);
    let path = format!("/ws/session/{}/result?format=npz", client.session);
    let confidence = npz::floats(&server.get(&path).await.body, "confidence");
    let size = answer.metadata()["processed_size"].clone();
    let width = size[0].as_u64().expect("pixels") as usize;
    for row in confidence.chunks_exact(width) {
        assert!(row[width / 2..].iter().all(|value| *value == 1.0));
    }
}

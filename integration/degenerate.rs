//! Images of impossible shapes and without content, with the embedded model: each is answered, and so is
//! the request for a result of them.

use image::{Rgb, RgbImage};
use serde_json::json;

use crate::support::client::Client;
use crate::support::pictures::{photo, png};
use crate::workflows;

/// Answers to images, `true` for `ack`, and the verdict on the result of them; `None` if the request is
/// answered with an error.
async fn outcome(query: &str, images: &[Vec<u8>]) -> (Vec<bool>, Option<String>) {
    let server = workflows::start().await;
    let reply = server
        .post(&format!("/ws/session/create?{query}"))
        .await
        .json();
    let session = reply["session_id"].as_str().expect("an identifier");
    let mut client = Client::connect(&server, session).await;
    let mut accepted = Vec::new();
    for (number, image) in images.iter().enumerate() {
        client.send_image(&format!("{number}.png"), image).await;
        let (_, answer) = client.up_to(&["ack", "error"]).await;
        accepted.push(answer["type"] == "ack");
    }
    client.send(json!({"type": "finalize"})).await;
    let answer = client.answer().await;
    let verdict = (answer.message["type"] == "complete").then(|| {
        let quality = &answer.metadata()["quality"];
        quality["verdict"].as_str().expect("a verdict").to_owned()
    });
    client.expect_quiet().await;
    let restarts = server.get("/metrics").await.text();
    let restarts = restarts
        .lines()
        .filter(|line| line.starts_with("pointstream_worker_restarts_total"));
    for line in restarts {
        assert!(line.ends_with(" 0"), "{line}");
    }
    assert!(!server.log().contains("panic"), "{}", server.log());
    (accepted, verdict)
}

/// Pictures of noise, different for each number.
fn noise(number: u32, width: u32, height: u32) -> Vec<u8> {
    let mut state = number + 1;
    png(&RgbImage::from_fn(width, height, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [red, green, blue, _] = state.to_be_bytes();
        Rgb([red, green, blue])
    }))
}

fn failed() -> Option<String> {
    Some("failed".to_owned())
}

#[tokio::test]
async fn lines_of_pixels_give_no_points() {
    for (width, height) in [(10_000, 1), (1, 10_000), (10_000, 2)] {
        let images: Vec<_> = (0..3).map(|number| noise(number, width, height)).collect();
        let found = outcome("process_res=504", &images).await;
        assert_eq!(found, (vec![true; 3], failed()), "{width}x{height}");
        // With a lower bound they would be 10,000 times as long as wide.
        let query = "process_res=126&process_res_method=lower_bound_resize";
        let (accepted, verdict) = outcome(query, &images).await;
        assert_eq!(accepted, [false; 3], "{width}x{height}");
        assert_eq!(verdict, None, "there are no images");
    }
}

#[tokio::test]
async fn single_colours_give_no_points() {
    for grey in [0, 128, 255] {
        let plain = png(&RgbImage::from_pixel(640, 480, Rgb([grey; 3])));
        for query in [
            "process_res=252",
            "process_res=252&process_res_method=upper_bound_crop",
        ] {
            let found = outcome(query, &vec![plain.clone(); 3]).await;
            assert_eq!(found, (vec![true; 3], failed()), "{query}");
        }
    }
}

#[tokio::test]
async fn single_pixels_and_single_images_give_no_points() {
    let pixel = png(&RgbImage::from_pixel(1, 1, Rgb([9, 8, 7])));
    let found = outcome("process_res=126", &vec![pixel; 4]).await;
    assert_eq!(found, (vec![true; 4], failed()));
    let found = outcome("process_res=126", &[photo(1)]).await;
    assert_eq!(found, (vec![true], failed()));
}

#[tokio::test]
async fn lines_among_photos_are_set_aside() {
    let line = noise(0, 10_000, 1);
    let images = [photo(1), line, photo(2), photo(3)];
    let (accepted, verdict) = outcome("process_res=126", &images).await;
    assert_eq!(accepted, [true; 4]);
    assert!(verdict.is_some());
}

#[tokio::test]
async fn lines_are_windows_of_a_map_too() {
    let images: Vec<_> = (0..8).map(|number| noise(number, 10_000, 1)).collect();
    let query = "process_res=504&window=6&finalize_mode=refine";
    let found = outcome(query, &images).await;
    assert_eq!(found, (vec![true; 8], failed()));
}

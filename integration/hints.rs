//! What the EXIF data of photos tell the model about their cameras.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::pictures::{decoded, jpeg_with_exif, sized};
use crate::support::server::Server;
use crate::support::tiff::{ByteOrder, Value as TagValue, exif};

/// Size of the photos; their processed size is half of it.
const SIZE: (u32, u32) = (224, 168);
const QUERY: &str = "process_res=112";

/// The focal length that the test models assume without a hint.
const ASSUMED: f64 = 0.8 * 112.0;

/// A photo of a phone with this equivalent focal length in millimetres and orientation.
fn photo(order: ByteOrder, film: u16, orientation: u16) -> Vec<u8> {
    let main = [
        (0x010f, TagValue::Text("Maker")),
        (0x0112, TagValue::Short(orientation)),
    ];
    let camera = [
        (0x920a, TagValue::Rational(42, 10)),
        (0xa002, TagValue::Long(4032)),
        (0xa003, TagValue::Long(3024)),
        (0xa405, TagValue::Short(film)),
    ];
    let image = decoded(&sized(SIZE.0, SIZE.1));
    jpeg_with_exif(&image, exif(order, &main, &camera))
}

/// The equivalent focal length in pixels of a processed frame, whose diagonal is 140 pixels.
fn pixels(film: f64) -> f64 {
    film * 140.0 / 36_f64.hypot(24.0)
}

/// A result, as focal length, group and standard deviation of each frame that the model was given.
async fn hints(client: &mut Client) -> Vec<[f64; 3]> {
    client.generate(true).await;
    let answer = client.result("delta").await;
    let metadata = answer.metadata();
    let number = |value: &Value| value.as_f64().expect("a number");
    let intrinsics = metadata["intrinsics"].as_array().expect("a list");
    let extrinsics = metadata["extrinsics"].as_array().expect("a list");
    let both = intrinsics.iter().zip(extrinsics);
    both.map(|(intrinsics, extrinsics)| {
        assert_eq!(intrinsics[0][0], intrinsics[1][1]);
        [
            number(&intrinsics[0][0]),
            10.0 * number(&extrinsics[1][3]),
            10.0 * number(&extrinsics[2][3]),
        ]
    })
    .collect()
}

fn assert_hints(found: &[[f64; 3]], expected: &[[f64; 3]]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.as_flattened().iter().zip(expected.as_flattened()) {
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
}

#[tokio::test]
async fn focal_lengths_and_groups_of_photos_reach_a_model_that_takes_hints() {
    let server = Server::with_model("hinted", &[]).await;
    assert_eq!(server.get("/info").await.json()["model"]["hints"], true);
    let mut client = server.client(QUERY).await;
    let photos = [
        photo(ByteOrder::Big, 26, 1),
        sized(SIZE.0, SIZE.1),
        photo(ByteOrder::Little, 52, 1),
        // Upside down.
        photo(ByteOrder::Little, 26, 3),
        sized(2 * SIZE.0, 2 * SIZE.1),
        sized(SIZE.0, SIZE.1),
    ];
    for (index, photo) in photos.iter().enumerate() {
        client.upload(&format!("{index}.jpg"), photo).await;
    }
    let expected = [
        [pixels(26.0), 0.0, 0.05],
        [ASSUMED, 1.0, 0.0],
        [pixels(52.0), 2.0, 0.05],
        [pixels(26.0), 0.0, 0.05],
        [ASSUMED, 3.0, 0.0],
        [ASSUMED, 1.0, 0.0],
    ];
    assert_hints(&hints(&mut client).await, &expected);
}

#[tokio::test]
async fn known_cameras_win_over_hints() {
    let server = Server::with_model("hinted", &[]).await;
    let mut client = server.client(QUERY).await;
    for x in 0..2 {
        let message = json!({
            "type": "image",
            "data": STANDARD.encode(photo(ByteOrder::Big, 26, 1)),
            "intrinsics": [[300, 0, 111.5], [0, 300, 83.5], [0, 0, 1]],
            "extrinsics": [[1, 0, 0, x], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        });
        client.send(message).await;
        client.expect("ack").await;
    }
    assert_hints(&hints(&mut client).await, &[[150.0, 0.0, 0.0]; 2]);
    // Without the camera of one photo the others are not known either.
    client.upload("c.jpg", &photo(ByteOrder::Big, 26, 1)).await;
    let expected = [[pixels(26.0), 0.0, 0.05]; 3];
    assert_hints(&hints(&mut client).await, &expected);
}

#[tokio::test]
async fn other_models_and_hostile_metadata_do_not_mind() {
    let server = Server::with_model("flat", &[]).await;
    assert_eq!(server.get("/info").await.json()["model"]["hints"], false);
    let mut client = server.client(QUERY).await;
    client.upload("a.jpg", &photo(ByteOrder::Big, 26, 1)).await;
    let image = decoded(&sized(SIZE.0, SIZE.1));
    let mut pointers = b"II*\0\x08\0\0\0\xff\xff".to_vec();
    for _ in 0..5000 {
        pointers.extend([0x69, 0x87, 4, 0, 1, 0, 0, 0, 8, 0, 0, 0]);
    }
    let broken = [
        b"MM\0*\xff\xff\xff\xff".to_vec(),
        b"MM\0*".to_vec(),
        pointers,
    ];
    for (index, exif) in broken.into_iter().enumerate() {
        let file = jpeg_with_exif(&image, exif);
        client.upload(&format!("broken {index}.jpg"), &file).await;
    }
    assert_hints(&hints(&mut client).await, &[[ASSUMED, 0.0, 0.0]; 4]);
}

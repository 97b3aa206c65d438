//! The images of a session over REST: pending images, the list, and thumbnails.

use serde_json::json;

use crate::support::gate::Gate;
use crate::support::pictures::{photo, sized};
use crate::support::rest::{self, Reply};
use crate::support::server::Server;
use crate::support::until;

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Reply {
    rest::request("GET", &format!("{}{path}", server.base()), headers).await
}

#[tokio::test]
async fn images_are_listed_in_the_order_in_which_they_were_stored() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    let images = format!("/ws/session/{}/images", client.session);
    assert_eq!(server.get(&images).await.json(), json!({"images": []}));

    client.upload("a.png", &photo(0)).await;
    client.send_image("no picture.png", b"invalid").await;
    client.expect_error(&[]).await;
    client
        .send_binary(r#"{"type": "image", "id": "second"}"#, &sized(300, 600))
        .await;
    client.expect("ack").await;
    client.upload("a.png", &photo(1)).await;
    let listed = server.get(&images).await;
    assert_eq!(listed.status, 200);
    // Images have their processed size: the longest side is process_res = 56 pixels.
    assert_eq!(
        listed.json(),
        json!({"images": [
            {"index": 0, "id": null, "image_path": "a.png", "width": 56, "height": 42},
            {"index": 1, "id": "second", "image_path": "image_002", "width": 28, "height": 56},
            {"index": 2, "id": null, "image_path": "a.png", "width": 56, "height": 42},
        ]})
    );
}

#[tokio::test]
async fn images_on_their_way_are_counted() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    assert_eq!(server.info(&client.session).await["pending_images"], 0);
    let gate = Gate::new();
    gate.bar_images(&server, &client.session, 4);
    for index in 0..4 {
        client.send_image("x.png", &photo(index)).await;
    }
    until("four pending images", async || {
        let info = server.info(&client.session).await;
        assert_eq!(info["image_count"], 0);
        (info["pending_images"] == 4).then_some(())
    })
    .await;
    let _open = gate.open();
    for _ in 0..4 {
        client.expect("ack").await;
    }
    let info = server.info(&client.session).await;
    assert_eq!(info["image_count"], 4);
    assert_eq!(info["pending_images"], 0);
}

#[tokio::test]
async fn a_thumbnail_is_the_image_as_it_is_processed_and_small() {
    let server = Server::start(&[]).await;
    let mut client = server.client("process_res=504").await;
    client.upload("large.png", &sized(1000, 500)).await;
    client.upload("tall.png", &sized(100, 400)).await;
    client.upload("small.png", &photo(5)).await;
    let images = format!("/ws/session/{}/images", client.session);
    for index in 0..3 {
        let size = server.get(&images).await.json()["images"][index].clone();
        let width = size["width"].as_u64().expect("pixels");
        let height = size["height"].as_u64().expect("pixels");
        let reply = server.get(&format!("{images}/{index}/thumbnail")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("content-type"), Some("image/jpeg"));
        let picture = image::load_from_memory(&reply.body)
            .expect("a JPEG")
            .to_rgb8();
        assert_eq!(u64::from(picture.width().max(picture.height())), 256);
        let ratio = f64::from(picture.width()) / f64::from(picture.height());
        assert!((ratio / (width as f64 / height as f64) - 1.0).abs() < 0.03);
    }
    // The thumbnail shows the right image: only this one is entirely blue.
    let reply = server.get(&format!("{images}/2/thumbnail")).await;
    let picture = image::load_from_memory(&reply.body)
        .expect("a JPEG")
        .to_rgb8();
    for pixel in picture.pixels() {
        assert!(pixel.0[2].abs_diff(230) < 40, "{pixel:?}");
    }
}

/// The whole picture, not its first tile, turned as the file asks for.
#[tokio::test]
async fn photos_of_phones_are_images() {
    const LYING: &[u8] = include_bytes!("../reconstruction/tests/golden/heic/grid.heic");
    const TURNED: &[u8] = include_bytes!("../reconstruction/tests/golden/heic/grid-turned.heic");
    const COLOURS: &[u8] = include_bytes!("../reconstruction/tests/golden/heic/half-chroma.heic");
    let server = Server::start(&[]).await;
    let mut client = server.client("process_res=504").await;
    client.upload("IMG_1.HEIC", LYING).await;
    client.upload("IMG_2.HEIC", TURNED).await;
    let images = format!("/ws/session/{}/images", client.session);
    let listed = server.get(&images).await.json();
    let side = |index: usize, side: &str| listed["images"][index][side].as_f64().expect("pixels");
    for (index, ratio) in [(0, 150.0 / 101.0), (1, 101.0 / 150.0)] {
        let found = side(index, "width") / side(index, "height");
        assert!((found / ratio - 1.0).abs() < 0.03, "{listed}");
    }
    client.send_image("camera.HEIC", COLOURS).await;
    client
        .expect_error(&["HEIC", "4:2:0", "export it as JPEG"])
        .await;
    client.send_image("cut.HEIC", &LYING[..9000]).await;
    client.expect_error(&["HEIC file is truncated"]).await;
    client.upload("IMG_1.HEIC", LYING).await;
}

#[tokio::test]
async fn a_thumbnail_need_not_be_sent_twice() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    client.upload("0.png", &photo(0)).await;
    let first = format!("/ws/session/{}/images/0/thumbnail", client.session);
    let reply = server.get(&first).await;
    let tag = reply.header("etag").expect("a tag").to_owned();
    assert!(tag.starts_with('"'), "{tag}");
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    let again = get(&server, &first, &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(
        get(&server, &first, &[("if-match", &tag)]).await.status,
        200
    );
    assert_eq!(
        get(&server, &first, &[("if-match", "\"other\"")])
            .await
            .status,
        412
    );
    let second = first.replace("/0/", "/1/");
    assert_ne!(server.get(&second).await.header("etag"), Some(tag.as_str()));
    let url = format!("{}{first}", server.base());
    let head = rest::request("HEAD", &url, &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("etag"), Some(tag.as_str()));
}

#[tokio::test]
async fn an_image_is_returned_as_it_was_sent() {
    const TURNED: &[u8] = include_bytes!("../reconstruction/tests/golden/heic/grid-turned.heic");
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    let png = sized(300, 200);
    client.upload("0.png", &png).await;
    client.upload("1.heic", TURNED).await;
    let path = |index| format!("/ws/session/{}/images/{index}", client.session);
    for (index, sent, content_type, ending) in [
        (0, &*png, "image/png", ".png\""),
        (1, TURNED, "image/heic", ".heic\""),
    ] {
        let reply = server.get(&path(index)).await;
        assert_eq!((reply.status, &*reply.body), (200, sent));
        assert_eq!(reply.header("content-type"), Some(content_type));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        let name = reply.header("content-disposition").expect("a name");
        assert!(name.starts_with("attachment") && name.ends_with(ending));
        let tag = reply.header("etag").expect("a tag").to_owned();
        let again = get(&server, &path(index), &[("if-none-match", &tag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
        let part = get(&server, &path(index), &[("range", "bytes=10-19")]).await;
        assert_eq!((part.status, &*part.body), (206, &sent[10..20]));
    }
}

#[tokio::test]
async fn there_is_no_such_image() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    let images = format!("/ws/session/{}/images", client.session);
    for index in ["1", "-1", "x", "0.0", "99999999999999999999"] {
        for path in [
            format!("{images}/{index}"),
            format!("{images}/{index}/thumbnail"),
        ] {
            let reply = server.get(&path).await;
            assert_eq!(reply.status, 404, "{index}");
            assert!(reply.detail().contains(index));
        }
    }
    let unknown = "00000000-0000-4000-8000-000000000000";
    for path in ["images", "images/0", "images/0/thumbnail"] {
        let reply = server.get(&format!("/ws/session/{unknown}/{path}")).await;
        assert_eq!(reply.status, 404);
        assert_eq!(reply.detail(), "Session not found");
        let reply = server.post(&format!("/ws/session/{unknown}/{path}")).await;
        assert_eq!(reply.status, 405);
    }
}

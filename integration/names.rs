//! File names are only labels.

use serde_json::json;

use crate::support::pictures::photo;
use crate::support::server::Server;

#[tokio::test]
async fn any_name_is_only_a_label() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    let long = "n".repeat(1024);
    let names = [
        "../../escaped.png",
        "/tmp/absolute.png",
        "photo.png",
        "photo.png",
        "C:\\windows\\photo.png",
        "Straße 日本語 🏠.png",
        "..",
        ".",
        "a/b/c/",
    ];
    for (index, name) in names.into_iter().chain([long.as_str()]).enumerate() {
        let ack = client.upload(name, &photo(index as u32)).await;
        assert_eq!(ack["image_count"], index + 1);
        let label = ack["image_path"].as_str().expect("a name");
        assert_eq!(label, name);
    }
    let longer = "ß".repeat(512) + "n";
    client.send_image(&longer, &photo(19)).await;
    client.expect_error(&["filename", "1024"]).await;
    for control in ["line\nbreak.png", "\u{1b}[31m.png", "\0", "\u{7f}"] {
        client.send_image(control, &photo(19)).await;
        client
            .expect_error(&["filename", "control character"])
            .await;
    }
    // A photo without a name, or with an empty one, gets a name.
    let empty = client.upload("", &photo(20)).await;
    let data = base64_of(&photo(21));
    client.send(json!({"type": "image", "data": data})).await;
    let missing = client.expect("ack").await;
    client
        .send(json!({"type": "image", "data": data, "filename": null}))
        .await;
    let null = client.expect("ack").await;
    for ack in [&empty, &missing, &null] {
        let label = ack["image_path"].as_str().expect("a name");
        assert!(!label.is_empty());
    }
    assert_eq!(null["image_count"], names.len() + 4);

    client.generate(false).await;
    let answer = client.result("complete").await;
    let frames = answer.metadata()["frames"]
        .as_array()
        .expect("names")
        .clone();
    assert_eq!(frames.len(), names.len() + 4);
    for plain in ["photo.png", "Straße 日本語 🏠.png"] {
        assert!(frames.contains(&json!(plain)), "{plain} in {frames:?}");
    }
    assert_eq!(frames[2], frames[3], "repeated names stay as they are");

    // No file with any of these names exists inside or beside the data directory.
    let files = server.files();
    for file in &files {
        for part in ["escaped", "absolute", "photo", "Straße", "nnn", "windows"] {
            assert!(
                !file.contains(part),
                "{file} contains the client's file name"
            );
        }
    }
    let above = server.data_dir().parent().expect("a folder above");
    for folder in [above, above.parent().unwrap_or(above)] {
        assert!(!folder.join("escaped.png").exists());
    }
    assert!(!std::path::Path::new("/tmp/absolute.png").exists());
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

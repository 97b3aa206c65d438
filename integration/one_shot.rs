//! `POST /reconstruct`: returns a file for uploaded photos, and leaves nothing behind.

mod refusals;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::pictures::{black, photo};
use crate::support::rest::{self, FORM, Part, Reply};
use crate::support::server::Server;
use crate::support::{glb, until, within};

async fn reconstruct(server: &Server, query: &str, parts: &[Part<'_>]) -> Reply {
    let url = format!("{}/reconstruct?process_res=56&{query}", server.base());
    rest::request_with("POST", &url, &[("content-type", FORM)], rest::form(parts)).await
}

fn image<'a>(name: &'a str, bytes: &'a [u8]) -> Part<'a> {
    ("images", Some(name), bytes)
}

/// Three photos.
fn three() -> [Vec<u8>; 3] {
    [photo(0), photo(1), photo(2)]
}

async fn sessions(server: &Server) -> Vec<Value> {
    let list = server.get("/ws/sessions").await.json();
    list["sessions"].as_array().expect("a list").clone()
}

/// Waits until all sessions and their files are gone.
async fn all_gone(server: &Server) {
    until("the end of the session", async || {
        let gone = sessions(server).await.is_empty() && server.files().is_empty();
        gone.then_some(())
    })
    .await;
}

/// Sends the head of a request and the first part of the promised body.
async fn begin(server: &Server, promised: usize, sent: &[u8]) -> TcpStream {
    let address = server.base().strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let head = format!(
        "POST /reconstruct?process_res=56 HTTP/1.1\r\nHost: {address}\r\nContent-Type: {FORM}\r\n\
         Content-Length: {promised}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("open");
    stream.write_all(sent).await.expect("open");
    stream
}

#[tokio::test]
async fn photos_in_and_a_file_out() {
    let server = Server::start(&[]).await;
    let [first, second, third] = three();
    let parts: &[Part<'_>] = &[
        ("images", Some("a.png"), &first),
        ("image", None, &second),
        ("file", Some("Straße.png"), &third),
    ];
    let reply = reconstruct(&server, "", parts).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("model/gltf-binary"));
    let contents = glb::read(&reply.body);
    assert!(!contents.points.is_empty());
    assert_eq!(contents.cameras.len(), 3);
    all_gone(&server).await;

    let reply = reconstruct(&server, "format=json&show_cameras=false", parts).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let told = reply.json();
    assert_eq!(told["type"], "complete");
    assert_eq!(
        told["metadata"]["frames"],
        json!(["a.png", "image_002", "Straße.png"])
    );
    all_gone(&server).await;
}

#[tokio::test]
async fn a_place_is_free_when_the_answer_is_there() {
    let server = Server::start(&["--max-sessions", "1"]).await;
    let photo = photo(0);
    for _ in 0..10 {
        for (parts, status) in [
            (vec![], 422),
            (vec![image("a.png", b"no picture")], 422),
            (vec![image("a.png", &photo)], 200),
        ] {
            let reply = reconstruct(&server, "format=json", &parts).await;
            assert_eq!(reply.status, status, "{}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_client_may_come_back_for_the_result() {
    let server = Server::with_model("slow", &[]).await;
    let pictures = three();
    let parts = pictures
        .each_ref()
        .map(|picture| ("images", None, &picture[..]));
    let reply = reconstruct(&server, "async=true", &parts).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let told = reply.json();
    let id = told["session_id"].as_str().expect("an identifier");
    let status_url = format!("/ws/session/{id}");
    assert_eq!(told["status_url"], status_url);
    assert_eq!(reply.header("location"), Some(&status_url[..]));
    assert_eq!(server.info(id).await["image_count"], 3);
    assert_eq!(server.settled(id).await["status"], "completed");
    let result = server
        .get(told["result_url"].as_str().expect("a place"))
        .await;
    assert_eq!(result.status, 200);
    assert!(!glb::read(&result.body).points.is_empty());
    assert_eq!(sessions(&server).await.len(), 1);
}

#[tokio::test]
async fn who_comes_back_for_a_result_that_failed_learns_why() {
    let server = Server::with_model("raises_on_black", &[]).await;
    let parts: &[Part<'_>] = &[("images", None, &black())];
    let reply = reconstruct(&server, "async=true&format=ply", parts).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let told = reply.json();
    let id = told["session_id"].as_str().expect("an identifier");
    let info = server.settled(id).await;
    assert_eq!(info["status"], "error");
    let error = info["error_message"]
        .as_str()
        .expect("the error of the session");
    assert!(error.contains("black"), "{error}");
    let url = told["result_url"].as_str().expect("a place");
    let result = server.get(url).await;
    assert_eq!(result.status, 404);
    assert!(result.detail().ends_with(error), "{}", result.detail());
    assert_eq!(
        server.delete(&format!("/ws/session/{id}")).await.status,
        200
    );
}

#[tokio::test]
async fn who_comes_too_early_is_told_to_wait() {
    let server = Server::with_model("slow", &[]).await;
    let pictures = three();
    let parts = pictures
        .each_ref()
        .map(|picture| ("images", None, &picture[..]));
    let told = reconstruct(&server, "async=true", &parts).await.json();
    let url = told["result_url"].as_str().expect("a place");
    let early = server.get(url).await;
    assert_eq!(early.status, 404);
    assert!(early.detail().contains("being made"), "{}", early.detail());
}

/// Waits until the only session processes `images` images; returns its identifier.
async fn working(server: &Server, images: usize) -> String {
    until("a processing session", async || {
        let one = sessions(server).await.first()?.clone();
        let working = one["status"] == "processing" && one["image_count"] == images;
        working.then(|| one["session_id"].as_str().expect("text").to_owned())
    })
    .await
}

#[tokio::test]
async fn a_session_that_is_deleted_meanwhile_is_gone() {
    let server = Server::with_model("slow", &[]).await;
    let pictures = three();
    let parts = pictures
        .each_ref()
        .map(|picture| ("images", None, &picture[..]));
    let (reply, ()) = tokio::join!(reconstruct(&server, "", &parts), async {
        let id = working(&server, 3).await;
        let deleted = server.delete(&format!("/ws/session/{id}")).await;
        assert_eq!(deleted.status, 200, "{}", deleted.text());
    });
    assert_eq!(reply.status, 410, "{}", reply.text());
    all_gone(&server).await;
}

#[tokio::test]
async fn a_model_that_takes_too_long_is_given_up() {
    let server = Server::with_model("slow", &["--job-timeout", "1"]).await;
    // More than a minute of work.
    let picture = photo(0);
    let parts = vec![("images", None, &picture[..]); 100];
    let reply = reconstruct(&server, "", &parts).await;
    assert_eq!(reply.status, 504, "{}", reply.text());
    all_gone(&server).await;
}

#[tokio::test]
async fn a_stored_image_that_is_lost_is_no_full_disk() {
    let server = Server::with_model("slow", &[]).await;
    // This client keeps the only worker busy.
    let mut other = server.client("").await;
    for index in 0..8 {
        other.upload("x.png", &photo(index)).await;
    }
    other.generate(true).await;
    other.inference_started().await;
    let pictures = three();
    let parts = pictures
        .each_ref()
        .map(|picture| ("images", None, &picture[..]));
    let (reply, ()) = tokio::join!(reconstruct(&server, "", &parts), async {
        let id = until("the second session to process", async || {
            let all = sessions(&server).await;
            let one = all.iter().find(|one| one["session_id"] != other.session)?;
            let working = one["status"] == "processing";
            working.then(|| one["session_id"].as_str().expect("text").to_owned())
        })
        .await;
        let folder = server.data_dir().join("sessions").join(id);
        for file in folder.read_dir().expect("it is there").flatten() {
            std::fs::remove_file(file.path()).expect("writable");
        }
    });
    assert_eq!(reply.status, 500, "{}", reply.text());
    assert!(
        reply.detail().contains("stored image"),
        "{}",
        reply.detail()
    );
    other.result("delta").await;
}

#[tokio::test]
async fn clients_that_leave_take_their_session_along() {
    let server = Server::with_model("slow", &[]).await;
    let pictures = three();
    let parts = pictures
        .each_ref()
        .map(|picture| ("images", None, &picture[..]));
    let body = rest::form(&parts);

    // In the middle of an image.
    let stream = begin(&server, body.len(), &body[..body.len() - 100]).await;
    until("the first images", async || {
        let sessions = sessions(&server).await;
        (sessions.first()?["image_count"] == 2).then_some(())
    })
    .await;
    drop(stream);
    all_gone(&server).await;

    // While the model runs.
    let stream = begin(&server, body.len(), &body).await;
    until("the generation", async || {
        let sessions = sessions(&server).await;
        (sessions.first()?["status"] == "processing").then_some(())
    })
    .await;
    drop(stream);
    all_gone(&server).await;
}

#[tokio::test]
async fn clients_that_fall_silent_are_told() {
    let server = Server::start(&["--receive-timeout", "0.5"]).await;
    let body = rest::form(&[("images", None, &photo(0))]);
    let mut stream = begin(&server, body.len(), &body[..body.len() - 100]).await;
    let mut reply = vec![0; 12];
    within("the reply", stream.read_exact(&mut reply))
        .await
        .expect("a status");
    assert_eq!(&reply, b"HTTP/1.1 408");
    all_gone(&server).await;
}

#[tokio::test]
async fn uploads_share_their_memory_in_turns() {
    let server = Server::start(&["--upload-buffer-mb", "1", "--max-message-bytes", "100000"]).await;
    // Each image alone needs all the upload memory.
    let noise: Vec<Vec<u8>> = (0..6).map(|seed| noisy_png(seed, 700)).collect();
    assert!(noise[0].len() > 1 << 20, "{} bytes", noise[0].len());
    let parts: Vec<Part<'_>> = noise.iter().map(|png| ("images", None, &png[..])).collect();
    let (one, two) = tokio::join!(
        reconstruct(&server, "", &parts),
        reconstruct(&server, "", &parts)
    );
    for reply in [one, two] {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(glb::read(&reply.body).cameras.len(), 6);
    }
    all_gone(&server).await;
}

/// A PNG of noise, which does not compress.
fn noisy_png(seed: u32, size: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let image = image::RgbImage::from_fn(size, size, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, image::ImageFormat::Png)
        .expect("memory is writable");
    bytes.into_inner()
}

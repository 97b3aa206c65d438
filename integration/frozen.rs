//! Data directories of other formats: those of earlier ones are opened, those of later ones are left alone.
//!
//! `integration/frozen/*.tar` are directories that programs have left, two for each format.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::support::archives::{archive, repository};
use crate::support::client::Client;
use crate::support::pictures::photo;
use crate::support::server::{Server, new_data_dir, refused_start, session_files};

/// Where SQLite has the version that a program gave its file (<https://www.sqlite.org/fileformat.html>).
const VERSION: std::ops::Range<usize> = 60..64;

/// The end of the names of directories with a completed map.
const MAP: &str = "-map";

/// The frozen directories whose names end like this, the one of the newest format last.
fn frozen(end: &str) -> Vec<PathBuf> {
    let folder = repository().join("integration/frozen");
    let entries = fs::read_dir(folder).expect("it is there");
    let mut found: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| number(path, end).is_some())
        .collect();
    found.sort_by_key(|path| number(path, end));
    assert!(!found.is_empty(), "there is at least one format");
    found
}

/// The format of a frozen directory whose name ends like this.
fn number(path: &Path, end: &str) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_prefix("format-")?.strip_suffix(".tar")?;
    name.strip_suffix(end)?.parse().ok()
}

fn unpacked(archive: &Path) -> TempDir {
    let data = new_data_dir();
    let file = fs::File::open(archive).expect("it is there");
    tar::Archive::new(file).unpack(data.path()).expect("a tar");
    data
}

/// The only session of a data directory.
fn only_session(data: &Path) -> String {
    let sessions = fs::read_dir(data.join("sessions")).expect("sessions");
    let mut names = sessions.map(|entry| entry.expect("readable").file_name());
    let name = names.next().expect("a session");
    assert!(names.next().is_none(), "there is one session");
    name.into_string().expect("an identifier")
}

fn journal(data: &Path) -> PathBuf {
    let session = only_session(data);
    data.join("sessions").join(session).join("journal.sqlite")
}

fn version(journal: &Path) -> Vec<u8> {
    fs::read(journal).expect("it is there")[VERSION].to_vec()
}

async fn server_on(data: TempDir) -> Server {
    let model = archive("flat");
    let model = model.to_str().expect("a plain name");
    Server::start_in(data, &["--model", model]).await
}

#[tokio::test]
async fn the_data_of_every_earlier_format_is_used() {
    for path in frozen("") {
        let data = unpacked(&path);
        let session = only_session(data.path());
        let server = server_on(data).await;
        let info = server.info(&session).await;
        assert_eq!(info["image_count"], 2, "{}: {info}", path.display());
        let list = server.get(&format!("/ws/session/{session}/images")).await;
        let list = list.json();
        let names = list["images"].as_array().expect("a list").iter();
        let names: Vec<_> = names.map(|image| image["image_path"].clone()).collect();
        assert_eq!(names, ["0.png", "1.png"]);
        let result = format!("/ws/session/{session}/result");
        let glb = server.get(&result).await;
        assert_eq!((glb.status, &glb.body[..4]), (200, &b"glTF"[..]));
        let ply = server.get(&format!("{result}?format=ply")).await;
        assert_eq!((ply.status, &ply.body[..3]), (200, &b"ply"[..]));

        // Its images in a new session, with frames of another size.
        let rerun = format!("/ws/session/{session}/rerun?process_res=56");
        let rerun = server.post(&rerun).await;
        assert_eq!(rerun.status, 200, "{}", rerun.text());
        let rerun = rerun.json()["session_id"].clone();
        let mut again = Client::connect(&server, rerun.as_str().expect("an identifier")).await;
        again.send(json!({"type": "finalize"})).await;
        let result = again.result("complete").await;
        assert_eq!(result.metadata()["num_frames"], 2);

        // The session itself goes on.
        let mut client = Client::connect(&server, &session).await;
        client.upload("2.png", &photo(2)).await;
        client.generate(true).await;
        let result = client.result("delta").await;
        assert_eq!(result.metadata()["num_frames"], 3);
    }
}

#[tokio::test]
async fn the_maps_and_webhooks_of_every_earlier_format_are_used() {
    for path in frozen(MAP) {
        let data = unpacked(&path);
        let session = only_session(data.path());
        let server = server_on(data).await;
        let show = format!("/ws/session/{session}");
        let info = server.info(&session).await;
        assert_eq!(info["image_count"], 10, "{}: {info}", path.display());
        let before = server.get(&format!("{show}/result")).await;
        assert_eq!((before.status, &before.body[..4]), (200, &b"glTF"[..]));
        let ply = server.get(&format!("{show}/result?format=ply")).await;
        assert_eq!((ply.status, &ply.body[..3]), (200, &b"ply"[..]));

        let list = server.get("/webhooks/deliveries").await.json();
        let messages = list["deliveries"].as_array().expect("a list").iter();
        let events: Vec<_> = messages
            .filter(|message| message["session_id"] == session.as_str())
            .map(|message| message["event"].clone())
            .collect();
        assert_eq!(events, ["result.made"], "{list}");

        // The map goes on.
        let reopened = server.post(&format!("{show}/reopen")).await;
        assert_eq!(reopened.status, 200, "{}", reopened.text());
        let mut client = Client::connect(&server, &session).await;
        for index in 0..2 {
            client
                .upload(&format!("new-{index}.png"), &photo(index))
                .await;
        }
        client.generate(true).await;
        let result = client.result("delta").await;
        assert_eq!(result.metadata()["num_frames"], 12);
        let deleted = server.delete(&show).await;
        assert_eq!(deleted.status, 200, "{}", deleted.text());
    }
}

#[tokio::test]
async fn there_is_frozen_data_of_the_format_that_is_written() {
    let mut server = Server::start(&[]).await;
    server.session("").await;
    server.terminate();
    server.ended().await;
    let fresh = server.kill();
    let newest = frozen("").pop().expect("at least one");
    let known = unpacked(&newest);
    let marker = |data: &TempDir| fs::read_to_string(data.path().join("pointstream-data"));
    let advice =
        "the format has changed: run `python -m integration.frozen`, and commit what it writes";
    let markers = [&fresh, &known].map(|data| marker(data).expect("a data directory is marked"));
    assert_eq!(markers[0], markers[1], "{advice}");
    let versions = [&fresh, &known].map(|data| version(&journal(data.path())));
    assert_eq!(versions[0], versions[1], "{advice}");
    assert_eq!(
        number(&newest, ""),
        frozen(MAP).pop().and_then(|path| number(&path, MAP)),
        "{advice}"
    );
}

#[tokio::test]
async fn a_session_of_a_later_format_is_left_as_it_is() {
    let data = unpacked(&frozen("").pop().expect("at least one"));
    let session = only_session(data.path());
    let journal = journal(data.path());
    let before = session_files(data.path());
    let mut bytes = fs::read(&journal).expect("it is there");
    let known = bytes[VERSION].to_vec();
    bytes[VERSION].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(&journal, &bytes).expect("writable");

    let server = server_on(data).await;
    let log = server.logged("its files stay for the next start").await;
    let known_number = u32::from_be_bytes(known.clone().try_into().expect("four bytes"));
    let reason = format!(
        "the session's journal has format 99, and this version of the program reads format {known_number}; \
         use the version that wrote it, or a newer one"
    );
    assert!(log.contains(&reason), "{log}");
    let info = server.get(&format!("/ws/session/{session}")).await;
    assert_eq!(info.status, 404);
    // Others are served.
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    let reply = server
        .delete(&format!("/ws/session/{}", client.session))
        .await;
    assert_eq!(reply.status, 200);
    let data = server.kill();
    assert_eq!(session_files(data.path()), before);

    // The version that wrote it finds it whole.
    let mut bytes = fs::read(&journal).expect("it is there");
    bytes[VERSION].copy_from_slice(&known);
    fs::write(&journal, &bytes).expect("writable");
    let server = server_on(data).await;
    assert_eq!(server.info(&session).await["image_count"], 2);
}

#[tokio::test]
async fn a_data_directory_of_a_later_format_is_refused() {
    let data = unpacked(&frozen("").pop().expect("at least one"));
    fs::write(data.path().join("pointstream-data"), "99").expect("writable");
    let before = session_files(data.path());
    let folder = data.path().to_str().expect("a plain name");
    let model = archive("flat");
    let model = model.to_str().expect("a plain name");
    let (code, said) = refused_start(&["--model", model, "--data-dir", folder]).await;
    assert_eq!(code, 1, "{said}");
    let reason = "has format \"99\", and this version of the program reads format \"1\"; use the version \
                  that wrote it, or a newer one, or another folder";
    assert!(said.contains(reason), "{said}");
    assert_eq!(session_files(data.path()), before);
}

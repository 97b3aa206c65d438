//! A server with invalid options reports an error and does not start.

use std::net::TcpListener;

use crate::support::archives::{archive, repository};
use crate::support::pictures::photo;
use crate::support::server::{Server, refused_start};

/// Expects a failed start with a message that contains these words, and without a panic.
async fn refused(options: &[&str], words: &[&str]) {
    let (code, said) = refused_start(options).await;
    assert_ne!(code, 0, "{said}");
    assert_ne!(code, 101, "it panicked: {said}");
    assert!(!said.contains("listening on"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    for word in words {
        assert!(
            said.contains(word),
            "{word:?} is missing for {options:?}:\n{said}"
        );
    }
}

#[tokio::test]
async fn models_that_cannot_be_used() {
    let here = repository().join("README.md");
    let no_archive = if here.is_file() {
        here
    } else {
        repository().join("Cargo.toml")
    };
    for (path, words) in [
        (no_archive, &["not a TorchScript archive"][..]),
        (archive("no_metadata"), &["extra/pointstream.json"]),
        (archive("other_version"), &["version 2", "version 1"]),
        (archive("tampered"), &["changed"]),
    ] {
        let path = path.to_str().expect("a plain name");
        refused(&["--model", path], &[words, &[path]].concat()).await;
    }
    refused(&["--model", "/no/such/model.pt"], &["/no/such/model.pt"]).await;
    refused(&["--model", "/"], &["/"]).await;
}

#[tokio::test]
async fn devices_that_are_not_there() {
    if std::path::Path::new("/dev/nvidiactl").exists() {
        refused(&["--device", "cuda:99"], &["cuda:99"]).await;
    } else {
        refused(&["--device", "cuda"], &["CUDA", "--device cpu"]).await;
        refused(&["--device", "cuda:0,cuda:1"], &["CUDA"]).await;
    }
    refused(&["--device", "abacus"], &["abacus"]).await;
}

#[tokio::test]
async fn a_port_in_use() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = other.local_addr().expect("an address").port().to_string();
    let model = archive("flat");
    let model = model.to_str().expect("a plain name");
    refused(&["--model", model, "--port", &port], &[&port, "in use"]).await;
}

#[tokio::test]
async fn a_data_directory_in_use() {
    let server = Server::start(&[]).await;
    let data = server.data_dir().to_str().expect("a plain name");
    let model = archive("flat");
    let model = model.to_str().expect("a plain name");
    refused(&["--model", model, "--data-dir", data], &[data, "in use"]).await;
    // The server that holds the lock continues.
    server.session("").await;
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written() {
    let model = archive("flat");
    let model = model.to_str().expect("a plain name");
    refused(
        &["--model", model, "--data-dir", "/proc/no-such-folder"],
        &["/proc/no-such-folder"],
    )
    .await;
}

#[tokio::test]
async fn options_that_make_no_sense() {
    refused(&["--max-sessions", "0"], &["--max-sessions"]).await;
    refused(&["--session-timeout", "soon"], &["--session-timeout"]).await;
    refused(&["--no-such-option"], &["--no-such-option"]).await;
}

/// Creates and deletes a session; returns its identifier and the complete log.
async fn log_of_a_session(options: &[&str]) -> (String, String) {
    let mut server = Server::start(options).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    client.generate(true).await;
    client.result("delta").await;
    let session = client.session.clone();
    server.terminate();
    assert!(server.ended().await.success());
    let log = server.logged("shut down").await;
    (session, log)
}

#[tokio::test]
async fn logs_are_for_people_and_name_the_session() {
    let (session, log) = log_of_a_session(&[]).await;
    let debug = log.lines().filter(|line| line.contains(" DEBUG "));
    assert!(debug.count() > 0, "LOG_LEVEL=DEBUG is set:\n{log}");
    let ended = log.lines().find(|line| line.contains("generation ends"));
    assert!(ended.is_some_and(|line| line.contains(&session)), "{log}");
    assert!(
        !log.contains('\u{1b}'),
        "a log that is not on a terminal has no colours:\n{log}"
    );
}

#[tokio::test]
async fn logs_are_json_on_request() {
    let (session, log) = log_of_a_session(&["--log-format", "json"]).await;
    let mut of_the_session = 0;
    for line in log
        .lines()
        .filter(|line| !line.starts_with("listening on "))
    {
        let entry: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            entry["timestamp"].is_string() && entry["level"].is_string(),
            "{line}"
        );
        of_the_session += usize::from(line.contains(&session));
    }
    assert!(of_the_session > 2, "{log}");
}

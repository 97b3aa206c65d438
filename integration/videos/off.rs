//! Servers that read no videos.

use super::send;
use crate::support::archives::archive;
use crate::support::rest::{self, Reply};
use crate::support::server::{Server, new_data_dir, refused_through};

/// A path without programs but those that a test needs.
const NOWHERE: [&str; 2] = ["/usr/bin/env", "PATH=/nowhere"];

async fn refusal(server: &Server) -> Reply {
    let info = server.get("/info").await.json();
    let inputs = info["inputs"].clone();
    assert_eq!(inputs["videos"], false);
    assert_eq!(inputs["images"][3], "heic");
    let reply = send(server, "", b"video").await;
    assert_eq!(reply.status, 501, "{}", reply.text());
    assert_eq!(reply.json()["code"], "videos_off");
    reply
}

#[tokio::test]
async fn the_operator_switches_them_off() {
    let server = Server::start(&["--videos", "off"]).await;
    let detail = refusal(&server).await.detail();
    assert!(detail.contains("--videos off"), "{detail}");
    // It is no defect of the server.
    let metrics = server.get("/metrics").await.text();
    let counted = metrics.lines().find(|line| {
        line.starts_with("pointstream_errors_total") && line.contains("kind=\"http\"")
    });
    assert!(
        counted.is_none_or(|line| line.ends_with(" 0")),
        "{counted:?}"
    );
}

#[tokio::test]
async fn strangers_send_none_unless_the_operator_says_so() {
    let proxies = ["--trusted-proxies", "127.0.0.1", "--insecure"];
    let public = ["--public-url", "https://scan.example.org", "--insecure"];
    for options in [&proxies[..], &public, &["--host", "0.0.0.0", "--insecure"]] {
        let server = Server::start(options).await;
        let detail = refusal(&server).await.detail();
        assert!(detail.contains("--videos on"), "{detail}");
    }
}

#[tokio::test]
async fn a_proxy_that_the_server_is_not_told_of_is_noticed() {
    let server = Server::start(&[]).await;
    let url = format!("{}/videos/frames", server.base());
    for header in ["forwarded", "x-forwarded-for", "x-real-ip", "via"] {
        let headers = [(header, "192.0.2.7")];
        let reply = rest::request_with("POST", &url, &headers, b"video".to_vec()).await;
        assert_eq!(reply.status, 501, "{header}: {}", reply.text());
    }
}

#[tokio::test]
async fn ffmpeg_is_missing() {
    let model = archive("flat");
    let model = model.to_str().expect("a plain name");
    let options = ["--model", model];
    let server = Server::start_through(&NOWHERE, new_data_dir(), &options).await;
    let detail = refusal(&server).await.detail();
    assert!(detail.contains("install ffmpeg"), "{detail}");
    let (code, said) =
        refused_through(&NOWHERE, &[&options[..], &["--videos", "on"]].concat()).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("--videos on needs ffmpeg"), "{said}");
    assert!(said.contains("apt install ffmpeg"), "{said}");
}

//! A server that strangers could use does not start.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::rest;
use crate::support::server::{Server, refused_start};
use crate::support::tokens::Tokens;

/// Expects a failed start with a message that contains these words, and without a panic.
async fn refused(options: &[&str], words: &[&str]) {
    let (code, said) = refused_start(options).await;
    assert_eq!(code, 1, "{said}");
    assert!(!said.contains("panicked"), "{said}");
    for word in words {
        assert!(
            said.contains(word),
            "{word:?} is missing for {options:?}:\n{said}"
        );
    }
}

#[tokio::test]
async fn nobody_listens_for_strangers_without_asking_who_they_are() {
    let advice = ["--auth tokens", "--insecure", "127.0.0.1"];
    refused(&["--host", "0.0.0.0"], &advice).await;
    refused(&["--host", "::"], &advice).await;
    refused(&["--operator-listen", "0.0.0.0:0"], &advice).await;

    // A proxy on this machine lets others in.
    let advice = ["--auth tokens", "--insecure", "--public-url"];
    refused(&["--public-url", "https://scan.example.org"], &advice).await;
    refused(&["--trusted-proxies", "10.0.0.0/8"], &["--insecure"]).await;
    Server::start(&["--public-url", "http://localhost:8000/p"]).await;

    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use").await;
    let file = tokens.file();
    let file = file.to_str().expect("a plain name");
    let plain = [
        "--host",
        "0.0.0.0",
        "--auth",
        "tokens",
        "--tokens-file",
        file,
    ];
    refused(&plain, &["--tls-cert", "--insecure", "127.0.0.1"]).await;
    for server in [
        Server::start(&["--host", "0.0.0.0", "--insecure"]).await,
        tokens.server(&["--host", "0.0.0.0", "--insecure"]).await,
    ] {
        let base = server.base().replace("0.0.0.0", "127.0.0.1");
        let bearer = format!("Bearer {user}");
        let headers = [("authorization", &*bearer)];
        let reply = rest::request("GET", &format!("{base}/ws/sessions"), &headers).await;
        assert_eq!(reply.status, 200);
    }
}

#[tokio::test]
async fn tokens_need_a_file_that_can_be_trusted() {
    refused(
        &["--auth", "tokens"],
        &["--tokens-file", "pointstream token"],
    )
    .await;
    // Who gives one believes that tokens are asked for.
    let advice = ["--tokens-file", "add --auth tokens"];
    refused(&["--tokens-file", "/nonexistent.json"], &advice).await;
    let advice = ["--jwt-issuer", "--auth none", "add --auth jwt"];
    refused(&["--jwt-issuer", "https://id.example.org"], &advice).await;
    let tokens = Tokens::new();
    let file = tokens.file();
    let path = file.to_str().expect("a plain name");
    let options = ["--auth", "tokens", "--tokens-file", path];
    refused(&options, &[path, "No such file", "pointstream token"]).await;
    fs::write(&file, "{}").expect("writable");
    refused(&options, &[path, "not a file of tokens"]).await;
    fs::remove_file(&file).expect("there");
    tokens.add("user", "use").await;
    fs::set_permissions(&file, PermissionsExt::from_mode(0o606)).expect("ours");
    refused(&options, &[path, "chmod o-w"]).await;
}

#[tokio::test]
async fn the_first_steps_show_where_a_token_goes() {
    let shown = async |server: &Server| server.logged("Ctrl+C stops").await;
    let header = "curl -H \"Authorization: Bearer $POINTSTREAM_TOKEN\" -D - -F images=";
    let open = shown(&Server::start(&[]).await).await;
    assert!(
        open.contains("curl -D - -F images=") && !open.contains("TOKEN"),
        "{open}"
    );
    let tokens = Tokens::new();
    tokens.add("user", "create,use").await;
    let closed = shown(&tokens.server(&[]).await).await;
    assert!(closed.contains(header), "{closed}");
    assert!(closed.contains("export POINTSTREAM_TOKEN="), "{closed}");
}

//! The server below a path of a reverse proxy.

use serde_json::Value;

use crate::support::client;
use crate::support::pictures::photo;
use crate::support::rest::{self, FORM, Reply, form};
use crate::support::server::{Server, refused_start};

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Reply {
    rest::request("GET", &format!("{}{path}", server.base()), headers).await
}

fn servers(reply: &Reply) -> Value {
    reply.json()["servers"][0]["url"].clone()
}

#[tokio::test]
async fn everything_is_below_the_prefix() {
    let server = Server::start(&["--path-prefix", "/a/pointstream/"]).await;
    let redirect = get(&server, "/a/pointstream?session=x", &[]).await;
    assert_eq!(redirect.status, 307);
    assert_eq!(
        redirect.header("location"),
        Some("/a/pointstream/?session=x")
    );
    for path in [
        "/",
        "/dashboard",
        "/sample/000.jpg",
        "/healthz",
        "/ws/sessions",
        "/docs/",
        "/docs/index.css",
    ] {
        assert_eq!(
            get(&server, &format!("/a/pointstream{path}"), &[])
                .await
                .status,
            200,
            "{path}"
        );
        assert_eq!(
            get(&server, path, &[]).await.status,
            200,
            "{path}, if the proxy removes it"
        );
    }
    for path in [
        "/a",
        "/a/pointstreams/healthz",
        "/a/pointstream/a/pointstream/healthz",
        "/a/pointstream//healthz",
    ] {
        assert_eq!(get(&server, path, &[]).await.status, 404, "{path}");
    }
    for path in ["/a/pointstream/openapi.json", "/openapi.json"] {
        assert_eq!(servers(&get(&server, path, &[]).await), "/a/pointstream");
    }
    let sockets = get(&server, "/a/pointstream/asyncapi.json", &[])
        .await
        .json();
    assert_eq!(sockets["servers"]["this"]["pathname"], "/a/pointstream");
    let redirect = get(&server, "/a/pointstream/docs", &[]).await;
    assert_eq!(redirect.header("location"), Some("docs/"));
    let script = get(&server, "/a/pointstream/docs/swagger-initializer.js", &[])
        .await
        .text();
    assert!(script.contains("../openapi.json"), "{script}");

    let created = rest::request(
        "POST",
        &format!("{}/a/pointstream/ws/session/create", server.base()),
        &[],
    )
    .await;
    let session = created.json()["session_id"]
        .as_str()
        .expect("a session")
        .to_owned();
    let socket = server
        .socket(&session)
        .replace("/ws/", "/a/pointstream/ws/");
    client::open(&socket).await.expect("a socket");
    let metrics = server.get("/metrics").await.text();
    let counted = r#"{method="POST",route="/ws/session/create",status="200"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn links_to_results_have_the_prefix() {
    let server = Server::start(&[
        "--public-url",
        "https://example.org/pointstream",
        "--insecure",
    ])
    .await;
    let url = format!(
        "{}/pointstream/reconstruct?async=true&process_res=56",
        server.base()
    );
    let pictures = [photo(0), photo(1)];
    let parts = pictures
        .each_ref()
        .map(|picture| ("images", None, &picture[..]));
    let headers = [("Content-Type", FORM)];
    let reply = rest::request_with("POST", &url, &headers, form(&parts)).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let told = reply.json();
    let id = told["session_id"].as_str().expect("an identifier");
    let status = format!("/pointstream/ws/session/{id}");
    assert_eq!(reply.header("location"), Some(&*status));
    assert_eq!(told["status_url"], status);
    assert!(
        told["result_url"]
            .as_str()
            .expect("a link")
            .starts_with(&status)
    );
    assert_eq!(get(&server, &status, &[]).await.status, 200);
}

#[tokio::test]
async fn a_trusted_proxy_may_say_what_it_removed() {
    let header = [("X-Forwarded-Prefix", "/b")];
    let server = Server::start(&["--trusted-proxies", "127.0.0.1", "--insecure"]).await;
    assert_eq!(servers(&get(&server, "/openapi.json", &header).await), "/b");
    assert_eq!(servers(&get(&server, "/openapi.json", &[]).await), "/");
    let wrong = [("X-Forwarded-Prefix", "//evil.example")];
    assert_eq!(get(&server, "/openapi.json", &wrong).await.status, 400);
    let wary = Server::start(&[]).await;
    assert_eq!(servers(&get(&wary, "/openapi.json", &header).await), "/");
    let (_, log) = refused_start(&["--path-prefix", "a/../b"]).await;
    assert!(log.contains("is not a path"), "{log}");
}

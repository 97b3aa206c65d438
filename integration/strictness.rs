//! Parameters and bodies that the server does not know are refused, unless the client asks for the
//! way of the original server.

use crate::support::pictures::photo;
use crate::support::raw;
use crate::support::rest::{FORM, form, request_with};
use crate::support::server::Server;
use serde_json::json;

#[tokio::test]
async fn unknown_parameters_are_refused_with_what_is_meant() {
    let server = Server::start(&[]).await;
    let session = server.session("").await;
    let show = format!("/ws/session/{session}");
    let create = "/ws/session/create".to_owned();
    for (method, path, query, words) in [
        (
            "POST",
            &create,
            "max_image=5",
            &["max_image", "max_images?"][..],
        ),
        ("POST", &create, "processRes=504", &["process_res?"]),
        (
            "POST",
            &create,
            "colour=red",
            &["colour", "filter_white_bg and glb_compression"],
        ),
        ("GET", &show, "verbose=1", &["verbose", "none here"]),
        ("GET", &format!("{show}/result"), "form=ply", &["format?"]),
        ("GET", &format!("{show}/images"), "page=2", &["page"]),
        ("DELETE", &show, "force=true", &["force"]),
        ("GET", &"/ws/sessions".to_owned(), "limit=3", &["limit"]),
    ] {
        let url = format!("{}{path}?{query}", server.base());
        let reply = request_with(method, &url, &[], Vec::new()).await;
        assert_eq!(reply.status, 422, "{query}: {}", reply.text());
        assert_eq!(reply.json()["code"], "unknown_parameter");
        let detail = reply.detail();
        for word in words.iter().chain(&["strict=false"]) {
            assert!(detail.contains(word), "{word} is missing: {detail}");
        }
    }
    let reply = server
        .post(&format!("{create}?max_image=5&strict=false"))
        .await;
    assert_eq!(reply.json()["max_images"], 100);
    let reply = server.post(&format!("{create}?strict=perhaps")).await;
    assert_eq!(reply.json()["code"], "invalid_parameter");
    // What all parameters of the protocol together get.
    let all = "max_images=7&process_res=56&process_res_method=upper_bound_crop\
        &conf_thresh_percentile=20&num_max_points=1000&show_cameras=false&window=6\
        &finalize_mode=auto&filter_edges=1&voxel_size=0.5&filter_black_bg=1&filter_white_bg=1\
        &glb_compression=meshopt&strict=true";
    assert_eq!(server.post(&format!("{create}?{all}")).await.status, 200);
    // Pages, and what machines poll, take any query.
    for path in [
        "/",
        "/dashboard",
        "/docs",
        "/healthz",
        "/readyz",
        "/metrics",
        "/status",
    ] {
        let reply = server.get(&format!("{path}?session=x&utm=y")).await;
        // A server that starts is not ready yet.
        assert!(
            reply.status < 400 || reply.status == 503,
            "{path}: {}",
            reply.status
        );
    }
}

#[tokio::test]
async fn bodies_that_nobody_reads_are_refused() {
    let server = Server::start(&[]).await;
    let send = async |query: &str, body: &str| {
        let url = format!("{}/ws/session/create?{query}", server.base());
        let headers = [("Content-Type", "application/json")];
        request_with("POST", &url, &headers, body.as_bytes().to_vec()).await
    };
    for (body, words) in [
        (r#"{"max_images": 5}"#, &["max_images", "?max_images="][..]),
        (r#"{"maxImages": 5}"#, &["maxImages", "?max_images="]),
        (r#"{"colour": "red"}"#, &["colour"]),
        ("[1]", &["body"]),
        ("max_images=5", &["body", "URL"]),
    ] {
        let reply = send("", body).await;
        assert_eq!(reply.status, 422, "{body}: {}", reply.text());
        assert_eq!(reply.json()["code"], "unexpected_body");
        let detail = reply.detail();
        for word in words {
            assert!(detail.contains(word), "{word} is missing: {detail}");
        }
        assert_eq!(send("strict=false", body).await.status, 200, "{body}");
    }
    // The client would wait for messages in vain.
    let cut = r#"{"webhook": {"url": "https://example.org/hook"}"#;
    let reply = send("strict=false", cut).await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (422, &json!("invalid_parameter"))
    );
    assert!(reply.detail().contains("webhook"), "{}", reply.detail());
    let misspelt = r#"{"webhooks": {"url": "https://example.org/hook"}}"#;
    for query in ["", "strict=false"] {
        let reply = send(query, misspelt).await;
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (422, &json!("unexpected_body")),
            "{query}"
        );
        assert!(reply.detail().contains("\"webhook\""), "{}", reply.detail());
    }
    // Libraries that always send a body send one of these.
    for body in ["", "{}", "null", " \n"] {
        assert_eq!(send("max_images=3", body).await.status, 200, "{body:?}");
    }
    // The form of a reconstruction is read.
    let url = format!("{}/reconstruct?process_res=56&async=false", server.base());
    let parts = form(&[("images", Some("0.png"), &photo(0))]);
    let reply = request_with("POST", &url, &[("Content-Type", FORM)], parts).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_no_empty_one() {
    let server = Server::start(&[]).await;
    let show = format!("/ws/session/{}", server.session("").await);
    let host = raw::address(&server).to_string();
    let headers = [
        ("Host", host.as_str()),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
    ];
    for target in ["POST /ws/session/create", &format!("DELETE {show}")] {
        let line = format!("{target} HTTP/1.1");
        let mut heard = raw::ask_with(&server, &line, &headers, "no size\r\n").await;
        let body = heard.body().await;
        assert_eq!(heard.status, 400, "{target}: {body}");
        assert!(body.contains("\"invalid_form\""), "{target}: {body}");
    }
    let sessions = server.get("/ws/sessions").await.json();
    assert_eq!(sessions["stats"]["total_sessions"], 1, "{sessions}");
}

#[tokio::test]
async fn requests_without_parameters_have_no_body() {
    let server = Server::start(&[]).await;
    let session = server.session("").await;
    let show = format!("/ws/session/{session}");
    let send = async |method: &str, path: &str, body: &str| {
        let url = format!("{}{path}", server.base());
        let headers = [("Content-Type", "application/json")];
        request_with(method, &url, &headers, body.as_bytes().to_vec()).await
    };
    let others = [
        ("POST", format!("{show}/reopen"), 409),
        ("DELETE", format!("{show}/generation"), 404),
        ("POST", "/webhooks/deliveries/1/redeliver".to_owned(), 404),
        ("POST", "/actors/workers/99/restart".to_owned(), 404),
        ("DELETE", show.clone(), 200),
    ];
    for (method, path, _) in &others {
        for (body, word) in [
            (r#"{"max_images": 5}"#, "\"max_images\""),
            ("[1]", "a body"),
            ("max_images=5", "a body"),
        ] {
            let reply = send(method, path, body).await;
            assert_eq!(reply.status, 422, "{method} {path}: {}", reply.text());
            assert_eq!(reply.json()["code"], "unexpected_body");
            let detail = reply.detail();
            assert!(detail.contains(word), "{detail}");
            assert!(detail.contains("strict=false"), "{detail}");
        }
    }
    // Nothing was done.
    assert_eq!(server.get(&show).await.status, 200);
    for (method, path, status) in others {
        let unread = send(method, &format!("{path}?strict=false"), "[1]").await;
        assert_eq!(unread.status, status, "{}", unread.text());
    }
    for (body, status) in [("{}", 200), ("null", 404), ("", 404)] {
        let path = match status {
            200 => format!("/ws/session/{}", server.session("").await),
            _ => show.clone(),
        };
        let reply = send("DELETE", &path, body).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
}

#[tokio::test]
async fn the_original_service_is_asked_for_its_status() {
    let server = Server::start(&[]).await;
    let reply = server.get("/status").await;
    assert_eq!(reply.status, 200);
    let status = reply.json();
    assert!(status["model_loaded"].is_boolean());
    assert_eq!(status["model_dir"], "flat");
    assert_eq!(status["device"], "cpu");
    assert!(
        status["uptime"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    );
}

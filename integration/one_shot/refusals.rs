//! What `POST /reconstruct` refuses.

use super::{all_gone, image, reconstruct};
use crate::support::pictures::{photo, sized};
use crate::support::rest::{self, FORM, Part};
use crate::support::server::Server;

#[tokio::test]
async fn what_cannot_be_used_is_named_and_nothing_stays() {
    let server =
        Server::start(&["--max-image-bytes", "50000", "--max-image-pixels", "20000"]).await;
    let good = photo(0);
    let cut_off = &good[..good.len() / 2];
    let large = vec![1; 60_000];
    let many_pixels = sized(200, 150);
    let cases: &[(&str, &[Part<'_>], u16, &[&str])] = &[
        ("", &[], 422, &["no images"]),
        (
            "",
            &[image("a.png", &good), image("notes.txt", b"just words")],
            422,
            &["notes.txt", "image"],
        ),
        (
            "",
            &[image("bad.png", cut_off), image("b.png", &good)],
            422,
            &["bad.png"],
        ),
        ("", &[("images", None, b"invalid")], 422, &["image 1"]),
        ("", &[image("none.png", b"")], 422, &["none.png", "empty"]),
        (
            "",
            &[image("a.png", &good), ("process_res", None, b"504")],
            422,
            &["process_res", "query"],
        ),
        (
            "",
            &[image("a.png", &good), image("large.png", &large)],
            413,
            &["large.png", "50000"],
        ),
        (
            "",
            &[image("wide.png", &many_pixels)],
            422,
            &["wide.png", "pixels", "20000"],
        ),
        (
            "max_images=2",
            &[
                image("0", &good),
                image("1", &good),
                image("2", &good),
                image("3", &good),
            ],
            422,
            &["max_images", "2"],
        ),
        (
            "conf_thresh_percentile=101",
            &[image("a.png", &good)],
            422,
            &["conf_thresh_percentile", "100"],
        ),
        (
            "format=obj",
            &[image("a.png", &good)],
            422,
            &["format", "glb"],
        ),
        ("async=perhaps", &[image("a.png", &good)], 422, &["async"]),
    ];
    for (query, parts, status, words) in cases {
        let reply = reconstruct(&server, query, parts).await;
        let detail = reply.detail();
        assert_eq!(reply.status, *status, "{detail}");
        for word in *words {
            assert!(detail.contains(word), "{word:?} is missing in {detail:?}");
        }
        all_gone(&server).await;
    }
    let reply = reconstruct(&server, "", &[image("a.png", &good)]).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn bodies_that_are_no_forms() {
    let server = Server::start(&[]).await;
    let url = format!("{}/reconstruct", server.base());
    let post = async |content_type: &str, body: &[u8]| {
        let headers = [("content-type", content_type)];
        rest::request_with("POST", &url, &headers, body.to_vec()).await
    };
    let reply = post("image/png", &photo(0)).await;
    assert_eq!(reply.status, 415);
    assert!(reply.detail().contains("multipart/form-data"));
    let reply = server.post("/reconstruct").await;
    assert_eq!(reply.status, 415);
    let whole = rest::form(&[("images", None, &photo(0))]);
    let reply = post(FORM, &whole[..whole.len() - 20]).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.detail().contains("ended early"));
    // The server must not buffer an endless beginning of a form.
    let reply = post(FORM, &vec![b'x'; 1 << 20]).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.detail().contains("131072"));
    let reply = server.get("/reconstruct").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    all_gone(&server).await;
}

#[tokio::test]
async fn a_full_server_says_when_to_come_again() {
    let server = Server::start(&["--max-sessions", "1"]).await;
    let taken = server.session("").await;
    let parts: &[Part<'_>] = &[("images", None, &photo(0))];
    let reply = reconstruct(&server, "", parts).await;
    assert_eq!(reply.status, 503);
    assert!(reply.detail().contains('1'));
    assert!(reply.header("retry-after").is_some());
    server.delete(&format!("/ws/session/{taken}")).await;
    assert_eq!(reconstruct(&server, "", parts).await.status, 200);
}

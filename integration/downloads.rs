//! Results as files: formats, validators, conditional requests and ranges.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::client::Client;
use crate::support::pictures::{noise, photo, sized};
use crate::support::rest::{self, Reply};
use crate::support::server::Server;
use crate::support::until;

/// Formats, their media types, and the suffixes of their file names.
const FORMATS: [(&str, &str, &str); 15] = [
    ("glb", "model/gltf-binary", "glb"),
    ("ply", "application/octet-stream", "ply"),
    ("colmap", "application/zip", "colmap.zip"),
    ("colmap_original", "application/zip", "original.colmap.zip"),
    ("npz", "application/octet-stream", "npz"),
    ("nerfstudio", "application/zip", "nerfstudio.zip"),
    (
        "nerfstudio_original",
        "application/zip",
        "original.nerfstudio.zip",
    ),
    ("las", "application/vnd.las", "las"),
    ("laz", "application/vnd.laszip", "laz"),
    ("e57", "application/octet-stream", "e57"),
    ("xyz", "application/octet-stream", "xyz"),
    ("csv", "text/csv; charset=utf-8; header=present", "csv"),
    ("mesh_glb", "model/gltf-binary", "mesh.glb"),
    ("mesh_ply", "application/octet-stream", "mesh.ply"),
    ("mesh_obj", "model/obj", "obj"),
];

fn path(session: &str, format: &str) -> String {
    format!("/ws/session/{session}/result?format={format}")
}

async fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    rest::request(method, &format!("{}{path}", server.base()), headers).await
}

/// Connects a client and waits for a result.
async fn with_result(server: &Server) -> Client {
    let mut client = server.client("").await;
    client.upload("a.png", &photo(1)).await;
    client.upload("b.png", &photo(2)).await;
    client.generate(true).await;
    client.result("delta").await;
    client
}

#[tokio::test]
async fn every_format_is_a_file_with_a_name_and_a_tag() {
    let server = Server::start(&[]).await;
    let client = with_result(&server).await;
    let session = &client.session;
    let mut tags = Vec::new();
    for (format, content_type, extension) in FORMATS {
        let path = path(session, format);
        let reply = server.get(&path).await;
        assert_eq!(reply.status, 200, "{format}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some(content_type));
        let name = format!("attachment; filename=\"{session}.{extension}\"");
        assert_eq!(reply.header("content-disposition"), Some(&*name));
        assert_eq!(reply.header("accept-ranges"), Some("bytes"));
        assert_eq!(reply.header("cache-control"), Some("no-cache"));
        let length = reply.body.len().to_string();
        assert_eq!(reply.header("content-length"), Some(&*length));
        let tag = reply.header("etag").expect("a tag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "strong: {tag}");

        let head = ask(&server, "HEAD", &path, &[]).await;
        assert_eq!(head.status, 200);
        assert!(head.body.is_empty());
        for header in [
            "content-type",
            "content-length",
            "content-disposition",
            "etag",
        ] {
            assert_eq!(head.header(header), reply.header(header), "{header}");
        }
        let again = server.get(&path).await;
        assert_eq!(again.body, reply.body, "{format} is the same every time");
        assert_eq!(again.header("etag"), Some(&*tag));
        assert!(!tags.contains(&tag), "each format has its own tag");
        tags.push(tag);
    }
    let json = server.get(&path(session, "json")).await;
    assert!(json.header("etag").is_some());
    assert_eq!(json.header("content-disposition"), None);
    let posted = server.post(&path(session, "ply")).await;
    assert_eq!(posted.status, 405);
    assert_eq!(posted.header("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn unknown_formats_are_named_with_the_known_ones() {
    let server = Server::start(&[]).await;
    let session = server.session("").await;
    for format in ["obj", "GLB", "", "colmap.zip"] {
        let reply = server.get(&path(&session, format)).await;
        assert_eq!(reply.status, 422, "{format}");
        let detail = reply.detail();
        for (known, _, _) in FORMATS {
            assert!(detail.contains(known), "{detail}");
        }
    }
    for (format, _, _) in FORMATS {
        let reply = server.get(&path(&session, format)).await;
        assert_eq!(reply.status, 404, "no result yet");
        assert!(reply.detail().contains("no result yet"));
    }
}

#[tokio::test]
async fn a_kept_copy_is_fetched_again_only_if_it_is_old() {
    let server = Server::start(&[]).await;
    let mut client = with_result(&server).await;
    for format in ["glb", "ply", "json"] {
        let path = path(&client.session, format);
        let first = server.get(&path).await;
        let tag = first.header("etag").expect("a tag").to_owned();
        let weak = format!("W/{tag}");
        let listed = format!("\"other\", {tag}");
        for known in [&tag, &weak, &listed, "*"] {
            for method in ["GET", "HEAD"] {
                let reply = ask(&server, method, &path, &[("If-None-Match", known)]).await;
                assert_eq!(reply.status, 304, "{known}");
                assert!(reply.body.is_empty());
                assert_eq!(reply.header("etag"), Some(&*tag));
            }
        }
        let both = [("If-None-Match", &*tag), ("Range", "bytes=0-3")];
        assert_eq!(ask(&server, "GET", &path, &both).await.status, 304);
        let other = ask(&server, "GET", &path, &[("If-None-Match", "\"other\"")]).await;
        assert_eq!(other.status, 200);
        assert_eq!(other.body, first.body);
        let matched = ask(&server, "GET", &path, &[("If-Match", &tag)]).await;
        assert_eq!(matched.status, 200);

        client.generate(true).await;
        client.result("delta").await;
        let newer = ask(&server, "GET", &path, &[("If-None-Match", &tag)]).await;
        assert_eq!(newer.status, 200, "a newer result has another tag");
        assert_ne!(newer.header("etag"), Some(&*tag));
        let failed = ask(&server, "GET", &path, &[("If-Match", &tag)]).await;
        assert_eq!(failed.status, 412);
        failed.detail();
    }
}

#[tokio::test]
async fn a_file_can_be_fetched_in_parts() {
    let server = Server::start(&[]).await;
    let mut client = with_result(&server).await;
    let path = path(&client.session, "ply");
    let whole = server.get(&path).await;
    let tag = whole.header("etag").expect("a tag").to_owned();
    let length = whole.body.len();
    let last = length - 1;
    for (range, expected) in [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=10-99".to_owned(), 10..100),
        ("bytes=100-".to_owned(), 100..length),
        (format!("bytes={last}-{}", last + 50), last..length),
        ("bytes=-7".to_owned(), length - 7..length),
        (format!("bytes=-{}", length + 1), 0..length),
    ] {
        let reply = ask(&server, "GET", &path, &[("Range", &range)]).await;
        assert_eq!(reply.status, 206, "{range}: {}", reply.text());
        let content = format!("bytes {}-{}/{length}", expected.start, expected.end - 1);
        assert_eq!(reply.header("content-range"), Some(&*content));
        let part_length = expected.len().to_string();
        assert_eq!(reply.header("content-length"), Some(&*part_length));
        assert_eq!(reply.header("etag"), Some(&*tag));
        assert_eq!(reply.body, whole.body[expected], "{range}");
    }
    for range in [format!("bytes={length}-"), "bytes=-0".to_owned()] {
        let reply = ask(&server, "GET", &path, &[("Range", &range)]).await;
        assert_eq!(reply.status, 416, "{range}");
        let content = format!("bytes */{length}");
        assert_eq!(reply.header("content-range"), Some(&*content));
        reply.detail();
    }
    // Invalid ranges and several ranges get the whole file, and so does HEAD.
    for range in ["bytes=5-2", "bytes=x-y", "lines=1-2", "bytes=0-1,5-6"] {
        let reply = ask(&server, "GET", &path, &[("Range", range)]).await;
        assert_eq!(reply.status, 200, "{range}");
        assert_eq!(reply.body.len(), length);
    }
    let head = ask(&server, "HEAD", &path, &[("Range", "bytes=0-1")]).await;
    assert_eq!(head.status, 200);

    let with = |tag: &str| {
        [
            ("Range", "bytes=1-2".to_owned()),
            ("If-Range", tag.to_owned()),
        ]
    };
    for (condition, status) in [
        (with(&tag), 206),
        (with("\"other\""), 200),
        (with(&format!("W/{tag}")), 200),
        (with("Sat, 29 Oct 1994 19:43:31 GMT"), 200),
        (with("nonsense"), 200),
    ] {
        let headers = condition.each_ref().map(|(name, value)| (*name, &**value));
        let reply = ask(&server, "GET", &path, &headers).await;
        assert_eq!(reply.status, status, "{condition:?}");
    }
    // With an old tag, `If-Range` returns the whole new file instead of a part.
    client.generate(true).await;
    client.result("delta").await;
    let headers = [("Range", "bytes=100-"), ("If-Range", &*tag)];
    assert_eq!(ask(&server, "GET", &path, &headers).await.status, 200);
}

/// Extensions of the result files.
fn results(server: &Server) -> Vec<String> {
    let others = [".image", ".rgb", ".sqlite", ".sqlite-wal"];
    let is_result = |file: &String| !others.iter().any(|end| file.ends_with(end));
    let names = server.files().into_iter().filter(is_result);
    names
        .filter_map(|file| file.rsplit('/').next().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn a_format_is_written_once_and_goes_with_its_result() {
    let server = Server::start(&[]).await;
    let mut client = with_result(&server).await;
    assert_eq!(
        results(&server),
        ["1.glb", "1.npz"],
        "no other format was requested"
    );
    let path = path(&client.session, "colmap");
    let asked = (0..8).map(|_| server.get(&path));
    let replies = futures_util::future::join_all(asked).await;
    for reply in &replies {
        assert_eq!(reply.status, 200);
        assert_eq!(reply.body, replies[0].body);
    }
    let written = server.logged("result written").await;
    let written = written.matches("result written").count();
    assert_eq!(written, 1, "eight concurrent requests write one file");
    assert_eq!(results(&server), ["1.colmap.zip", "1.glb", "1.npz"]);

    client.generate(true).await;
    client.result("delta").await;
    until("the removal of the old files", async || {
        (results(&server) == ["2.glb", "2.npz"]).then_some(())
    })
    .await;
    let newer = server.get(&path).await;
    assert_eq!(newer.status, 200);
    server
        .delete(&format!("/ws/session/{}", client.session))
        .await;
    assert_eq!(server.files(), Vec::<String>::new());
    assert_eq!(server.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_session_can_be_deleted_while_a_format_is_written() {
    let server = Server::start(&[]).await;
    let mut client = server.client("process_res=504").await;
    for name in 0..24 {
        client.upload(&name.to_string(), &sized(504, 378)).await;
    }
    client.generate(true).await;
    client.result("delta").await;
    let path = path(&client.session, "colmap");
    let delete = async {
        until("the start of the export", async || {
            let files = results(&server);
            files
                .contains(&"1.colmap.zip.part".to_owned())
                .then_some(())
        })
        .await;
        let session = format!("/ws/session/{}", client.session);
        server.delete(&session).await
    };
    let (fetched, deleted) = tokio::join!(server.get(&path), delete);
    assert_eq!(deleted.status, 200);
    assert_eq!(server.files(), Vec::<String>::new());
    assert_eq!(
        fetched.status, 404,
        "exporting two million points must take longer than a request"
    );
    assert_eq!(server.log().matches("result written").count(), 0);
}

#[tokio::test]
async fn pages_may_read_what_they_need_to_download() {
    let server = Server::start(&[]).await;
    let client = with_result(&server).await;
    let origin = ("Origin", "http://localhost:1234");
    let path = path(&client.session, "npz");
    let reply = ask(&server, "GET", &path, &[origin]).await;
    let exposed = reply
        .header("access-control-expose-headers")
        .unwrap_or_default();
    for header in [
        "etag",
        "content-range",
        "content-disposition",
        "accept-ranges",
        "x-quality",
        "x-quality-reasons",
        "x-quality-advice",
    ] {
        assert!(exposed.contains(header), "{header} is not in {exposed}");
    }
    let asks = [
        origin,
        ("Access-Control-Request-Method", "GET"),
        (
            "Access-Control-Request-Headers",
            "if-none-match,if-range,range",
        ),
    ];
    let reply = ask(&server, "OPTIONS", &path, &asks).await;
    let allowed = reply
        .header("access-control-allow-headers")
        .unwrap_or_default();
    for header in ["range", "if-range", "if-none-match"] {
        assert!(allowed.contains(header), "{header} is not in {allowed}");
    }
}

/// Clients that request a format at the same time share one export.
#[tokio::test]
async fn a_result_and_its_description_name_the_same_points() {
    let server = Server::start(&[]).await;
    let client = with_result(&server).await;
    let json: Value = server.get(&path(&client.session, "json")).await.json();
    let ply = server.get(&path(&client.session, "ply")).await.text();
    let points = &json["metadata"]["num_points"];
    assert!(ply.contains(&format!("element vertex {points}\n")));
}

#[tokio::test]
async fn a_file_that_the_client_has_is_not_written() {
    let server = Server::start(&[]).await;
    let client = with_result(&server).await;
    let glb = server.get(&path(&client.session, "glb")).await;
    let tag = glb.header("etag").expect("a tag");
    let before = server.files();
    for format in ["ply", "colmap", "nerfstudio"] {
        // The tag of every format is known as soon as the result exists.
        let tag = tag.replace("glb", format);
        let path = path(&client.session, format);
        for (header, tag, status) in [
            ("if-none-match", tag.as_str(), 304),
            ("if-none-match", "*", 304),
            ("if-match", "\"another\"", 412),
        ] {
            let reply = ask(&server, "GET", &path, &[(header, tag)]).await;
            assert_eq!(reply.status, status, "{format} {header}: {tag}");
        }
        assert_eq!(server.files(), before, "nothing was written");
        let reply = ask(&server, "GET", &path, &[("if-match", &tag)]).await;
        assert_eq!(reply.status, 200, "{format}");
        assert_eq!(reply.header("etag"), Some(tag.as_str()));
        // Only one file was added. Remove it, so that the next format starts from the same files.
        assert_eq!(server.files().len(), before.len() + 1);
        let path = server.data_dir().join("sessions").join(&client.session);
        for file in path.read_dir().expect("it is there").flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if !before.iter().any(|old| old.ends_with(&format!("/{name}"))) {
                std::fs::remove_file(file.path()).expect("writable");
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_nobody_waits_for_any_more_is_not_written() {
    let server = Server::start(&[]).await;
    let mut client = server.client("process_res=504&num_max_points=1000").await;
    // Images that take long to compress.
    let picture = noise(504, 504);
    for _ in 0..60 {
        client.upload("x.png", &picture).await;
    }
    client.generate(false).await;
    client.result("complete").await;
    let path = path(&client.session, "colmap");
    let is_there = |name: &str| server.files().iter().any(|file| file.ends_with(name));

    let address = server.base().strip_prefix("http://").expect("an address");
    let mut leaving = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    leaving
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    until("the start of the export", async || {
        is_there("colmap.zip.part").then_some(())
    })
    .await;
    drop(leaving);
    server.logged("writing a result was cancelled").await;
    assert!(!is_there("colmap.zip.part") && !is_there("colmap.zip"));
    // A later request gets the file.
    let reply = server.get(&path).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(is_there("colmap.zip"));
}

#[tokio::test]
async fn a_web_page_has_the_point_cloud_in_it() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    client.upload("a.png", &photo(1)).await;
    client.upload("x</script>.png", &photo(2)).await;
    client.generate(true).await;
    client.result("delta").await;
    let glb = server.get(&path(&client.session, "glb")).await.body;
    let page = server.get(&path(&client.session, "html")).await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(page.header("content-security-policy"), Some("sandbox"));
    let name = page.header("content-disposition").expect("a name");
    assert!(name.starts_with("attachment") && name.ends_with(".html\""));
    let text = page.text();
    let block = |id: &str| {
        let begin = format!("<script id=\"{id}\" type=\"");
        let (_, rest) = text.split_once(&begin).expect("a block");
        let (_, rest) = rest.split_once("\">").expect("its begin");
        let (block, _) = rest.split_once("</script>").expect("its end");
        block.to_owned()
    };
    let found = BASE64.decode(block("glb")).expect("base64");
    assert!(found == glb, "{} and {} bytes", found.len(), glb.len());
    let described = server.get(&path(&client.session, "json")).await;
    assert_eq!(block("scene"), described.text());
    // The name of an image does not end the block.
    let found = described.json()["metadata"]["frames"][1].clone();
    assert_eq!(found, "x</script>.png");
    assert!(text.trim_end().ends_with("</html>"));

    // It is always whole, and need not be sent twice.
    let wanted = path(&client.session, "html");
    let ranged = ask(&server, "GET", &wanted, &[("range", "bytes=0-9")]).await;
    assert_eq!((ranged.status, ranged.body.len()), (200, page.body.len()));
    assert_eq!(ranged.header("accept-ranges"), None);
    let head = ask(&server, "HEAD", &wanted, &[]).await;
    let length = page.body.len().to_string();
    assert_eq!(head.header("content-length"), Some(&*length));
    let tag = page.header("etag").expect("a tag").to_owned();
    let again = ask(&server, "GET", &wanted, &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
}

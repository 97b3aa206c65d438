//! The system's limit of open files.

use crate::support::archives::archive;
use crate::support::pictures::photo;
use crate::support::server::Server;

/// A session with a result.
async fn with_result(server: &Server) -> String {
    let mut client = server.client("").await;
    client.upload("a.png", &photo(0)).await;
    client.upload("b.png", &photo(1)).await;
    client.generate(true).await;
    client.result("delta").await;
    client.session.clone()
}

#[tokio::test]
async fn stored_sessions_are_opened_under_the_raised_limit() {
    const FILES: u64 = 64;
    let server = Server::start(&[]).await;
    let mut sessions = Vec::new();
    for _ in 0..20 {
        sessions.push(with_result(&server).await);
    }
    let model = archive("flat");
    let model = model.to_str().expect("a plain name");
    let server = Server::start_with_files(server.kill(), FILES, &["--model", model]).await;
    for session in &sessions {
        assert_eq!(server.info(session).await["has_result"], true);
    }
    let open = server.open_files().len() as u64;
    assert!(open > FILES, "only {open} files: the limit does not matter");
}

#[tokio::test]
async fn a_session_has_few_files_open() {
    let server = Server::start(&[]).await;
    let session = with_result(&server).await;
    for format in [
        "glb",
        "ply",
        "colmap",
        "npz",
        "nerfstudio",
        "las",
        "laz",
        "e57",
        "xyz",
        "csv",
        "mesh_glb",
        "mesh_ply",
        "mesh_obj",
    ] {
        let path = format!("/ws/session/{session}/result?format={format}");
        assert_eq!(server.get(&path).await.status, 200, "{format}");
    }
    let folder = server.session_folder(&session);
    let open = server.open_files();
    let own: Vec<_> = open
        .iter()
        .filter(|file| file.starts_with(&folder))
        .collect();
    // What the server reckons with when it says how many clients can connect.
    assert!(own.len() <= 18, "{own:?}");
    assert!(own.len() >= 15, "{own:?}");
}

//! `pointstream data`: looks after the sessions of a data directory.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::support::archives::archive;
use crate::support::pictures::photo;
use crate::support::program::{Ended, ended, program};
use crate::support::receiver::Receiver;
use crate::support::server::{Server, new_data_dir};

/// Runs a command of `pointstream data`.
async fn data(arguments: &[&Path]) -> Ended {
    let cache = new_data_dir();
    let mut command = program(cache.path(), &["data"]);
    command.args(arguments);
    ended(command.spawn().expect("the program starts")).await
}

/// A data directory with a session of two images, and the session.
async fn stored() -> (tempfile::TempDir, String) {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    for index in 0..2 {
        client.upload("x.png", &photo(index)).await;
    }
    client.generate(true).await;
    client.result("delta").await;
    let session = client.session.clone();
    (server.kill(), session)
}

fn path(text: &str) -> &Path {
    Path::new(text)
}

#[tokio::test]
async fn a_session_moves_to_another_data_directory() {
    let (from, session) = stored().await;
    let checked = data(&[path("check"), from.path()]).await.done();
    let line = format!("{session}: 2 images, with a result, 0 requests wait");
    assert!(checked.contains(&line), "{checked}");
    let archive_path = from.path().join("session.tar");
    data(&[path("export"), from.path(), path(&session), &archive_path])
        .await
        .done();
    let mode = fs::metadata(&archive_path).expect("it is there").mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else reads the photos");
    let again = data(&[path("export"), from.path(), path(&session), &archive_path]).await;
    again.refused(&["session.tar", "exists"]);
    let here = data(&[path("import"), from.path(), &archive_path]).await;
    here.refused(&["is there already"]);

    let to = new_data_dir();
    let missing = data(&[path("import"), to.path(), &archive_path]).await;
    missing.refused(&["is not a data directory"]);
    let model = archive("flat");
    let model = model.to_str().expect("a plain name");
    let to = Server::start_in(to, &["--model", model]).await.kill();
    let imported = data(&[path("import"), to.path(), &archive_path])
        .await
        .done();
    assert!(imported.contains(&line), "{imported}");
    let server = Server::start_in(to, &["--model", model]).await;
    assert_eq!(server.info(&session).await["image_count"], 2);
    let result = server.get(&format!("/ws/session/{session}/result")).await;
    assert_eq!(result.status, 200);
    let used = data(&[path("check"), server.data_dir()]).await;
    used.refused(&["in use by another server"]);
}

#[tokio::test]
async fn a_session_comes_back_although_its_end_was_told() {
    let model = archive("flat");
    let model = model.to_str().expect("a plain name");
    let receiver = Receiver::start().await;
    let secret = new_data_dir();
    let file = secret.path().join("secret");
    fs::write(&file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("written");
    let (url, file) = (receiver.url(), file.to_str().expect("a plain name"));
    let options = [
        "--model",
        model,
        "--webhook-url",
        &url,
        "--webhook-secret-file",
        file,
    ];
    let server = Server::start_in(new_data_dir(), &options).await;
    let session = server.session("").await;
    let folder = server.kill();
    let archive_path = secret.path().join("session.tar");
    data(&[path("export"), folder.path(), path(&session), &archive_path])
        .await
        .done();
    let server = Server::start_in(folder, &options).await;
    server.delete(&format!("/ws/session/{session}")).await;
    receiver.received(1).await;
    let folder = server.kill();
    let checked = data(&[path("check"), folder.path()]).await.done();
    assert!(checked.contains("webhooks: "), "{checked}");
    data(&[path("import"), folder.path(), &archive_path])
        .await
        .done();
    let server = Server::start_in(folder, &options).await;
    assert_eq!(server.info(&session).await["image_count"], 0);
    server.delete(&format!("/ws/session/{session}")).await;
    assert_eq!(receiver.received(2).await.len(), 2, "it has ended again");
}

#[tokio::test]
async fn a_damaged_session_is_named() {
    let (folder, session) = stored().await;
    fs::remove_file(folder.path().join("sessions").join(&session).join("1.rgb")).expect("there");
    let checked = data(&[path("check"), folder.path()]).await;
    checked.refused(&["1 of the sessions are damaged"]);
    let archive_path = folder.path().join("session.tar");
    let exported = data(&[path("export"), folder.path(), path(&session), &archive_path]).await;
    exported.refused(&["1.rgb is missing"]);
    assert!(!archive_path.exists());
}

#[tokio::test]
async fn what_is_not_damaged_is_not_called_so() {
    let (folder, session) = stored().await;
    let sessions = folder.path().join("sessions");
    // Created, and never acknowledged.
    let bare = "11111111-2222-4333-8444-555555555555";
    fs::create_dir(sessions.join(bare)).expect("created");
    let cut_off = sessions.join(format!("{bare}.x.import"));
    fs::create_dir(&cut_off).expect("created");
    let checked = data(&[path("check"), folder.path()]).await.done();
    assert!(checked.contains(&format!("{bare}: has ended")), "{checked}");
    assert!(checked.contains("an import that was cut off"), "{checked}");
    let archive_path = folder.path().join("session.tar");
    let exported = data(&[path("export"), folder.path(), path(bare), &archive_path]).await;
    exported.refused(&["has ended"]);
    data(&[path("export"), folder.path(), path(&session), &archive_path])
        .await
        .done();
    fs::remove_dir_all(sessions.join(&session)).expect("there");
    data(&[path("import"), folder.path(), &archive_path])
        .await
        .done();
    assert!(!cut_off.exists());

    // Where SQLite has the number of the application's format.
    let journal = sessions.join(&session).join("journal.sqlite");
    let mut content = fs::read(&journal).expect("there");
    content[60..64].copy_from_slice(&1000_u32.to_be_bytes());
    fs::write(&journal, content).expect("written");
    let checked = data(&[path("check"), folder.path()]).await;
    checked.refused(&["1 of the sessions cannot be read now"]);
    let server = Server::start_in(folder, &[]).await;
    let folder = server.kill();
    assert!(
        sessions.join(&session).is_dir(),
        "it waits for a newer program"
    );
    assert!(!sessions.join(bare).exists());
    drop(folder);
}

#[tokio::test]
async fn an_archive_of_something_else_is_refused() {
    let (folder, _) = stored().await;
    let archive_path = folder.path().join("other.tar");
    let file = fs::File::create(&archive_path).expect("created");
    let mut other = tar::Builder::new(file);
    other
        .append_dir_all("notes", folder.path().join("sessions"))
        .expect("written");
    other.finish().expect("written");
    let refused = data(&[path("import"), folder.path(), &archive_path]).await;
    refused.refused(&["not the archive of one session"]);
    let sessions = fs::read_dir(folder.path().join("sessions")).expect("there");
    assert_eq!(sessions.count(), 1);
}

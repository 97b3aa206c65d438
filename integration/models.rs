//! The model store from the command line: its content, and refused archives.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::Value;

use crate::support::program::ended;
use crate::support::server::{Server, new_data_dir, refused_start};
use crate::support::store::{Place, small};

#[tokio::test]
async fn an_empty_store_lists_what_there_is() {
    let place = Place::working();
    let listed = place.models(&["list"]).await.done();
    assert!(listed.contains("da3-small"), "{listed}");
    assert!(listed.contains("CC-BY-NC-4.0"), "{listed}");
    place.models(&["verify"]).await.done();
    for command in ["path", "remove", "verify"] {
        let refused = place.models(&[command, "da3-small"]).await;
        refused.refused(&["da3-small is not in the model store"]);
    }
    assert!(!place.store().exists(), "reading must not create the store");
}

#[tokio::test]
async fn a_fetched_model_is_recorded_verified_and_removed() {
    let place = Place::working();
    let fetched = place.models(&["fetch", "da3-small"]).await.done();
    assert!(fetched.contains("Apache-2.0"), "{fetched}");
    let path = place.models(&["path", "da3-small"]).await.done();
    assert_eq!(Path::new(path.trim()), place.archive());
    assert_eq!(
        fs::read(place.archive()).expect("there"),
        fs::read(small()).expect("there")
    );
    let record: Value =
        serde_json::from_slice(&fs::read(place.record()).expect("there")).expect("JSON");
    assert_eq!(record["source"]["repository"], "owner/name");
    assert_eq!(record["source"]["revision"], "0123456789abcdef");
    assert_eq!(
        record["source"]["digest"],
        format!("sha256:{}", "0".repeat(64))
    );
    let listed = place.models(&["list"]).await.done();
    assert!(listed.contains("owner/name@0123456789ab"), "{listed}");
    place.models(&["verify"]).await.done();
    // The model exists, so a fetch does nothing without `--force`.
    place.fetched().await;
    place
        .models(&["fetch", "da3-small", "--force"])
        .await
        .done();
    let calls = fs::read_to_string(place.folder.path().join("calls")).expect("two");
    assert_eq!(calls.lines().count(), 2);
    place.models(&["remove", "da3-small"]).await.done();
    assert!(!place.record().exists() && place.unfinished().is_empty());
}

#[tokio::test]
async fn what_a_fetch_would_do_can_be_asked_before() {
    let place = Place::working();
    let check = async |arguments: &[&str]| {
        let fetch = ["fetch", "da3-small", "--check"];
        place.models(&[&fetch[..], arguments].concat()).await
    };
    assert_eq!(check(&[]).await.done(), "da3-small: can be fetched\n");
    let folder = place.folder.path().join("checkpoint");
    let path = folder.to_str().expect("a plain name");
    check(&["--from", path])
        .await
        .refused(&[path, "config.json"]);
    fs::create_dir(&folder).expect("writable");
    fs::write(folder.join("config.json"), "{}").expect("writable");
    check(&["--from", path])
        .await
        .refused(&[path, "model.safetensors"]);
    fs::write(folder.join("model.safetensors"), "").expect("writable");
    assert_eq!(
        check(&["--from", path]).await.done(),
        "da3-small: can be fetched\n"
    );
    assert!(!place.store().exists(), "reading must not create the store");
    place.fetched().await;
    assert_eq!(check(&[]).await.done(), "da3-small: in the store\n");
    assert_eq!(
        check(&["--force"]).await.done(),
        "da3-small: can be fetched\n"
    );
    fs::write(place.archive(), b"damaged").expect("ours");
    assert_eq!(check(&[]).await.done(), "da3-small: can be fetched\n");
}

#[tokio::test]
async fn what_is_left_of_a_fetch_is_removed() {
    let place = Place::working();
    let downloads = place.store().join(".work/da3-small/downloads");
    fs::create_dir_all(&downloads).expect("writable");
    let removed = place.models(&["remove", "da3-small"]).await.done();
    assert!(
        removed.contains("unfinished fetch of da3-small"),
        "{removed}"
    );
    assert!(!downloads.exists());
    let refused = place.models(&["remove", "da3-small"]).await;
    refused.refused(&["da3-small is not in the model store"]);
}

#[tokio::test]
async fn the_store_may_be_named_from_the_current_folder() {
    let place = Place::working();
    let fetch = ["fetch", "da3-small", "--model-store", "here"];
    let child = place
        .command(&fetch)
        .current_dir(place.folder.path())
        .spawn();
    ended(child.expect("it starts")).await.done();
    assert!(
        place
            .folder
            .path()
            .join("here/da3-small/record.json")
            .is_file()
    );
}

#[tokio::test]
async fn files_that_were_changed_are_refused_with_what_is_wrong() {
    let place = Place::working();
    place.fetched().await;
    let path = place.archive();
    let content = fs::read(&path).expect("there");
    let refused = async |words: &[&str]| {
        let verified = place.models(&["verify", "da3-small"]).await;
        verified.refused(words);
        let cache = place.folder.path().join("pointstream/models");
        let store = cache.to_str().expect("a plain name");
        let options = ["--model", "da3-small", "--model-store", store];
        let (code, said) = refused_start(&options).await;
        assert_eq!(code, 1, "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is missing:\n{said}");
        }
    };

    let mut flipped = content.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&path, flipped).expect("ours");
    refused(&["damaged", "SHA-256"]).await;
    fs::write(&path, &content[..middle]).expect("ours");
    refused(&["damaged", "bytes"]).await;
    fs::write(&path, [content.as_slice(), b"more"].concat()).expect("ours");
    refused(&["longer than"]).await;
    fs::write(&path, &content).expect("ours");

    fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).expect("ours");
    refused(&["others may write it"]).await;
    fs::remove_file(&path).expect("ours");
    symlink(small(), &path).expect("writable");
    refused(&["symbolic link"]).await;
    fs::remove_file(&path).expect("ours");
    refused(&["damaged", "there is no"]).await;
    fs::write(&path, &content).expect("ours");

    // The target of a link in place of the model's folder may belong to another user.
    let folder = place.store().join("da3-small");
    let moved = place.folder.path().join("moved");
    fs::rename(&folder, &moved).expect("ours");
    symlink(&moved, &folder).expect("writable");
    refused(&["da3-small is not loaded", "symbolic link"]).await;
    fs::remove_file(&folder).expect("ours");
    fs::rename(&moved, &folder).expect("ours");

    // A record must not refer to a file outside its folder.
    let record = fs::read_to_string(place.record()).expect("there");
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name");
    let outside = small().display().to_string();
    fs::write(place.record(), record.replace(name, &outside)).expect("ours");
    refused(&["damaged", "no name of an archive"]).await;
    fs::write(place.record(), "{}").expect("ours");
    refused(&["damaged", "its record is wrong"]).await;

    // Fetching again repairs it.
    place.fetched().await;
    place.models(&["verify", "da3-small"]).await.done();
}

#[tokio::test]
async fn the_server_takes_the_best_of_the_store() {
    let place = Place::working();
    let store = place.store();
    let store = store.to_str().expect("a plain name");
    let options = ["--model-store", store];
    let server = Server::start_in(new_data_dir(), &options).await;
    assert_eq!(server.get("/info").await.json()["model"]["name"], "mvs");
    server.logged("models fetch da3-small").await;
    drop(server);

    // The server fetches a named model at its start.
    let python = place.python();
    let python = python.to_str().expect("a plain name");
    let options = [
        "--model",
        "da3-small",
        "--python",
        python,
        "--model-store",
        store,
    ];
    let server = Server::start_in(new_data_dir(), &options).await;
    let model = server.get("/info").await.json()["model"].clone();
    assert_eq!(model["name"], "da3-small");
    assert_eq!(model["license"], "Apache-2.0");
    drop(server);

    let options = ["--model-store", store];
    let server = Server::start_in(new_data_dir(), &options).await;
    assert_eq!(
        server.get("/info").await.json()["model"]["name"],
        "da3-small"
    );
    drop(server);

    // `auto` skips a damaged archive.
    fs::write(place.archive(), b"damaged").expect("ours");
    let server = Server::start_in(new_data_dir(), &options).await;
    assert_eq!(server.get("/info").await.json()["model"]["name"], "mvs");
    server.logged("skipped a model").await;
}

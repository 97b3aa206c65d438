//! Fetching without a network: it times out with a message, and the embedded model runs.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::program::{ended, program};
use crate::support::python;
use crate::support::server::{Server, new_data_dir, refused_start};
use crate::support::store::Place;

/// The program with its own cache and this hub address.
fn with_hub(cache: &Path, hub: &str, arguments: &[&str]) -> tokio::process::Command {
    let mut command = program(cache, arguments);
    command.env("HF_ENDPOINT", hub);
    command
}

#[tokio::test]
async fn without_a_network_it_says_so() {
    let cache = new_data_dir();
    let fetch = async |arguments: &[&str]| {
        let mut command = with_hub(cache.path(), "http://127.0.0.1:9", arguments);
        ended(command.spawn().expect("it starts")).await
    };
    for arguments in [
        ["models", "fetch", "da3-small"].as_slice(),
        &["models", "fetch", "da3-small", "--check"],
        &[
            "--model",
            "da3-small",
            "--port",
            "0",
            "--model-fallback",
            "never",
        ],
    ] {
        let refused = fetch(arguments).await;
        refused.refused(&[
            "http://127.0.0.1:9 cannot be reached",
            "HF_ENDPOINT",
            "models fetch da3-small --from FOLDER",
            "--model mvs",
        ]);
    }
    for arguments in [
        ["models", "fetch", "da3-small", "--offline"].as_slice(),
        &["models", "fetch", "da3-small", "--offline", "--check"],
        &[
            "--model",
            "da3-small",
            "--port",
            "0",
            "--offline",
            "--model-fallback",
            "never",
        ],
    ] {
        fetch(arguments)
            .await
            .refused(&["HF_HUB_OFFLINE", "--from FOLDER"]);
    }
}

#[tokio::test]
async fn a_hub_that_never_answers_is_given_up() {
    let cache = new_data_dir();
    // The kernel accepts connections into the backlog.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let hub = format!("http://{}", silent.local_addr().expect("bound"));
    let fetch = ["models", "fetch", "da3-small"];
    let child = with_hub(cache.path(), &hub, &fetch)
        .spawn()
        .expect("it starts");
    ended(child)
        .await
        .refused(&[&hub, "does not answer", "HF_ENDPOINT", "--from FOLDER"]);
}

#[tokio::test]
async fn while_the_hub_is_out_of_reach_the_embedded_model_runs() {
    let place = Place::working();
    let store = place.store();
    let store = store.to_str().expect("a plain name");
    let python = place.python();
    let python = python.to_str().expect("a plain name");
    let options = [
        "--model",
        "da3-small",
        "--model-store",
        store,
        "--python",
        python,
    ];

    place.set_download("echo 'error: http://hub does not answer' >&2; exit 69");
    let server = Server::start_in(new_data_dir(), &options).await;
    assert_eq!(server.get("/info").await.json()["model"]["name"], "mvs");
    for word in [
        "WARN",
        "mvs runs in place of da3-small",
        "http://hub does not answer",
        "models fetch da3-small",
    ] {
        server.logged(word).await;
    }
    drop(server);

    let (code, said) =
        refused_start(&[&options[..], &["--model-fallback", "never"]].concat()).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("http://hub does not answer"), "{said}");

    // An error of the model itself does not count as an unreachable hub.
    place.set_download("echo 'error: it came damaged' >&2; exit 1");
    let (code, said) = refused_start(&options).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("it came damaged"), "{said}");
}

#[tokio::test]
async fn offline_the_embedded_model_runs() {
    let cache = new_data_dir();
    let store = cache.path().join("models");
    let store = store.to_str().expect("a plain name");
    // Use an empty hub cache, so that the machine's own cache does not matter.
    let python = cache.path().join("python");
    let tools = python::interpreter();
    let script = format!(
        "#!/bin/sh\nHF_HUB_CACHE='{}' exec '{}' \"$@\"\n",
        cache.path().join("hub").display(),
        tools.display()
    );
    fs::write(&python, script).expect("writable");
    fs::set_permissions(&python, PermissionsExt::from_mode(0o755)).expect("ours");
    let python = python.to_str().expect("a plain name");
    let model = ["--model", "da3-small", "--offline"];
    let options = [&model[..], &["--model-store", store, "--python", python]].concat();
    let server = Server::start_in(new_data_dir(), &options).await;
    assert_eq!(server.get("/info").await.json()["model"]["name"], "mvs");
    server.logged("mvs runs in place of da3-small").await;
}

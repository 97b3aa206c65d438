//! Fetching models into the store from the command line, from a folder or a hub; a fetch is atomic.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::archives::{archive, repository};
use crate::support::program::{ended, program};
use crate::support::python;
use crate::support::server::{Server, new_data_dir, refused_start};
use crate::support::store::{Place, small};
use crate::support::until;

#[tokio::test]
async fn an_export_of_something_else_is_refused() {
    let other = archive("flat");
    let place = Place::new(&format!("cp '{}' \"$output\"", other.display()));
    let refused = place.models(&["fetch", "da3-small"]).await;
    refused.refused(&["not of da3-small", "\"flat\""]);
    place.set_export("head -c 1000 /dev/zero > \"$output\"");
    let refused = place.models(&["fetch", "da3-small"]).await;
    refused.refused(&["not a TorchScript archive"]);
    place.set_export("echo 'error: the checkpoint does not fit' >&2; exit 1");
    let refused = place.models(&["fetch", "da3-small"]).await;
    refused.refused(&[
        "the checkpoint does not fit",
        "--from FOLDER",
        "--model mvs",
    ]);
    assert!(!place.record().exists() && place.unfinished().is_empty());
}

#[tokio::test]
async fn two_fetches_at_once_do_the_work_once() {
    let place = Place::new(&format!("sleep 1; cp '{}' \"$output\"", small().display()));
    let start = || {
        let child = place.command(&["fetch", "da3-small"]).spawn();
        ended(child.expect("it starts"))
    };
    let (first, second) = tokio::join!(start(), start());
    first.done();
    second.done();
    let calls = fs::read_to_string(place.folder.path().join("calls")).expect("one");
    assert_eq!(calls.lines().count(), 1);
}

#[tokio::test]
async fn a_fetch_that_takes_too_long_is_named_to_others() {
    let place = Place::new("sleep 600");
    let mut first = place
        .command(&["fetch", "da3-small"])
        .spawn()
        .expect("it starts");
    running(&place).await;
    let options = ["fetch", "da3-small", "--model-lock-timeout", "0.3"];
    let process = format!("process {}", first.id().expect("it runs"));
    let refused = place.models(&options).await;
    refused.refused(&["da3-small is in use by", &process, "--model-lock-timeout"]);
    first.kill().await.expect("ours");
}

#[tokio::test]
async fn an_interrupted_fetch_leaves_nothing_half() {
    let half = "echo $$ > \"$output.pid\"; echo half > \"$output\"; sleep 600";
    let fetch: &[&str] = &["models", "fetch", "da3-small"];
    let serve: &[&str] = &["--model", "da3-small", "--port", "0"];
    for (arguments, signal) in [
        (fetch, libc::SIGINT),
        (fetch, libc::SIGTERM),
        (fetch, libc::SIGKILL),
        (serve, libc::SIGTERM),
    ] {
        let place = Place::new(half);
        let child = place.program(arguments).spawn().expect("it starts");
        let work = place.store().join(".work/da3-small");
        let exporter = until("the export", async || {
            let id = fs::read_to_string(work.join("archive.pt.pid")).ok()?;
            id.trim().parse::<u32>().ok()
        })
        .await;
        let id = child.id().and_then(|id| libc::pid_t::try_from(id).ok());
        // SAFETY: `kill` takes no pointers; the process is our child and has not been waited for.
        let sent = unsafe { libc::kill(id.expect("it runs"), signal) };
        assert_eq!(sent, 0, "the process is there");
        let said = ended(child).await;
        until("the exporter's end", async || {
            let status = fs::read_to_string(format!("/proc/{exporter}/status"));
            status
                .map_or(true, |status| status.contains("State:\tZ"))
                .then_some(())
        })
        .await;
        assert!(!place.record().exists());
        if signal != libc::SIGKILL {
            assert!(said.stderr.contains("interrupted"), "{}", said.stderr);
            assert_eq!(place.unfinished(), Vec::<String>::new());
        }
        place.set_export(&format!("cp '{}' \"$output\"", small().display()));
        place.fetched().await;
        assert_eq!(place.unfinished(), Vec::<String>::new());
    }
}

/// Waits until the exporter runs.
async fn running(place: &Place) {
    until("the export", async || {
        place.folder.path().join("calls").exists().then_some(())
    })
    .await;
}

#[tokio::test]
async fn restricted_licences_are_agreed_to_once() {
    let place = Place::new("exec sleep 600");
    for command in [
        ["fetch", "da3-large"].as_slice(),
        &["fetch", "da3-large", "--check"],
    ] {
        let refused = place.models(command).await;
        refused.refused(&["CC-BY-NC-4.0", "--accept-license"]);
    }
    let (code, said) = refused_start(&["--model", "da3-giant", "--model-store", "/nowhere"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("--accept-license"), "{said}");

    // `--check` does not record an agreement to the licence.
    let accept = ["fetch", "da3-large", "--accept-license"];
    let checked = place.models(&[&accept[..], &["--check"]].concat()).await;
    assert!(checked.done().contains("can be fetched"));
    place
        .models(&["fetch", "da3-large"])
        .await
        .refused(&["--accept-license"]);

    // With the agreement the fetch starts; then terminate it.
    let mut first = place.command(&accept).spawn().expect("it starts");
    running(&place).await;
    first.kill().await.expect("ours");

    // From now on the fetch reaches the export in any precision. The stand-in exports an archive of
    // another model.
    place.set_export(&format!("cp '{}' \"$output\"", small().display()));
    for name in ["da3-large", "da3-large-fp16"] {
        place
            .models(&["fetch", name])
            .await
            .refused(&["not of da3-large"]);
    }
    place.models(&["remove", "da3-large"]).await;
    place
        .models(&["fetch", "da3-large"])
        .await
        .refused(&["not of da3-large"]);
    place
        .models(&["fetch", "da3-giant"])
        .await
        .refused(&["--accept-license"]);

    // An agreement file that others can write does not count.
    let agreement = place.store().join(".licenses/da3-large");
    fs::set_permissions(&agreement, PermissionsExt::from_mode(0o666)).expect("ours");
    place
        .models(&["fetch", "da3-large"])
        .await
        .refused(&["--accept-license"]);
}

#[tokio::test]
async fn tools_of_the_current_folder_are_not_run() {
    let place = Place::working();
    let folder = place.folder.path();
    let hostile = folder.join("hostile");
    fs::create_dir_all(hostile.join("weights/da3")).expect("writable");
    fs::create_dir_all(hostile.join(".venv/bin")).expect("writable");
    fs::write(hostile.join("weights/__init__.py"), "").expect("writable");
    fs::write(hostile.join("weights/da3/__init__.py"), "").expect("writable");
    let module = format!("open('{}/ran', 'w')", folder.display());
    fs::write(hostile.join("weights/da3/download.py"), module).expect("writable");
    let python = python::interpreter();
    symlink(&python, hostile.join(".venv/bin/python")).expect("writable");
    // As if installed: outside a checkout.
    let installed = folder.join("pointstream-installed");
    fs::copy(env!("CARGO_BIN_EXE_pointstream"), &installed).expect("it is there");
    let run = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(&installed);
        command
            .args(["models", "fetch", "da3-small", "--offline"])
            .args(arguments)
            .env("XDG_CACHE_HOME", folder)
            .env_remove("POINTSTREAM_PYTHON")
            .current_dir(&hostile)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        ended(command.spawn().expect("it starts")).await
    };
    run(&[])
        .await
        .refused(&["--python", "setup.sh --with-model-tools"]);
    // A Python given by `--python` does not import modules of that folder either.
    let python = python.to_str().expect("a plain name");
    run(&["--python", python])
        .await
        .refused(&["No module named 'weights'"]);
    assert!(!folder.join("ran").exists());
}

#[tokio::test]
async fn folders_without_a_checkpoint_are_refused() {
    let cache = new_data_dir();
    let folder = cache.path().join("checkpoint");
    let path = folder.to_str().expect("a plain name");
    let fetch = async || {
        let arguments = ["models", "fetch", "da3-small", "--from", path];
        let child = program(cache.path(), &arguments).spawn();
        ended(child.expect("it starts")).await
    };
    fetch().await.refused(&[path, "config.json"]);
    fs::create_dir(&folder).expect("writable");
    fs::write(folder.join("config.json"), r#"{"model_name": "da3-small"}"#).expect("writable");
    fetch().await.refused(&[path, "model.safetensors"]);
    // Pickle data can contain code and must never be loaded.
    let pickle = b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00cposix\nsystem\n";
    fs::write(folder.join("model.safetensors"), pickle).expect("writable");
    fetch().await.refused(&[path, "no safetensors file"]);
    let pointstream = cache.path().join("pointstream/models/da3-small");
    assert!(!pointstream.exists());
}

#[tokio::test]
async fn without_the_tools_it_says_how_to_get_them() {
    let cache = new_data_dir();
    let arguments = ["models", "fetch", "da3-small", "--python", "/no/python"];
    let child = program(cache.path(), &arguments).spawn();
    let refused = ended(child.expect("it starts")).await;
    refused.refused(&["/no/python", "setup.sh --with-model-tools"]);
}

/// From a hub with broken connections to a running server, with a random checkpoint of size SMALL.
#[tokio::test]
async fn a_checkpoint_comes_from_the_hub_into_the_server() {
    let cache = new_data_dir();
    let checkpoint = cache.path().join("checkpoint");
    let python = python::interpreter();
    let written = Command::new(&python)
        .args(["-m", "weights.tests.checkpoints"])
        .arg(&checkpoint)
        .current_dir(repository())
        .stdin(Stdio::null())
        .status()
        .expect("the virtual environment is there");
    assert!(written.success());
    let mut hub = tokio::process::Command::new(&python)
        .args(["-m", "weights.tests.hub_server", "--cut", "100000000"])
        .arg(&checkpoint)
        .current_dir(repository())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the virtual environment is there");
    let mut said = BufReader::new(hub.stdout.take().expect("a pipe")).lines();
    let address = said
        .next_line()
        .await
        .expect("a pipe")
        .expect("its address");
    // The test does not read the output; the pipe's buffer is large enough.

    let fetch = ["models", "fetch", "da3-small"];
    let child = program(cache.path(), &fetch)
        .env("HF_ENDPOINT", address)
        .spawn()
        .expect("it starts");
    ended(child).await.done();
    hub.kill().await.expect("ours");

    let child = program(cache.path(), &["models", "verify", "da3-small"]).spawn();
    ended(child.expect("it starts")).await.done();
    let store = cache.path().join("pointstream/models");
    let store = store.to_str().expect("a plain name");
    let server = Server::start_in(new_data_dir(), &["--model-store", store]).await;
    let model = server.get("/info").await.json()["model"].clone();
    assert_eq!(model["name"], "da3-small");
    assert_eq!(model["license"], "Apache-2.0");
}

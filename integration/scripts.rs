//! `make serve` and `make models` install the packages for fetching, several gigabytes, only if the
//! fetch can succeed.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use tempfile::TempDir;

use crate::support::archives::repository;
use crate::support::program::{Ended, ended};
use crate::support::server::new_data_dir;

/// The scripts in a temporary folder, where a stand-in records the setup, and a stand-in for cargo
/// runs the program under test.
struct Scripts {
    folder: TempDir,
}

impl Scripts {
    fn new() -> Self {
        let scripts = Self {
            folder: new_data_dir(),
        };
        let folder = scripts.folder.path();
        for name in ["scripts", "bin"] {
            fs::create_dir(folder.join(name)).expect("writable");
        }
        for name in [
            "Cargo.toml",
            "scripts/common.sh",
            "scripts/serve.sh",
            "scripts/models.sh",
        ] {
            fs::copy(repository().join(name), folder.join(name)).expect("it is there");
        }
        let program = env!("CARGO_BIN_EXE_pointstream");
        for (name, script) in [
            ("scripts/setup.sh", "echo \"setup $*\" >> calls".to_owned()),
            ("bin/rustc", "echo rustc 999.0.0".to_owned()),
            (
                "bin/cargo",
                format!(
                    "[ \"$1\" = build ] && exit\n\
                     while [ \"$1\" != -- ]; do shift; done\n\
                     shift\n\
                     exec '{program}' \"$@\""
                ),
            ),
        ] {
            let path = folder.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writable");
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("ours");
        }
        scripts
    }

    /// Runs a script; also returns whether the packages for fetching were installed.
    async fn run(&self, hub: &str, script: &str, arguments: &[&str]) -> (Ended, bool) {
        let folder = self.folder.path();
        let calls = folder.join("calls");
        let _ = fs::remove_file(&calls);
        let path = std::env::var("PATH").expect("there is one");
        let child = tokio::process::Command::new(folder.join("scripts").join(script))
            .args(arguments)
            .env_clear()
            .env("PATH", format!("{}:{path}", folder.join("bin").display()))
            .env("HOME", folder)
            .env("HF_ENDPOINT", hub)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let said = ended(child).await;
        let calls = fs::read_to_string(Path::new(&calls)).expect("it always sets up");
        let installed = calls.lines().any(|call| call == "setup --with-model-tools");
        (said, installed)
    }
}

/// A hub that responds but has no models.
fn empty_hub() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            );
        }
    });
    address
}

const NO_HUB: &str = "http://127.0.0.1:9";

#[tokio::test]
async fn fetching_installs_nothing_for_what_is_refused_anyway() {
    let scripts = Scripts::new();
    let hub = empty_hub();
    for (hub, arguments, words) in [
        (
            NO_HUB,
            ["fetch", "da3-small"].as_slice(),
            "cannot be reached",
        ),
        (&hub, &["fetch", "da3-small", "--offline"], "HF_HUB_OFFLINE"),
        (&hub, &["fetch", "da3-large"], "--accept-license"),
        (
            &hub,
            &["fetch", "da3-small", "--from", "/nowhere"],
            "/nowhere",
        ),
        (
            &hub,
            &["fetch", "da3-small", "--python", "/no/python"],
            "/no/python",
        ),
        (&hub, &["path", "da3-small"], "not in the model store"),
    ] {
        let (said, installed) = scripts.run(hub, "models.sh", arguments).await;
        said.refused(&[words]);
        assert!(!installed, "{arguments:?}");
    }
    let (said, installed) = scripts
        .run(&hub, "models.sh", &["fetch", "da3-small"])
        .await;
    said.refused(&["cannot fetch da3-small"]);
    assert!(installed);
}

#[tokio::test]
async fn serving_installs_nothing_for_what_is_not_fetched() {
    let scripts = Scripts::new();
    let hub = empty_hub();
    // Each start is refused, so that no server keeps running.
    let serve = async |hub: &str, arguments: &[&str]| {
        let always = [
            "--port",
            "0",
            "--device",
            "cpu",
            "--model-fallback",
            "never",
        ];
        let arguments = [&always[..], arguments].concat();
        scripts.run(hub, "serve.sh", &arguments).await
    };
    for (hub, arguments, words) in [
        (
            NO_HUB,
            ["--model", "da3-small"].as_slice(),
            "cannot be reached",
        ),
        (&hub, &["--model=da3-small", "--offline"], "HF_HUB_OFFLINE"),
        (&hub, &["--model", "da3-large"], "--accept-license"),
        (&hub, &["--model", "da3-small.pt"], "da3-small.pt"),
        (&hub, &["--model", "da3/small"], "da3/small"),
        (
            &hub,
            &["--model", "da3-small", "--python=/no/python"],
            "/no/python",
        ),
        (&hub, &["--model", "da3-smal"], "da3-smal"),
    ] {
        let (said, installed) = serve(hub, arguments).await;
        assert_ne!(said.code, Some(0));
        assert!(said.stderr.contains(words), "{}", said.stderr);
        assert!(!installed, "{arguments:?}");
    }
    for arguments in [
        ["--model", "da3-small"].as_slice(),
        &["--model=da3-large", "--accept-license"],
    ] {
        let (said, installed) = serve(&hub, arguments).await;
        said.refused(&["cannot fetch"]);
        assert!(installed, "{arguments:?}");
    }
}

//! A NATS server.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::paths::{new_data_dir, repository};
use super::until;

pub const SERVER_PASSWORD: &str = "of-the-server";
pub const WORKER_PASSWORD: &str = "of-the-workers";

/// A running NATS server with JetStream. Dropping it kills the process.
pub struct Nats {
    process: Child,
    folder: TempDir,
    port: u16,
    options: Vec<String>,
}

impl Nats {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With further options of the program. A configuration may have `$NATS_SERVER_PASSWORD` and
    /// `$NATS_WORKER_PASSWORD`.
    pub async fn with(options: &[&str]) -> Self {
        let folder = new_data_dir();
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let mut nats = Self {
            process: run(folder.path(), -1, &options),
            folder,
            port: 0,
            options,
        };
        nats.port = nats.listening().await;
        nats
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("the process is there");
        self.process.wait().expect("the process ends");
    }

    /// Starts it again, with the same port and what it has stored.
    pub async fn restart(&mut self) {
        self.process = run(self.folder.path(), self.port.into(), &self.options);
        self.listening().await;
    }

    /// Waits until it listens; returns its port.
    async fn listening(&self) -> u16 {
        let name = format!("nats-server_{}.ports", self.process.id());
        let file = self.folder.path().join(name);
        let ports: Value = until("the NATS server", async || {
            let text = std::fs::read_to_string(&file).ok()?;
            serde_json::from_str(&text).ok()
        })
        .await;
        let url = ports["nats"]
            .as_array()
            .into_iter()
            .flatten()
            .chain(ports["tls"].as_array().into_iter().flatten());
        let url = url.filter_map(Value::as_str).next().expect("an address");
        let (_, port) = url.rsplit_once(':').expect("a port");
        port.parse().expect("a number")
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(folder: &Path, port: i32, options: &[String]) -> Child {
    Command::new(repository().join(".venv/bin/nats-server"))
        .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js"])
        .arg("-sd")
        .arg(folder)
        .arg("--ports_file_dir")
        .arg(folder)
        .args(options)
        .env("NATS_SERVER_PASSWORD", SERVER_PASSWORD)
        .env("NATS_WORKER_PASSWORD", WORKER_PASSWORD)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("scripts/setup.sh --with-python-tools installs nats-server")
}

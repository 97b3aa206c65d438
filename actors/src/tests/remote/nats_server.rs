//! A NATS server for tests. Those of the program use it, too.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Passwords that a configuration can use as `$NATS_SERVER_PASSWORD` and `$NATS_WORKER_PASSWORD`.
pub const SERVER_PASSWORD: &str = "of-the-server";
pub const WORKER_PASSWORD: &str = "of-the-workers";

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server with JetStream, killed when it is dropped.
pub struct NatsServer {
    process: Child,
    folder: TempDir,
    port: u16,
    options: Vec<String>,
}

impl NatsServer {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With further options of the program.
    pub fn with(options: &[&str]) -> Self {
        let folder = TempDir::with_prefix("pointstream-nats-").expect("a temporary folder");
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self {
            process: run(folder.path(), 0, &options),
            folder,
            port: 0,
            options,
        };
        server.port = server.listening();
        server
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("the process is there");
        self.process.wait().expect("the process ends");
    }

    /// Starts it again, with the same port and what it has stored.
    pub fn restart(&mut self) {
        self.process = run(self.folder.path(), self.port, &self.options);
        self.listening();
    }

    /// Waits until it listens; returns its port.
    fn listening(&self) -> u16 {
        let name = format!("nats-server_{}.ports", self.process.id());
        let file = self.folder.path().join(name);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Ok(ports) = serde_json::from_str::<Value>(&text) {
                let mut addresses = ["nats", "tls"]
                    .iter()
                    .filter_map(|kind| ports[kind][0].as_str());
                let (_, port) = addresses
                    .next()
                    .and_then(|address| address.rsplit_once(':'))
                    .expect("an address");
                return port.parse().expect("a port");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the NATS server does not start");
    }
}

/// Where `scripts/setup.sh --with-python-tools` installs it: in the checkout, of which this crate is a part.
fn program() -> PathBuf {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders
        .find_map(|folder| {
            let program = folder.join(".venv/bin/nats-server");
            program.is_file().then_some(program)
        })
        .expect("run scripts/setup.sh --with-python-tools, which installs nats-server")
}

/// `port`: 0 for a free one.
fn run(folder: &Path, port: u16, options: &[String]) -> Child {
    let port = match port {
        0 => "-1".to_owned(),
        port => port.to_string(),
    };
    Command::new(program())
        .args(["-a", "127.0.0.1", "-p", &port, "-js", "-sd"])
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
        .expect("the program starts")
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

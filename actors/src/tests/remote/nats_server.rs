//! A NATS server for a test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running server, killed when it is dropped.
pub(super) struct NatsServer {
    child: Child,
    folder: TempDir,
    port: u16,
}

/// Where `scripts/setup.sh --with-python-tools` installs it.
fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/nats-server")
}

impl NatsServer {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let child = run(folder.path(), 0);
        let mut server = Self {
            child,
            folder,
            port: 0,
        };
        server.port = server.read_port();
        server
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Starts it again with the same port and what it had stored.
    pub fn restart(&mut self) {
        self.child = run(self.folder.path(), self.port);
        self.read_port();
    }

    /// Waits until it listens.
    fn read_port(&mut self) -> u16 {
        let file = self
            .folder
            .path()
            .join(format!("nats-server_{}.ports", self.child.id()));
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Ok(ports) = serde_json::from_str::<serde_json::Value>(&text) {
                let url = ports["nats"][0].as_str().expect("an address");
                let (_, port) = url.rsplit_once(':').expect("a port");
                return port.parse().expect("a number");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the NATS server does not start");
    }
}

/// `port`: 0 for a free one.
fn run(folder: &Path, port: u16) -> Child {
    let port = match port {
        0 => "-1".to_owned(),
        port => port.to_string(),
    };
    Command::new(program())
        .args(["-a", "127.0.0.1", "-p", &port, "-js", "-sd"])
        .arg(folder)
        .arg("--ports_file_dir")
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("run scripts/setup.sh --with-python-tools, which installs nats-server")
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

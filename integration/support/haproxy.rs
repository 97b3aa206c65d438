//! HAProxy in front of servers that share their sessions, with the recipe of `deploy/`.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use super::archives::repository;
use super::until;

/// A running HAProxy. Dropping it ends it.
pub struct Haproxy {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Haproxy {
    /// In front of two servers with these addresses.
    pub async fn start(addresses: &[String]) -> Self {
        let recipe = std::fs::read_to_string(repository().join("deploy/haproxy.cfg"));
        let mut recipe = recipe.expect("the recipe");
        let port = free_port().await;
        let mut replace = |from: &str, to: &str| {
            assert!(recipe.contains(from), "{from} is missing in the recipe");
            recipe = recipe.replace(from, to);
        };
        replace("bind :80\n", &format!("bind 127.0.0.1:{port}\n"));
        for (number, address) in addresses.iter().enumerate() {
            let host = address.trim_start_matches("http://");
            replace(
                &format!(" gateway-{}:8000", number + 1),
                &format!(" {host}"),
            );
        }
        let folder = TempDir::with_prefix("pointstream-haproxy-").expect("a temporary folder");
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, recipe).expect("writable");
        let process = Command::new("/usr/sbin/haproxy")
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("install haproxy: scripts/proxies.sh");
        let proxy = Self {
            process,
            port,
            _folder: folder,
        };
        until("HAProxy to listen", async || {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        proxy
    }

    /// The address for clients, like `http://127.0.0.1:41234`.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// A port that nobody has now.
pub async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").port()
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! Servers that share their sessions, behind the real proxies, with the recipes in `deploy/`.

use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::reverse_proxies::installed;
use crate::support::archives::repository;
use crate::support::client::Client;
use crate::support::haproxy::{Haproxy, free_port};
use crate::support::nats::NatsServer;
use crate::support::pictures::photo;
use crate::support::rest::{self, Reply};
use crate::support::server::Server;
use crate::support::until;

/// Two servers behind a proxy.
struct Site {
    servers: Vec<Server>,
    base: String,
    _nats: NatsServer,
}

impl Site {
    async fn servers() -> (Vec<Server>, NatsServer) {
        let nats = NatsServer::start();
        let url = nats.url();
        let shared = ["--nats", &url, "--gateway-url", "http://127.0.0.1:0"];
        let behind = ["--trusted-proxies", "127.0.0.1", "--insecure"];
        let options = [&shared[..], &behind].concat();
        let (one, other) = tokio::join!(Server::start(&options), Server::start(&options));
        (vec![one, other], nats)
    }

    async fn ask(&self, method: &str, path: &str) -> Reply {
        rest::request(method, &format!("{}{path}", self.base), &[]).await
    }

    async fn session(&self) -> String {
        let reply = self.ask("POST", "/ws/session/create?process_res=56").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let created = reply.json();
        created["session_id"].as_str().expect("text").to_owned()
    }

    fn socket(&self, session: &str) -> String {
        let base = self.base.replace("http://", "ws://");
        format!("{base}/ws/reconstruct/{session}")
    }

    /// Connects as clients do: until somebody takes them.
    async fn client(&self, session: &str) -> Client {
        Client::again(&self.socket(session), session).await
    }

    /// How many requests were passed on from one server to the other.
    async fn passed(&self) -> u64 {
        let mut passed = 0;
        for server in &self.servers {
            let metrics = server.get("/metrics").await.text();
            let name = r#"pointstream_gateway_requests_total{outcome="passed"} "#;
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            passed += line.expect("a metric").parse::<u64>().expect("a count");
        }
        passed
    }

    /// The index of the server that has a session.
    async fn owner(&self, session: &str) -> usize {
        for (index, server) in self.servers.iter().enumerate() {
            if server.get("/actors").await.text().contains(session) {
                return index;
            }
        }
        panic!("nobody has the session");
    }

    /// Streams, kills the server of the session, and goes on.
    async fn check_failover(&mut self) {
        let session = self.session().await;
        let mut client = self.client(&session).await;
        for index in 0..3 {
            client.upload(&format!("{index}.png"), &photo(index)).await;
        }
        client.generate(true).await;
        client.result("delta").await;
        let owner = self.owner(&session).await;
        let _data = self.servers.remove(owner).kill();
        let mut client = self.client(&session).await;
        assert_eq!(client.greeting["image_count"], 3);
        client.upload("3.png", &photo(3)).await;
        client.send(json!({"type": "finalize"})).await;
        let answer = client.result("complete").await;
        assert_eq!(answer.metadata()["num_frames"], 4);
        let reply = self
            .ask("GET", &format!("/ws/session/{session}/result"))
            .await;
        assert_eq!(reply.status, 200);
    }
}

#[tokio::test]
async fn haproxy_sends_a_session_to_its_server() {
    if !installed("haproxy") {
        return;
    }
    let (servers, nats) = Site::servers().await;
    let addresses: Vec<_> = servers
        .iter()
        .map(|server| server.base().to_owned())
        .collect();
    let proxy = Haproxy::start(&addresses).await;
    let mut site = Site {
        servers,
        base: proxy.base(),
        _nats: nats,
    };
    let mut owners = Vec::new();
    for _ in 0..6 {
        let session = site.session().await;
        let shown = site.ask("GET", &format!("/ws/session/{session}")).await;
        assert_eq!(shown.status, 200);
        let mut client = site.client(&session).await;
        client.upload("0.png", &photo(0)).await;
        owners.push(site.owner(&session).await);
    }
    assert!(owners.contains(&0) && owners.contains(&1), "{owners:?}");
    assert_eq!(site.passed().await, 0, "nothing is passed on");
    site.check_failover().await;
}

#[tokio::test]
async fn nginx_reaches_sessions_of_both_servers() {
    if !installed("nginx") {
        return;
    }
    let (servers, nats) = Site::servers().await;
    let port = free_port().await;
    let _proxy = Nginx::start(&servers, port);
    until("nginx to listen", async || {
        TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    let mut site = Site {
        servers,
        base: format!("http://127.0.0.1:{port}"),
        _nats: nats,
    };
    site.check_failover().await;
}

/// A running nginx. Dropping it ends it.
struct Nginx {
    process: Child,
    _folder: TempDir,
}

impl Nginx {
    fn start(servers: &[Server], port: u16) -> Self {
        let recipe = std::fs::read_to_string(repository().join("deploy/nginx-gateways.conf"));
        let mut recipe = recipe.expect("the recipe");
        let mut replace = |from: &str, to: &str| {
            assert!(recipe.contains(from), "{from} is missing in the recipe");
            recipe = recipe.replace(from, to);
        };
        replace("listen 443 ssl;", &format!("listen 127.0.0.1:{port};"));
        replace("    ssl_certificate ", "    # ssl_certificate ");
        replace("    ssl_certificate_key ", "    # ssl_certificate_key ");
        for (number, server) in servers.iter().enumerate() {
            let host = server.base().trim_start_matches("http://");
            replace(&format!("10.0.0.1{}:8000", number + 1), host);
        }
        let folder = TempDir::with_prefix("pointstream-nginx-").expect("a temporary folder");
        std::fs::write(folder.path().join("gateways.conf"), recipe).expect("writable");
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths: String = paths
            .iter()
            .map(|kind| format!("{kind}_temp_path {kind};\n"))
            .collect();
        let main = format!(
            "daemon off; error_log stderr; pid nginx.pid; events {{}}\n\
             http {{ access_log off; {paths} include gateways.conf; }}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), main).expect("writable");
        let process = Command::new("/usr/sbin/nginx")
            .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .spawn();
        Self {
            process: process.expect("it starts"),
            _folder: folder,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It ends its workers, which a killed one leaves behind.
        let id = libc::pid_t::try_from(self.process.id()).expect("a process id");
        // SAFETY: `kill` takes no pointers; the process is our child and has not been waited for.
        unsafe { libc::kill(id, libc::SIGTERM) };
        let _ = self.process.wait();
    }
}

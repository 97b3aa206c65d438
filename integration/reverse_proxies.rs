//! The recipes for reverse proxies in `docs/deployment.md`, with the real programs.

use std::path::Path;
use std::process::Stdio;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::support::archives::repository;
use crate::support::server::Server;
use crate::support::tls::{Certificate, text};
use crate::support::{until, within};

/// The recipe in a language, with these replacements.
fn recipe(language: &str, replacements: &[(&str, &str)]) -> String {
    let page = std::fs::read_to_string(repository().join("docs/deployment.md")).expect("a page");
    let (_, rest) = page
        .split_once(&format!("```{language}\n"))
        .expect("a recipe");
    let (recipe, _) = rest.split_once("```").expect("its end");
    let mut recipe = recipe.to_owned();
    for (from, to) in replacements {
        assert!(recipe.contains(from), "{from} is missing in {recipe}");
        recipe = recipe.replace(from, to);
    }
    recipe
}

/// Whether a program is there. Without it the test does nothing, but fails in CI.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    let found = folders.iter().any(|folder| folder.join(program).is_file());
    assert!(
        found || std::env::var_os("CI").is_none(),
        "install {program}: scripts/proxies.sh"
    );
    if !found {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

/// A server behind a proxy.
struct Site {
    server: Server,
    certificate: Certificate,
    folder: TempDir,
    port: u16,
    _proxy: Option<Child>,
}

impl Site {
    async fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = free.local_addr().expect("an address").port();
        let url = format!("https://scan.test:{port}/pointstream");
        let options = [
            "--public-url",
            &url,
            "--trusted-proxies",
            "127.0.0.1",
            "--insecure",
        ];
        let limit = ["--max-sessions-per-address", "2"];
        Self {
            server: Server::start(&[&options[..], &limit].concat()).await,
            certificate: Certificate::new(),
            folder: TempDir::new().expect("writable"),
            port,
            _proxy: None,
        }
    }

    fn start(&mut self, program: &str, arguments: &[&str]) {
        let folder: &Path = self.folder.path();
        let proxy = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .env("HOME", folder)
            .env("XDG_DATA_HOME", folder)
            .env("XDG_CONFIG_HOME", folder)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self._proxy = Some(proxy.expect("it starts"));
    }

    /// Connects to the proxy, from an address that is no proxy's.
    async fn connect(&self) -> Option<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4().expect("a socket");
        let own = "127.0.0.2:0".parse().expect("an address");
        socket.bind(own).expect("an address of loopback");
        let stream = socket
            .connect(([127, 0, 0, 1], self.port).into())
            .await
            .ok()?;
        self.certificate
            .client()
            .named("scan.test")
            .on(stream)
            .await
            .ok()
    }

    /// The answer to a request.
    async fn ask(&self, line: &str, host: &str, headers: &str) -> String {
        let mut stream = self.connect().await.expect("the proxy is there");
        let request =
            format!("{line} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // Some proxies end TLS without saying so.
        let _ = within("the answer", stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Does what a page does, and what it must not.
    async fn check(&self) {
        until("the proxy", async || self.connect().await).await;
        let host = format!("scan.test:{}", self.port);
        let status = |answer: &str| answer.get(9..12).map(str::to_owned);
        let get = async |path: &str| self.ask(&format!("GET {path}"), &host, "").await;
        for (path, expected) in [
            ("/pointstream/", "200"),
            ("/pointstream/healthz", "200"),
            ("/pointstream/nothing", "404"),
            ("/pointstream", "307"),
        ] {
            let answer = get(path).await;
            assert_eq!(
                status(&answer).as_deref(),
                Some(expected),
                "{path}: {answer}"
            );
        }
        assert!(get("/pointstream").await.contains("/pointstream/\r\n"));
        assert!(
            get("/pointstream/openapi.json")
                .await
                .contains(r#""url":"/pointstream""#)
        );
        let document = "GET /pointstream/openapi.json";
        let moved = self
            .ask(document, &host, "X-Forwarded-Prefix: /evil\r\n")
            .await;
        assert!(
            !moved.contains("/evil"),
            "the client has no say in its links"
        );
        let sockets = get("/pointstream/asyncapi.json").await;
        assert!(
            sockets.contains(r#""wss""#) && sockets.contains(&host),
            "{sockets}"
        );

        let create = "POST /pointstream/ws/session/create";
        let length = "Content-Length: 0\r\n";
        let page = format!("Origin: https://{host}\r\n{length}");
        let created = self.ask(create, &host, &page).await;
        assert_eq!(status(&created).as_deref(), Some("200"), "{created}");
        let foreign = format!("Origin: https://evil.example\r\n{length}");
        let refused = self.ask(create, &host, &foreign).await;
        assert_eq!(status(&refused).as_deref(), Some("403"), "{refused}");
        // The second session of this client, which says that it is somebody else.
        let spoofed = format!("X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n{length}");
        let second = self.ask(create, &host, &spoofed).await;
        assert_eq!(status(&second).as_deref(), Some("200"), "{second}");
        let third = self
            .ask(create, &host, &spoofed.replace("192.0.2.1", "192.0.2.2"))
            .await;
        assert_eq!(status(&third).as_deref(), Some("429"), "{third}");

        let (_, body) = created.split_once('{').expect("a body");
        let (body, _) = body.rsplit_once('}').expect("a body");
        let created: Value = serde_json::from_str(&format!("{{{body}}}")).expect("JSON");
        let session = created["session_id"].as_str().expect("a session");
        let stream = self.connect().await.expect("the proxy is there");
        let url = format!("wss://{host}/pointstream/ws/reconstruct/{session}");
        let (mut socket, _) = client_async(url, stream).await.expect("a socket");
        let greeting = within("the greeting", socket.next())
            .await
            .expect("open")
            .expect("text");
        assert!(greeting.to_text().expect("text").contains("connected"));
        socket
            .send(Message::text(r#"{"type": "ping"}"#))
            .await
            .expect("sent");
        let pong = within("the pong", socket.next())
            .await
            .expect("open")
            .expect("text");
        assert!(pong.to_text().expect("text").contains("pong"));
        self.server.logged("client=127.0.0.2").await;
    }
}

#[tokio::test]
async fn nginx() {
    if !installed("nginx") {
        return;
    }
    let mut site = Site::new().await;
    let server = site.server.base().trim_start_matches("http://").to_owned();
    let port = format!("127.0.0.1:{}", site.port);
    let recipe = recipe(
        "nginx",
        &[
            ("443", &port),
            ("example.org;", "scan.test;"),
            ("/etc/ssl/example.org.pem", &text(&site.certificate.cert())),
            ("/etc/ssl/example.org.key", &text(&site.certificate.key())),
            ("127.0.0.1:8000", &server),
        ],
    );
    let folder = site.folder.path();
    let mut paths = String::new();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        paths.push_str(&format!("{kind}_temp_path {kind};\n"));
    }
    let config = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{paths}{recipe}}}\n"
    );
    std::fs::write(folder.join("nginx.conf"), config).expect("writable");
    let place = format!("{}/", text(folder));
    site.start("nginx", &["-p", &place, "-c", "nginx.conf", "-e", "stderr"]);
    site.check().await;
    let evil = site
        .ask("GET /pointstream/ws/sessions", "evil.example", "")
        .await;
    assert!(evil.starts_with("HTTP/1.1 421 "), "{evil}");
}

#[tokio::test]
async fn caddy() {
    if !installed("caddy") {
        return;
    }
    let mut site = Site::new().await;
    let server = site.server.base().trim_start_matches("http://").to_owned();
    let (cert, key) = (
        text(&site.certificate.cert()),
        text(&site.certificate.key()),
    );
    let begin = format!(
        "https://scan.test:{} {{\n    bind 127.0.0.1\n    tls {cert} {key}",
        site.port
    );
    let recipe = recipe(
        "caddyfile",
        &[("example.org {", &begin), ("127.0.0.1:8000", &server)],
    );
    let config = format!(
        "{{\n    admin off\n    auto_https disable_redirects\n    default_sni scan.test\n}}\n{recipe}"
    );
    std::fs::write(site.folder.path().join("Caddyfile"), config).expect("writable");
    site.start("caddy", &["run", "--config", "Caddyfile"]);
    site.check().await;
}

//! Files of tokens, made with the program's own commands.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::program::{Ended, ended, program};
use super::rest::{self, Reply};
use super::server::Server;

/// A file of tokens in a folder of its own.
pub struct Tokens {
    folder: TempDir,
}

impl Tokens {
    /// No file yet.
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("pointstream-tokens-");
        Self {
            folder: folder.expect("the folder for temporary files is writable"),
        }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("tokens.json")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `pointstream token`.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        let file = self.file();
        let file = file.to_str().expect("a plain name");
        let arguments = [&["token", "--tokens-file", file], arguments].concat();
        let child = program(self.folder(), &arguments).spawn();
        ended(child.expect("the program starts")).await
    }

    /// Adds a token with these scopes; returns it.
    pub async fn add(&self, name: &str, scopes: &str) -> String {
        self.add_with(&[name, "--scopes", scopes]).await
    }

    /// Adds a token with these arguments; returns it.
    pub async fn add_with(&self, arguments: &[&str]) -> String {
        let printed = self.run(&[&["add"], arguments].concat()).await.done();
        printed.trim_end().to_owned()
    }

    pub async fn revoke(&self, name: &str) {
        self.run(&["revoke", name]).await.done();
    }

    /// Starts a server that asks for these tokens.
    pub async fn server(&self, options: &[&str]) -> Server {
        self.server_with_model("flat", options).await
    }

    /// The same with one of the test models.
    pub async fn server_with_model(&self, model: &str, options: &[&str]) -> Server {
        let file = self.file();
        let file = file.to_str().expect("a plain name");
        let own = ["--auth", "tokens", "--tokens-file", file];
        Server::with_model(model, &[&own, options].concat()).await
    }
}

/// Sends a request with a token.
pub async fn with_token(server: &Server, token: &str, method: &str, path: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    let url = format!("{}{path}", server.base());
    rest::request(method, &url, &[("authorization", &bearer)]).await
}

/// Creates a session for small images with a token; returns its identifier and its own token.
pub async fn create(server: &Server, token: &str) -> (String, String) {
    let path = "/ws/session/create?process_res=56";
    let reply = with_token(server, token, "POST", path).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let created = reply.json();
    let text = |name: &str| created[name].as_str().expect("text").to_owned();
    (text("session_id"), text("session_token"))
}

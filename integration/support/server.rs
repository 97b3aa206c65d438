//! The server's process.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::archives::archive;
use super::client::Client;
use super::disk::Disk;
use super::haproxy::Haproxy;
use super::machines::{Elsewhere, elsewhere, others};
pub use super::paths::new_data_dir;
use super::program::set_up_like;
use super::rest::{self, Reply};
use super::{until, within};

/// A running server with its own data directory. Dropping it kills the process, and prints the log
/// if the test failed.
pub struct Server {
    process: Child,
    base: String,
    data: Option<TempDir>,
    log: Arc<Mutex<String>>,
    /// Its workers, if they are processes of their own.
    _elsewhere: Option<Elsewhere>,
    /// Servers that share its sessions, and what clients connect to instead of them.
    others: Vec<Server>,
    _proxy: Option<Haproxy>,
}

impl Server {
    /// Starts a server with the quick model.
    pub async fn start(options: &[&str]) -> Self {
        Self::with_model("flat", options).await
    }

    /// Starts a server with one of the test models.
    pub async fn with_model(name: &str, options: &[&str]) -> Self {
        let path = archive(name);
        let model = path.to_str().expect("the folder has a plain name");
        Self::start_in(new_data_dir(), &[&["--model", model], options].concat()).await
    }

    /// Starts a server with one of the test models, and with these variables in its environment.
    pub async fn with_environment(
        name: &str,
        options: &[&str],
        variables: &[(&str, String)],
    ) -> Self {
        let path = archive(name);
        let model = path.to_str().expect("the folder has a plain name");
        let data = new_data_dir();
        let mut command = command(data.path(), &[&["--model", model], options].concat());
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Self::run(data, command).await
    }

    /// Starts a server in a data directory that may have been used before.
    pub async fn start_in(data: TempDir, options: &[&str]) -> Self {
        let command = command(data.path(), options);
        Self::run(data, command).await
    }

    /// Starts a server in a data directory that may have been used before. The system lets it open so many
    /// files, and more if it asks for them.
    pub async fn start_with_files(data: TempDir, files: u64, options: &[&str]) -> Self {
        let mut command = command(data.path(), options);
        let limit = move || {
            let (_, most) = rlimit::getrlimit(rlimit::Resource::NOFILE)?;
            rlimit::setrlimit(rlimit::Resource::NOFILE, files, most)
        };
        // SAFETY: both calls are safe between `fork` and `exec`, and take no memory.
        unsafe { command.pre_exec(limit) };
        Self::run(data, command).await
    }

    /// Starts a server whose data directory is on a small disk.
    pub async fn start_on(disk: &Disk, data: TempDir, options: &[&str]) -> Self {
        let command = on(disk, data.path(), options);
        Self::run(data, command).await
    }

    /// Starts a server through another command, which becomes the server.
    pub async fn start_through(wrapper: &[&str], data: TempDir, options: &[&str]) -> Self {
        let program = command(data.path(), options);
        let (first, rest) = wrapper.split_first().expect("a command");
        let mut command = Command::new(first);
        command.args(rest);
        Self::run(data, followed_by(command, &program)).await
    }

    /// The identifier of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    async fn run(data: TempDir, mut command: Command) -> Self {
        let elsewhere = elsewhere(&mut command);
        let others = others(&mut command, elsewhere.as_ref());
        let mut process = command.spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (found, address) = oneshot::channel();
        let stdout = process.stdout.take().expect("stdout is a pipe");
        let stderr = process.stderr.take().expect("stderr is a pipe");
        thread::spawn({
            let log = Arc::clone(&log);
            move || collect(stdout, &log, Some(found))
        });
        thread::spawn({
            let log = Arc::clone(&log);
            move || collect(stderr, &log, None)
        });
        // Created first, so that a server that fails to start is killed and its log printed.
        let mut server = Self {
            process,
            base: String::new(),
            data: Some(data),
            log,
            _elsewhere: elsewhere,
            others: Vec::new(),
            _proxy: None,
        };
        server.base = within("the server's address", address)
            .await
            .expect("the server ended without listening");
        if !others.is_empty() {
            let mut servers = vec![server.base.clone()];
            for (data, command) in others {
                let other = Box::pin(Self::run(data, command)).await;
                servers.push(other.base.clone());
                server.others.push(other);
            }
            let proxy = Haproxy::start(&servers).await;
            server.base = proxy.base();
            server._proxy = Some(proxy);
        }
        server
    }

    /// The address, like `http://127.0.0.1:41234`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The address of a session's socket.
    pub fn socket(&self, session: &str) -> String {
        let base = self.base.replace("http://", "ws://");
        format!("{base}/ws/reconstruct/{session}")
    }

    /// The server's data directory.
    pub fn data_dir(&self) -> &Path {
        self.data.as_ref().expect("not taken away yet").path()
    }

    /// It, and the servers that share its sessions.
    fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// The folder of a session's files, at the server that has it.
    pub fn session_folder(&self, session: &str) -> PathBuf {
        let of = |server: &Self| server.data_dir().join("sessions").join(session);
        let mut folders = self.all().map(of);
        folders
            .find(|folder| folder.exists())
            .unwrap_or_else(|| of(self))
    }

    /// All files of sessions, of all servers that share them, as paths relative to the data directories.
    pub fn files(&self) -> Vec<String> {
        let files = self.all().map(|server| session_files(server.data_dir()));
        let mut files = files.collect::<Vec<_>>().concat();
        files.sort();
        files.dedup();
        files
    }

    pub async fn get(&self, path: &str) -> Reply {
        rest::request("GET", &format!("{}{path}", self.base), &[]).await
    }

    pub async fn post(&self, path: &str) -> Reply {
        rest::request("POST", &format!("{}{path}", self.base), &[]).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        rest::request("DELETE", &format!("{}{path}", self.base), &[]).await
    }

    /// Creates a session for small images and returns its identifier.
    pub async fn session(&self, query: &str) -> String {
        let query = format!("process_res=56&{query}");
        let reply = self.post(&format!("/ws/session/create?{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["session_id"]
            .as_str()
            .expect("a session has an identifier")
            .to_owned()
    }

    /// Creates a session for small images and connects to it.
    pub async fn client(&self, query: &str) -> Client {
        let session = self.session(query).await;
        Client::connect(self, &session).await
    }

    /// The REST state of a session.
    pub async fn info(&self, session: &str) -> Value {
        let reply = self.get(&format!("/ws/session/{session}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// Waits until a session has no running or waiting generation; returns its REST state.
    pub async fn settled(&self, session: &str) -> Value {
        until("the end of the generation", async || {
            let info = self.info(session).await;
            (info["status"] != "processing").then_some(info)
        })
        .await
    }

    /// Waits until the worker runs the model for a reconstruction.
    pub async fn at_work(&self) {
        until("the start of the model", async || {
            let tree = self.get("/actors").await.json();
            let children = tree["children"].as_array().expect("a list");
            let pool = children.iter().find(|child| child["kind"] == "pool")?;
            let kind = &pool["children"][0]["current_job"]["kind"];
            (kind == "reconstruct").then_some(())
        })
        .await;
    }

    /// Waits until the process has written these words; returns its output so far. What a request
    /// causes may reach the log after its answer.
    pub async fn logged(&self, words: &str) -> String {
        until(&format!("\"{words}\" in the log"), async || {
            Some(self.log()).filter(|log| log.contains(words))
        })
        .await
    }

    /// The process's output so far.
    pub fn log(&self) -> String {
        let log = |server: &Self| {
            let log = server.log.lock();
            log.unwrap_or_else(PoisonError::into_inner).clone()
        };
        self.all().map(log).collect()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: libc::c_int) {
        let id = libc::pid_t::try_from(self.process.id()).expect("a process id");
        // SAFETY: `kill` takes no pointers; the process is our child and has not been waited for.
        let sent = unsafe { libc::kill(id, signal) };
        assert_eq!(sent, 0, "the process is there");
    }

    /// Sends SIGKILL, and returns the data directory.
    pub fn kill(mut self) -> TempDir {
        self.process.kill().expect("the process is there");
        self.process.wait().expect("the process ends");
        self.data.take().expect("not taken away yet")
    }

    /// Waits for the process to exit by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        until("the server's end", async || {
            self.process.try_wait().expect("the process is ours")
        })
        .await
    }

    /// The files that the process has open.
    pub fn open_files(&self) -> Vec<PathBuf> {
        let folder = format!("/proc/{}/fd", self.process.id());
        let entries = std::fs::read_dir(folder).expect("the process runs");
        // A file may be closed during the search.
        let files = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        files.collect()
    }

    /// Resident memory of the process in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory that the process ever had, in bytes.
    pub fn peak_resident_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        1024 * kilobytes
            .and_then(|number| number.parse::<u64>().ok())
            .expect("Linux reports the resident memory")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!(
                "---- log of the server ----\n{}---- end of the log ----",
                self.log()
            );
        }
    }
}

/// Starts a server that must fail; returns its exit code and output.
pub async fn refused_start(options: &[&str]) -> (i32, String) {
    refused_in(new_data_dir().path(), options).await
}

/// The same in a data directory that may have been used before.
pub async fn refused_in(data: &Path, options: &[&str]) -> (i32, String) {
    refused(command(data, options)).await
}

/// The same through another command, which becomes the server.
pub async fn refused_through(wrapper: &[&str], options: &[&str]) -> (i32, String) {
    let data = new_data_dir();
    let program = command(data.path(), options);
    let (first, rest) = wrapper.split_first().expect("a command");
    let mut command = Command::new(first);
    command.args(rest);
    refused(followed_by(command, &program)).await
}

/// The same for a server whose data directory is on a small disk.
pub async fn refused_on(disk: &Disk, data: &Path, options: &[&str]) -> (i32, String) {
    refused(on(disk, data, options)).await
}

async fn refused(mut command: Command) -> (i32, String) {
    let mut process = command.spawn().expect("the program starts");
    let mut stdout = process.stdout.take().expect("stdout is a pipe");
    let mut stderr = process.stderr.take().expect("stderr is a pipe");
    let status = tokio::time::timeout(super::PATIENCE, async {
        loop {
            if let Some(status) = process.try_wait().expect("the process is ours") {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    if status.is_err() {
        process.kill().expect("the process is there");
        process.wait().expect("the process ends");
    }
    let mut said = String::new();
    stderr.read_to_string(&mut said).expect("UTF-8");
    stdout.read_to_string(&mut said).expect("UTF-8");
    let status = status.unwrap_or_else(|_| panic!("the server must not start:\n{said}"));
    (status.code().expect("no signal ended it"), said)
}

/// All files of sessions in a data directory, as paths relative to it.
pub fn session_files(data: &Path) -> Vec<String> {
    let mut files = files_below(data);
    // The folder's marker, the lock, which exists while a server uses it, and the outbox of webhooks.
    files.retain(|file| {
        file != "lock" && file != "pointstream-data" && !file.starts_with("webhooks.sqlite")
    });
    files
}

/// All files below a folder, as paths relative to it.
fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        // A folder may disappear during the search.
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(folder).expect("below the folder");
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// The program with these options, and defaults for port, device and data directory.
fn command(data: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointstream"));
    // Ignore the environment of the test run.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("POINTSTREAM_") {
            command.env_remove(name);
        }
    }
    command
        .env("LOG_LEVEL", "DEBUG")
        // Do not use the user's model store.
        .env("POINTSTREAM_MODEL_STORE", data.join("models"))
        // The server sets its own wait policy.
        .env_remove("OMP_WAIT_POLICY")
        .env_remove("GOMP_SPINCOUNT")
        // The slow test models take as long on machines with more cores.
        .env("OMP_NUM_THREADS", "2")
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in [
        ("--host", "127.0.0.1".as_ref()),
        ("--port", "0".as_ref()),
        ("--device", "cpu".as_ref()),
        ("--data-dir", data.as_os_str()),
    ] {
        if !options.contains(&name) {
            command.arg(name).arg(value);
        }
    }
    command
}

/// The same on a small disk.
fn on(disk: &Disk, data: &Path, options: &[&str]) -> Command {
    followed_by(disk.entrance(), &command(data, options))
}

/// A command that runs another one, with the environment and the pipes of the program.
fn followed_by(mut wrapper: Command, command: &Command) -> Command {
    wrapper.arg(command.get_program()).args(command.get_args());
    set_up_like(&mut wrapper, command);
    wrapper
}

/// Copies a stream to the log, and sends the address on which the server listens.
fn collect(stream: impl Read, log: &Mutex<String>, found: Option<oneshot::Sender<String>>) {
    let mut found = found;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Some(address) = line.strip_prefix("listening on ")
            && let Some(found) = found.take()
        {
            // The receiver may be gone if the test has failed.
            let _ = found.send(address.trim().to_owned());
        }
        if let Ok(mut log) = log.lock() {
            log.push_str(&line);
            log.push('\n');
        }
    }
}

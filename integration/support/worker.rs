//! A worker's process.

use std::ffi::OsString;
use std::process::{Child, Command, ExitStatus, Stdio};

use tempfile::TempDir;

use super::paths::new_data_dir;
use super::until;

/// A running `pointstream worker`. Dropping it kills the process, and prints the log if the test failed.
pub struct Worker {
    process: Child,
    folder: TempDir,
}

impl Worker {
    /// Starts a worker for servers that have this NATS, with these options.
    pub fn start(nats: &str, options: &[&str]) -> Self {
        Self::with(nats, options.iter().map(OsString::from))
    }

    /// With these variables in its environment.
    pub fn with_environment(nats: &str, options: &[&str], variables: &[(&str, String)]) -> Self {
        Self::run(nats, options.iter().map(OsString::from), variables)
    }

    pub fn with(nats: &str, options: impl Iterator<Item = OsString>) -> Self {
        Self::run(nats, options, &[])
    }

    fn run(
        nats: &str,
        options: impl Iterator<Item = OsString>,
        variables: &[(&str, String)],
    ) -> Self {
        let folder = new_data_dir();
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointstream"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POINTSTREAM_") {
                command.env_remove(name);
            }
        }
        command
            .args(["worker", "--nats", nats, "--worker-dir"])
            .arg(folder.path().join("files"))
            .env("LOG_LEVEL", "DEBUG")
            .env("POINTSTREAM_MODEL_STORE", folder.path().join("models"))
            .env_remove("OMP_WAIT_POLICY")
            .env_remove("GOMP_SPINCOUNT")
            .env("OMP_NUM_THREADS", "2")
            .args(options)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        Self {
            process: command.spawn().expect("the program starts"),
            folder,
        }
    }

    /// Waits until a server has welcomed it. Returns its identifier.
    pub async fn joined(&self) -> String {
        until("the worker to join", async || {
            let log = self.log();
            let line = log.lines().find_map(|line| line.strip_prefix("worker "))?;
            Some(line.strip_suffix(" joined")?.to_owned())
        })
        .await
    }

    /// The process's output so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn signal(&self, signal: libc::c_int) {
        let id = libc::pid_t::try_from(self.process.id()).expect("a process id");
        // SAFETY: `kill` takes no pointers; the process is our child and has not been waited for.
        let sent = unsafe { libc::kill(id, signal) };
        assert_eq!(sent, 0, "the process is there");
    }

    /// Sends SIGKILL.
    pub fn kill(mut self) {
        self.process.kill().expect("the process is there");
        self.process.wait().expect("the process ends");
    }

    /// Waits for the process to exit by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        until("the worker's end", async || {
            self.process.try_wait().expect("the process is ours")
        })
        .await
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!(
                "---- log of the worker ----\n{}---- end of the log ----",
                self.log()
            );
        }
    }
}

//! Runs the program as a command.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{self, Stdio};

use tokio::process::{Child, Command};

use super::within;

/// The exit status and the output of a command.
#[derive(Debug)]
pub struct Ended {
    /// The exit status; `None` if a signal ended the command.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Expects success; returns stdout.
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Expects a failure with all these words and without a panic.
    pub fn refused(self, words: &[&str]) {
        let said = format!("{}{}", self.stdout, self.stderr);
        assert_eq!(self.code, Some(1), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is missing:\n{said}");
        }
    }
}

/// The program with these arguments, without the environment's settings, and with its own cache.
pub fn program(cache: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointstream"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["POINTSTREAM_", "HF_", "HTTP_", "HTTPS_", "LOG_"]
            .iter()
            .any(|prefix| name.to_uppercase().starts_with(prefix))
        {
            command.env_remove(&*name);
        }
    }
    command
        .env("XDG_CACHE_HOME", cache)
        .env("HF_HOME", cache.join("hub"))
        .args(arguments.iter().map(OsStr::new))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Waits for a command to end.
pub async fn ended(child: Child) -> Ended {
    let output = within("the command's end", child.wait_with_output())
        .await
        .expect("its output can be read");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Gives a command the environment of another one, and pipes.
pub fn set_up_like(command: &mut process::Command, other: &process::Command) {
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

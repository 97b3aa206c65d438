//! The Python programs that download and export checkpoints, run as child processes.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process_group, set_parent_process_death_signal,
};
use thiserror::Error;
use tokio::io::AsyncRead;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, FramedRead};
use tokio_util::sync::CancellationToken;

use super::options::FetchOptions;

/// A file by which the checkout is found.
const LANDMARK: &str = "weights/da3/download.py";
/// The Python that `scripts/setup.sh` installs in the checkout.
const PYTHON: &str = ".venv/bin/python";
/// The program fails if it writes a longer line.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Lines of stderr that are kept for a message.
const KEPT_LINES: usize = 20;
/// The exit status of a download that cannot ask the hub.
const OUT_OF_REACH: i32 = 69;
/// A program that writes nothing for so long has hung. The export of the largest network writes
/// nothing for minutes.
const STALL: Duration = Duration::from_secs(30 * 60);

/// Why one of the programs failed.
#[derive(Debug, Error)]
pub enum ToolError {
    #[error(
        "it needs the Python tools of the project, and there is no {0}; run \
         `scripts/setup.sh --with-model-tools` in a checkout, or name a Python that has them with \
         --python"
    )]
    NoPython(String),
    #[error("{0}")]
    Failed(String),
    /// The hub cannot be reached, or must not be.
    #[error("{0}")]
    OutOfReach(String),
    /// A signal asked this process to end.
    #[error("it was interrupted")]
    Interrupted,
}

/// A Python, and where it finds the modules.
#[derive(Debug)]
pub struct Tools<'a> {
    python: PathBuf,
    /// The checkout; without one, the Python has the modules itself.
    checkout: Option<PathBuf>,
    /// Whether the tools must not use the network.
    pub offline: bool,
    stop: &'a CancellationToken,
}

impl<'a> Tools<'a> {
    /// Finds the tools in the checkout that contains the program. Does not search the current
    /// folder: another user may control it, and the program runs what it finds. Cancelling `stop`
    /// kills a running tool.
    pub fn find(options: &FetchOptions, stop: &'a CancellationToken) -> Result<Self, ToolError> {
        let checkout = std::env::current_exe().ok().and_then(|program| {
            let mut folders = program.ancestors();
            let found = folders.find(|folder| folder.join(LANDMARK).is_file());
            found.map(Path::to_owned)
        });
        let python = match (&options.python, &checkout) {
            (Some(python), _) => std::path::absolute(python).unwrap_or_else(|_| python.to_owned()),
            (None, Some(checkout)) => checkout.join(PYTHON),
            (None, None) => {
                let place = format!("{PYTHON} in a folder above the program");
                return Err(ToolError::NoPython(place));
            }
        };
        if !python.is_file() {
            return Err(ToolError::NoPython(python.display().to_string()));
        }
        Ok(Self {
            python,
            checkout,
            offline: options.offline,
            stop,
        })
    }

    /// Runs a module to its end. Kills it if this process ends first. `on_line` gets each line of
    /// its stdout.
    pub async fn run(
        &self,
        module: &'static str,
        arguments: &[&OsStr],
        on_line: impl FnMut(&str),
    ) -> Result<(), ToolError> {
        let mut child = self.start(module, arguments)?;
        let ended = tokio::select! {
            () = self.stop.cancelled() => Err(ToolError::Interrupted),
            ended = follow(&mut child, module, on_line) => ended,
        };
        if ended.is_err() {
            kill(&mut child).await;
        }
        let (status, stderr) = ended?;
        match status.code() {
            Some(0) => Ok(()),
            Some(OUT_OF_REACH) => Err(ToolError::OutOfReach(reason(module, status, &stderr))),
            _ => Err(ToolError::Failed(reason(module, status, &stderr))),
        }
    }

    fn start(&self, module: &str, arguments: &[&OsStr]) -> Result<Child, ToolError> {
        let mut command = Command::new(&self.python);
        command
            .args(["-m", module])
            .args(arguments)
            // Without it, the exporter starts itself again.
            .env("PYTHONHASHSEED", "0")
            .env("HF_HUB_DISABLE_TELEMETRY", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C must not reach the tool: this process kills it and cleans up.
            .process_group(0)
            .kill_on_drop(true);
        // Python searches the current folder first, which another user may control.
        if let Some(folder) = self.checkout.as_deref().or(self.python.parent()) {
            command.current_dir(folder);
        }
        if self.offline {
            command.env("HF_HUB_OFFLINE", "1");
        }
        let parent = getpid();
        // SAFETY: between fork and exec it makes only system calls and allocates no memory.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                // The parent may have ended before the call.
                match getppid() == Some(parent) {
                    true => Ok(()),
                    false => Err(io::ErrorKind::Interrupted.into()),
                }
            });
        }
        command.spawn().map_err(|error| {
            let python = self.python.display();
            ToolError::Failed(format!(
                "cannot run {python}: {error}; --python names another Python"
            ))
        })
    }
}

/// Reads what a program writes until it ends. Returns its status and the last lines of its stderr.
async fn follow(
    child: &mut Child,
    module: &'static str,
    mut on_line: impl FnMut(&str),
) -> Result<(ExitStatus, VecDeque<String>), ToolError> {
    let stdout = lines(child.stdout.take()).map(|line| (true, line));
    let stderr = lines(child.stderr.take()).map(|line| (false, line));
    let mut output = pin!(stream::select(stdout, stderr));
    let mut kept = VecDeque::new();
    let stalled = |_| ToolError::Failed(format!("{module} wrote nothing for {STALL:?}"));
    while let Some((is_stdout, line)) = timeout(STALL, output.next()).await.map_err(stalled)? {
        let line = line.map_err(|error| ToolError::Failed(format!("{module}: {error}")))?;
        if is_stdout {
            on_line(&line);
            continue;
        }
        tracing::debug!(module, "{line}");
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    match timeout(STALL, child.wait()).await.map_err(stalled)? {
        Ok(status) => Ok((status, kept)),
        Err(error) => Err(ToolError::Failed(format!("{module}: {error}"))),
    }
}

/// The lines of an output. A progress bar ends its lines with a carriage return.
fn lines(
    output: Option<impl AsyncRead + Unpin>,
) -> impl Stream<Item = Result<String, AnyDelimiterCodecError>> {
    let ends = b"\r\n".to_vec();
    let codec = AnyDelimiterCodec::new_with_max_length(ends, Vec::new(), MAX_LINE_BYTES);
    stream::iter(output)
        .flat_map(move |output| FramedRead::new(output, codec.clone()))
        .map(|line| Ok(String::from_utf8_lossy(&line?).into_owned()))
}

/// Kills a program and all processes that it started, and waits for its end.
async fn kill(child: &mut Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = id.and_then(Pid::from_raw)
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        tracing::debug!(%error, "cannot kill the process group of a tool");
    }
    if let Err(error) = child.kill().await {
        tracing::debug!(%error, "cannot kill a tool");
    }
}

/// Why a program failed: its last line that begins with `error: `, else its last line.
fn reason(module: &str, status: ExitStatus, stderr: &VecDeque<String>) -> String {
    if let Some(signal) = status.signal() {
        return format!("signal {signal} ended {module}; perhaps memory ran out");
    }
    let lines = || stderr.iter().rev().map(|line| line.trim());
    if let Some(error) = lines().find_map(|line| line.strip_prefix("error: ")) {
        return error.to_owned();
    }
    match lines().find(|line| !line.is_empty()) {
        None => format!("{module} failed: {status}"),
        // Python's messages for a missing package, or a missing library of a package.
        Some(line) if line.starts_with("ModuleNotFoundError") || line.contains("shared object") => {
            format!("{line}; `scripts/setup.sh --with-model-tools` installs what is missing")
        }
        Some(line) => line.to_owned(),
    }
}

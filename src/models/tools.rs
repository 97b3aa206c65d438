//! The Python programs that download and export checkpoints, run as child processes.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A file of theirs, by which the checkout is found.
const LANDMARK: &str = "weights/da3/download.py";
/// The Python that `scripts/setup.sh` makes in the checkout.
const PYTHON: &str = ".venv/bin/python";
/// Longer lines are not theirs.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// Lines of stderr that are kept for a message.
const KEPT_LINES: usize = 20;
/// The status with which the download says that the hub cannot be asked.
const OUT_OF_REACH: i32 = 69;
/// A program that says nothing for so long hangs. The export of the largest network says nothing.
const STALL: Duration = Duration::from_secs(30 * 60);

/// Why one of the programs gave no result.
#[derive(Debug, Error)]
pub enum ToolError {
    /// There is no Python to run them.
    #[error(
        "it takes the Python tools of the project, and there is no {0}; run \
         `scripts/setup.sh --with-model-tools` in a checkout, or name a Python that has them with \
         --python"
    )]
    NoPython(String),
    /// The system refused to start it.
    #[error("cannot run {python}: {source}; --python names another Python")]
    Start {
        /// The Python.
        python: String,
        /// What the system said.
        source: io::Error,
    },
    /// It failed, with its own words.
    #[error("{0}")]
    Failed(String),
    /// The hub cannot be asked, with the program's own words.
    #[error("{0}")]
    OutOfReach(String),
    /// It did nothing more.
    #[error("{module} said nothing for {STALL:?}")]
    Stalled {
        /// Which one.
        module: &'static str,
    },
    /// We were asked to end.
    #[error("it was interrupted")]
    Interrupted,
}

/// The Python and where its modules are.
#[derive(Debug)]
pub struct Tools {
    python: PathBuf,
    /// The checkout, unless the Python has the modules itself.
    checkout: Option<PathBuf>,
}

impl Tools {
    /// Finds the tools in the checkout that the program lies in. The current folder, which may be
    /// anybody's, is not searched: what is found is run.
    ///
    /// # Errors
    /// [`ToolError::NoPython`].
    pub fn find(python: Option<&Path>) -> Result<Self, ToolError> {
        let checkout = std::env::current_exe().ok().and_then(|program| {
            let mut folders = program.ancestors();
            let found = folders.find(|folder| folder.join(LANDMARK).is_file());
            found.map(Path::to_owned)
        });
        let python = match (python, &checkout) {
            (Some(python), _) => std::path::absolute(python).unwrap_or_else(|_| python.to_owned()),
            (None, Some(checkout)) => checkout.join(PYTHON),
            (None, None) => {
                let beside = format!("{PYTHON} in a folder above the program");
                return Err(ToolError::NoPython(beside));
            }
        };
        if python.is_file() {
            Ok(Self { python, checkout })
        } else {
            Err(ToolError::NoPython(python.display().to_string()))
        }
    }

    /// Runs a module to its end; it is killed if we end before, or as soon as `stop` is cancelled.
    ///
    /// `on_line` gets each line of its stdout.
    ///
    /// # Errors
    /// [`ToolError`], but not `NoPython`.
    pub async fn run(
        &self,
        module: &'static str,
        arguments: &[&OsStr],
        offline: bool,
        stop: &CancellationToken,
        on_line: impl FnMut(&str),
    ) -> Result<(), ToolError> {
        let mut child = self.start(module, arguments, offline)?;
        let ended = tokio::select! {
            () = stop.cancelled() => Err(ToolError::Interrupted),
            ended = follow(&mut child, module, on_line) => ended,
        };
        if ended.is_err() {
            kill(&mut child).await;
        }
        let (status, said) = ended?;
        match status.code() {
            Some(0) => Ok(()),
            Some(OUT_OF_REACH) => Err(ToolError::OutOfReach(reason(module, status, &said))),
            _ => Err(ToolError::Failed(reason(module, status, &said))),
        }
    }

    fn start(&self, module: &str, arguments: &[&OsStr], offline: bool) -> Result<Child, ToolError> {
        let mut command = Command::new(&self.python);
        command
            .args(["-m", module])
            .args(arguments)
            // The exporter starts itself anew without it.
            .env("PYTHONHASHSEED", "0")
            // What the hub's library would tell it besides.
            .env("HF_HUB_DISABLE_TELEMETRY", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at a terminal is for us: we end it, and tidy up.
            .process_group(0)
            .kill_on_drop(true);
        // Python looks for modules in the current folder first, which may be anybody's.
        let folder = self.checkout.as_deref().or(self.python.parent());
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        if offline {
            command.env("HF_HUB_OFFLINE", "1");
        }
        let parent = std::process::id();
        // SAFETY: between fork and exec only system calls are made, which take no memory.
        unsafe {
            command.pre_exec(move || end_with_parent(parent));
        }
        command.spawn().map_err(|source| ToolError::Start {
            python: self.python.display().to_string(),
            source,
        })
    }
}

/// Has the system kill this process when the thread that started it ends, also if that is killed.
fn end_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: plain system calls with constants.
    let (set, now) = unsafe {
        (
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
            libc::getppid(),
        )
    };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    // It may have ended before the system was told.
    if u32::try_from(now) != Ok(parent) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    Ok(())
}

/// Reads what it says until it ends; the last lines of its stderr are returned.
async fn follow(
    child: &mut Child,
    module: &'static str,
    mut on_line: impl FnMut(&str),
) -> Result<(ExitStatus, VecDeque<String>), ToolError> {
    let mut stdout = child.stdout.take().map(Lines::new);
    let mut stderr = child.stderr.take().map(Lines::new);
    let mut kept = VecDeque::new();
    while stdout.is_some() || stderr.is_some() {
        let next = async {
            tokio::select! {
                line = Lines::next(&mut stdout) => (true, line),
                line = Lines::next(&mut stderr) => (false, line),
            }
        };
        match timeout(STALL, next).await {
            Err(_) => return Err(ToolError::Stalled { module }),
            Ok((true, Some(line))) => on_line(&line),
            Ok((true, None)) => stdout = None,
            Ok((false, Some(line))) => {
                tracing::debug!(module, "{line}");
                if kept.len() == KEPT_LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
            Ok((false, None)) => stderr = None,
        }
    }
    match timeout(STALL, child.wait()).await {
        Err(_) => Err(ToolError::Stalled { module }),
        Ok(Ok(status)) => Ok((status, kept)),
        Ok(Err(error)) => Err(ToolError::Failed(error.to_string())),
    }
}

/// Lines of limited length; a longer one comes in pieces.
struct Lines<R> {
    stream: BufReader<R>,
    /// What is read of the next line: waiting for it may be given up at any time.
    begun: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(stream: R) -> Self {
        Self {
            stream: BufReader::new(stream),
            begun: Vec::new(),
        }
    }

    /// The next line; none at the end. Waits for ever where there is no stream.
    async fn next(lines: &mut Option<Self>) -> Option<String> {
        let Some(Self { stream, begun }) = lines else {
            return std::future::pending().await;
        };
        let room = MAX_LINE_BYTES.saturating_sub(begun.len()) as u64;
        let read = stream.take(room).read_until(b'\n', begun).await;
        if begun.is_empty() || read.is_err() {
            return None;
        }
        let line = String::from_utf8_lossy(begun).trim_end().to_owned();
        begun.clear();
        Some(line)
    }
}

/// Kills a program with all that it started, and waits for its end.
async fn kill(child: &mut Child) {
    if let Some(id) = child.id().and_then(|id| libc::pid_t::try_from(id).ok()) {
        // SAFETY: a plain system call; the child leads its group and was not waited for yet.
        unsafe { libc::kill(-id, libc::SIGKILL) };
    }
    if let Err(error) = child.kill().await {
        tracing::debug!(%error, "a tool cannot be ended");
    }
}

/// Why it failed: what it said last as an error, else what it said last.
fn reason(module: &str, status: ExitStatus, said: &VecDeque<String>) -> String {
    if let Some(signal) = status.signal() {
        return format!("{module} was ended by signal {signal}, perhaps for want of memory");
    }
    let lines = || said.iter().rev().map(|line| line.trim());
    if let Some(error) = lines().find_map(|line| line.strip_prefix("error: ")) {
        return error.to_owned();
    }
    match lines().find(|line| !line.is_empty()) {
        None => format!("{module} failed: {status}"),
        // What Python says where a package or a library of one is missing.
        Some(line) if line.starts_with("ModuleNotFoundError") || line.contains("shared object") => {
            format!("{line}; `scripts/setup.sh --with-model-tools` installs what is missing")
        }
        Some(line) => line.to_owned(),
    }
}

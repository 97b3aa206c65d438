//! The command `pointstream`: serves sessions that turn photos into point clouds.

mod api;
mod app;
mod base_dirs;
mod cli;
mod data_dir;
mod http;
mod logging;
mod metrics;
mod models;
mod one_shot;
mod options;
mod origins;
mod reconstruct;
mod service;
mod signals;
mod ws;

use std::error::Error;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::unix::process::CommandExt;
use std::process;

use clap::Parser;

use crate::cli::{Cli, Command, LogOptions};
use crate::logging::LogFormat;
use crate::reconstruct::ReconstructError;

fn main() {
    let cli = Cli::parse();
    match cli.command {
        None => {
            let log = cli.serve.log.clone();
            prepare(&log);
            end(run(service::run(cli.serve)), log.format)
        }
        Some(Command::Reconstruct(options)) => {
            let log = options.log.clone();
            prepare(&log);
            end(run(reconstruct::run(options)), log.format)
        }
        Some(Command::Models(options)) => {
            let log = options.command.log().clone();
            logging::start(&log.level, log.format);
            end(run(models::run(options.command)), log.format)
        }
    }
}

/// Prepares the process for a model, and starts logging.
fn prepare(log: &LogOptions) {
    let waiting = calm_openmp();
    quiet_libtorch();
    logging::start(&log.level, log.format);
    if let Err(error) = waiting {
        tracing::warn!(%error, "threads of the model may spin while they wait");
    }
}

/// Runs a command to its end.
fn run<E: Error + 'static>(
    command: impl Future<Output = Result<(), E>>,
) -> Result<(), Box<dyn Error>> {
    // Dropping a runtime waits for what still runs on its threads.
    let runtime = ManuallyDrop::new(tokio::runtime::Runtime::new()?);
    Ok(runtime.block_on(command)?)
}

/// Ends the process, with the reason if it failed.
fn end(ended: Result<(), Box<dyn Error>>, format: LogFormat) -> ! {
    match ended {
        Ok(()) => exit(0),
        Err(error) => {
            match format {
                LogFormat::Text => {
                    let _ = writeln!(io::stderr(), "error: {error}");
                }
                LogFormat::Json => tracing::error!("{error}"),
            }
            let interrupted = matches!(error.downcast_ref(), Some(ReconstructError::Interrupted));
            // As shells have it: 128 and the number of the signal.
            exit(if interrupted { 128 + libc::SIGINT } else { 1 })
        }
    }
}

/// Has libtorch's threads spin only for a moment before they sleep while they wait for each other,
/// unless the operator decided.
///
/// OpenMP's default takes the processor from whatever else the server and its machine do, and slows
/// the model itself down many times where cores are shared; sleeping at once leaves all but one
/// core idle between the model's many short steps. The OpenMP library reads the variable when it is
/// loaded, which is before `main`: so the program starts itself anew.
fn calm_openmp() -> io::Result<()> {
    const POLICY: &str = "OMP_WAIT_POLICY";
    const SPINS: &str = "GOMP_SPINCOUNT";
    if [POLICY, SPINS]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    // Returns only if it fails.
    Err(process::Command::new(std::env::current_exe()?)
        .arg0(name)
        .args(arguments)
        .env(SPINS, "1000")
        .exec())
}

/// Keeps libtorch's own warnings off stderr, unless the operator asked for them: they are no lines
/// of the log and tell of its inner life.
fn quiet_libtorch() {
    const LEVEL: &str = "TORCH_CPP_LOG_LEVEL";
    if std::env::var_os(LEVEL).is_none() {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var(LEVEL, "ERROR") };
    }
}

/// Ends the process without running the destructors of libtorch's globals: a worker's thread may
/// still be inside, and would crash.
fn exit(code: i32) -> ! {
    let _ = io::stdout().flush();
    // SAFETY: takes no memory and returns to nobody; stdout is flushed, stderr has no buffer.
    unsafe { libc::_exit(code) }
}

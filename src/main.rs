//! The program `pointstream`: serves sessions that turn photos into point clouds.

#![warn(clippy::unwrap_used)]

mod api;
mod app;
mod auth;
mod base_dirs;
mod cli;
mod config_file;
mod data_commands;
mod data_dir;
mod entrance;
mod exposure;
mod gateways;
mod heap;
mod http;
mod logging;
mod metrics;
mod models;
mod nats_options;
mod nearest;
mod one_shot;
mod open_files;
mod options;
mod origins;
mod payload;
mod places;
mod pool_options;
mod rates;
mod reconstruct;
mod service;
mod signals;
mod tls;
mod values;
mod video;
mod webhooks;
mod worker;
mod ws;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process;

use fs_err::os::unix::fs::OpenOptionsExt as _;
use fs_err::{File, OpenOptions};

use crate::cli::Command;
use crate::config_file::ArgumentError;
use crate::logging::{LogFormat, LogOptions};
use crate::reconstruct::ReconstructError;

#[global_allocator]
static ALLOCATOR: heap::Allocator = heap::Allocator;

fn main() {
    let cli =
        config_file::parse(std::env::args_os().collect()).unwrap_or_else(|error| refuse(error));
    match cli.command {
        None => {
            let log = cli.serve.log.clone();
            let audit = open_audit_log(cli.serve.auth.audit_log.as_deref());
            let audit = audit.unwrap_or_else(|error| end(Err(error), log.format));
            prepare(&log, audit);
            if let Err(error) = heap::trim_regularly() {
                tracing::warn!(%error, "freed memory is not given back to the system");
            }
            end(run(service::run(cli.serve)), log.format)
        }
        Some(Command::Reconstruct(options)) => {
            let log = options.log.clone();
            prepare(&log, None);
            end(run(reconstruct::run(options)), log.format)
        }
        Some(Command::Worker(options)) => {
            let log = options.log.clone();
            prepare(&log, None);
            if let Err(error) = heap::trim_regularly() {
                tracing::warn!(%error, "freed memory is not given back to the system");
            }
            end(run(worker::run(options)), log.format)
        }
        Some(Command::Models(options)) => {
            let log = options.log.clone();
            logging::start(&log, None);
            end(run(models::run(options)), log.format)
        }
        Some(Command::Data(options)) => {
            let log = options.log.clone();
            logging::start(&log, None);
            end(data_commands::run(options).map_err(Into::into), log.format)
        }
        Some(Command::Token(options)) => {
            let log = options.log.clone();
            logging::start(&log, None);
            end(auth::run(options).map_err(Into::into), log.format)
        }
        Some(Command::NeedsModelTools { arguments }) => {
            // The command line itself will report any error.
            let needed = needs_model_tools(arguments).unwrap_or(false);
            exit(i32::from(!needed))
        }
    }
}

/// Ends the process because of its arguments, or after the help or version that they ask for.
fn refuse(error: ArgumentError) -> ! {
    /// As with clap.
    const STATUS: i32 = 2;
    match error {
        ArgumentError::CommandLine(error) => error.exit(),
        ArgumentError::Together { .. } => {
            // The error of the arguments begins with its kind.
            let _ = writeln!(io::stderr(), "{error}");
        }
        ArgumentError::File(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
        }
    }
    exit(STATUS)
}

/// Whether a command line, without the program's name, fetches a model with the Python tools of the
/// checkout.
fn needs_model_tools(arguments: Vec<OsString>) -> Result<bool, Box<dyn Error>> {
    let program = std::iter::once(OsString::from("pointstream"));
    let cli = config_file::parse(program.chain(arguments).collect())?;
    match cli.fetch_request() {
        Some((store, request)) => run(models::needs_tools(&store, &request)),
        None => Ok(false),
    }
}

/// Sets up the process for libtorch, and starts logging.
fn prepare(log: &LogOptions, audit: Option<File>) {
    let limited = limit_openmp_spinning();
    heap::limit_arenas();
    quiet_libtorch();
    logging::start(log, audit);
    if let Err(error) = limited {
        tracing::warn!(
            %error,
            "cannot limit the spinning of the model's threads, which may slow other programs; set \
             GOMP_SPINCOUNT=1000"
        );
    }
}

/// Opens the file of the audit log, if there is one. A new one is for this user alone: it has names and
/// addresses.
fn open_audit_log(path: Option<&Path>) -> Result<Option<File>, Box<dyn Error>> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let open = |path| options.open(path);
    let opened = path.map(open).transpose();
    opened.map_err(|error| format!("cannot write the audit log: {error}").into())
}

/// Runs a command to its end.
fn run<T, E: Error + 'static>(
    command: impl Future<Output = Result<T, E>>,
) -> Result<T, Box<dyn Error>> {
    // Dropping a runtime would wait for tasks that still block its threads.
    let runtime = ManuallyDrop::new(tokio::runtime::Runtime::new()?);
    Ok(runtime.block_on(command)?)
}

/// Ends the process. If the command failed, writes the reason.
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
            let reconstruct = error.downcast_ref::<ReconstructError>();
            exit(reconstruct.map_or(1, ReconstructError::exit_code))
        }
    }
}

/// Makes libtorch's threads sleep soon when they wait for each other, unless the operator set a
/// policy.
///
/// By default OpenMP's threads spin for a long time. This takes CPU time from other programs and
/// from the rest of the server, and makes the model many times slower where cores are shared.
/// Without any spinning, all cores but one would idle between the model's many short steps. The
/// OpenMP library reads the variable when it is loaded, before `main`, so the program replaces
/// itself with a new process image that has it.
fn limit_openmp_spinning() -> io::Result<()> {
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
    // `exec` returns only if it fails.
    Err(process::Command::new(std::env::current_exe()?)
        .arg0(name)
        .args(arguments)
        .env(SPINS, "1000")
        .exec())
}

/// Hides libtorch's own warnings, unless the operator set a level: they go to stderr without the
/// log's format, and operators cannot act on them.
fn quiet_libtorch() {
    const LEVEL: &str = "TORCH_CPP_LOG_LEVEL";
    if std::env::var_os(LEVEL).is_none() {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var(LEVEL, "ERROR") };
    }
}

/// Ends the process without running the destructors of libtorch's globals: a worker's thread may
/// still use them, and would crash.
fn exit(code: i32) -> ! {
    let _ = io::stdout().flush();
    // SAFETY: it does not return; stdout is flushed, and stderr has no buffer.
    unsafe { libc::_exit(code) }
}

//! The command `pointstream`: serves sessions that turn photos into point clouds.

mod data_dir;
mod http;
mod logging;
mod options;
mod service;
mod ws;

use std::io::{self, Write};
use std::mem::ManuallyDrop;

use clap::Parser;

use crate::logging::LogFormat;
use crate::options::Options;

fn main() {
    let options = Options::parse();
    quiet_libtorch();
    logging::start(&options.log_level, options.log_format);
    let format = options.log_format;
    let ended = match tokio::runtime::Runtime::new() {
        // Dropping a runtime waits for what still runs on its threads.
        Ok(runtime) => ManuallyDrop::new(runtime).block_on(service::run(options)),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => exit(0),
        Err(error) => {
            match format {
                LogFormat::Text => {
                    let _ = writeln!(io::stderr(), "error: {error}");
                }
                LogFormat::Json => tracing::error!("{error}"),
            }
            exit(1)
        }
    }
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

//! The log: on stderr, as text or as JSON.

use std::fmt::{Display, Formatter};
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::Mutex;

use clap::{Args, ValueEnum};
use fs_err::File;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, ParseError, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::auth::AUDIT;

/// The crates of this program. A level without a filter applies to them.
const OWN_CRATES: [&str; 4] = [
    "pointstream",
    "pointstream_actors",
    "pointstream_inference",
    "pointstream_reconstruction",
];

/// The options of logging, which every command has.
#[derive(Debug, Clone, Args)]
pub struct LogOptions {
    /// What is logged: ERROR, WARNING, INFO, DEBUG, TRACE, or a filter such as
    /// info,pointstream_actors=debug.
    #[arg(
        id = "log_level",
        long = "log-level",
        env = "LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "INFO"
    )]
    pub level: LogLevel,

    /// Format of the log: text (one readable line per event) or json (one object per event).
    #[arg(
        id = "log_format",
        long = "log-format",
        env = "POINTSTREAM_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub format: LogFormat,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line for each event, in colour on a terminal.
    Text,
    /// One JSON object for each event.
    Json,
}

/// A valid filter of tracing's directives. A level becomes a filter for the program's crates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

/// Neither a level nor a filter.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} is neither a level (ERROR, WARNING, INFO, DEBUG, TRACE, OFF) nor a filter such as \
     info,pointstream=debug"
)]
pub struct UnknownLevel {
    text: String,
}

impl FromStr for LogLevel {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownLevel {
            text: text.to_owned(),
        };
        let directives = match level(text.trim()) {
            Some(level) => own_crates_at(level),
            None if text.contains(['=', ',']) => text.trim().to_owned(),
            None => return Err(unknown()),
        };
        let level = Self(directives);
        level.filter().map_err(|_| unknown())?;
        Ok(level)
    }
}

impl LogLevel {
    fn filter(&self) -> Result<EnvFilter, ParseError> {
        EnvFilter::builder().parse(&self.0)
    }
}

impl Display for LogLevel {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A level by its name in tracing or in Python's `logging`, in upper or lower case.
fn level(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "off" => Some("off"),
        "error" | "critical" | "fatal" => Some("error"),
        "warn" | "warning" => Some("warn"),
        "info" => Some("info"),
        "debug" => Some("debug"),
        "trace" | "notset" => Some("trace"),
        _ => None,
    }
}

/// The filter that sets the level of the program's crates. Libraries log at most at `info`, unless
/// the operator sets a filter.
fn own_crates_at(level: &str) -> String {
    let libraries = match level {
        "debug" | "trace" => "info",
        other => other,
    };
    OWN_CRATES
        .iter()
        .fold(libraries.to_owned(), |filter, name| {
            format!("{filter},{name}={level}")
        })
}

/// Starts logging. The audit log goes to its own file, if there is one. Panics are logged as errors.
pub fn start(options: &LogOptions, audit: Option<File>) {
    // The filter was checked when the option was read.
    let filter = options.level.filter();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    let audit_is_apart = audit.is_some();
    let filter = filter.and(filter_fn(move |metadata| {
        let is_elsewhere = audit_is_apart && is_audit(metadata);
        !prints_messages(metadata) && !is_elsewhere
    }));
    let layer = fmt::layer().with_writer(std::io::stderr);
    let log = match options.format {
        LogFormat::Text => layer
            .with_ansi(std::io::stderr().is_terminal())
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_ansi(false)
            .with_filter(filter)
            .boxed(),
    };
    let audit = audit.map(|file| {
        let layer = fmt::layer().with_writer(Mutex::new(file)).with_ansi(false);
        let layer = layer.json().flatten_event(true).with_current_span(false);
        layer.with_span_list(false).with_filter(filter_fn(is_audit))
    });
    tracing_subscriber::registry().with(log).with(audit).init();
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), "{panic}");
    }));
}

fn is_audit(metadata: &Metadata<'_>) -> bool {
    metadata.target() == AUDIT
}

/// Whether an event may contain a message of a client, which may be a token: the WebSocket library
/// prints what it receives.
fn prints_messages(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let is_library = target.starts_with("tungstenite") || target.starts_with("tokio_tungstenite");
    is_library && *metadata.level() > Level::INFO
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(text: &str) -> String {
        text.parse::<LogLevel>().expect("valid").to_string()
    }

    #[test]
    fn levels_are_case_insensitive_and_may_have_pythons_names() {
        assert_eq!(directives("DEBUG"), directives("debug"));
        assert_eq!(directives("WARNING"), directives("warn"));
        assert_eq!(directives("Critical"), directives("error"));
    }

    #[test]
    fn a_level_applies_to_the_programs_crates() {
        assert_eq!(
            directives("DEBUG"),
            "info,pointstream=debug,pointstream_actors=debug,pointstream_inference=debug,\
             pointstream_reconstruction=debug"
        );
    }

    #[test]
    fn filters_are_not_changed() {
        assert_eq!(directives("warn,hyper=trace"), "warn,hyper=trace");
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["", "LOUD", "pointstream=loud", "a=b=c"] {
            assert!(text.parse::<LogLevel>().is_err(), "{text:?}");
        }
    }
}

//! The log: on stderr, readable or as JSON.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Our own crates; a level alone speaks of them.
const OWN: [&str; 3] = [
    "pointstream",
    "pointstream_actors",
    "pointstream_reconstruction",
];

/// Lines for people or objects for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line each, in colour on a terminal.
    Text,
    /// One JSON object each.
    Json,
}

/// What is logged: a level or a filter, checked.
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
            Some(level) => of_own(level),
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

impl fmt::Display for LogLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A level by its name here or in Python's `logging`, in any case.
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

/// This level for our own crates. Libraries tell their inner life only when a filter asks for it.
fn of_own(level: &str) -> String {
    let libraries = match level {
        "debug" | "trace" => "info",
        other => other,
    };
    OWN.iter().fold(libraries.to_owned(), |filter, name| {
        format!("{filter},{name}={level}")
    })
}

/// Starts logging, panics included.
pub fn start(level: &LogLevel, format: LogFormat) {
    // The filter was checked when the option was read.
    let filter = level.filter().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).with_ansi(false).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), "{panic}");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(text: &str) -> String {
        text.parse::<LogLevel>().expect("valid").to_string()
    }

    #[test]
    fn levels_come_in_any_case_and_in_pythons_words() {
        assert_eq!(directives("DEBUG"), directives("debug"));
        assert_eq!(directives("WARNING"), directives("warn"));
        assert_eq!(directives("Critical"), directives("error"));
    }

    #[test]
    fn a_level_speaks_of_our_own_crates() {
        assert_eq!(
            directives("DEBUG"),
            "info,pointstream=debug,pointstream_actors=debug,pointstream_reconstruction=debug"
        );
    }

    #[test]
    fn filters_pass_as_they_are() {
        assert_eq!(directives("warn,hyper=trace"), "warn,hyper=trace");
    }

    #[test]
    fn refuses_other_words() {
        for text in ["", "LOUD", "pointstream=loud", "a=b=c"] {
            assert!(text.parse::<LogLevel>().is_err(), "{text:?}");
        }
    }
}

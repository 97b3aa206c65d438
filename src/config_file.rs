//! The configuration file: options of the server in a TOML file, as if the command line began with them.
//!
//! An option on the command line or in the environment replaces that of the file.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, Parser as _};
use fs_err::File;
use thiserror::Error;
use toml::{Table, Value};

use crate::cli::Cli;
use crate::nearest::nearest;

/// The option that names the file.
const OPTION: &str = "config";
/// Bytes of the largest file.
const MAX_BYTES: u64 = 1 << 20;

/// The program cannot start with these arguments.
#[derive(Debug, Error)]
pub enum ArgumentError {
    /// Also a request for the help or the version.
    #[error("{0}")]
    CommandLine(#[from] clap::Error),
    #[error("{0}")]
    File(#[from] ConfigError),
    /// The arguments on the command line are all right without the file.
    #[error("{error}\nThe configuration file {} has some of the options.", path.display())]
    Together { path: PathBuf, error: clap::Error },
}

/// The configuration file cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file: {0}")]
    Io(#[from] io::Error),
    #[error("the configuration file {} is larger than {MAX_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("the configuration file {} is not TOML: {source}", path.display())]
    Toml {
        path: PathBuf,
        source: toml::de::Error,
    },
    #[error("the configuration file {}: {problem}", path.display())]
    Entry { path: PathBuf, problem: BadEntry },
}

/// An entry of the file is wrong.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum BadEntry {
    #[error("there is no option {name}; pointstream --help lists all{}", meant(.nearest.as_deref()))]
    Unknown {
        name: String,
        nearest: Option<String>,
    },
    #[error("{0} cannot be in the file itself")]
    Itself(String),
    #[error("{0} must be true or false")]
    NotASwitch(String),
    #[error("{0} must be a text, a number, true or false, or a list of these")]
    NoValue(String),
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// Reads the command line of the program, and the configuration file if there is one.
///
/// # Errors
/// [`ArgumentError`].
pub fn parse(arguments: Vec<OsString>) -> Result<Cli, ArgumentError> {
    let command = Cli::command();
    // What is missing on the command line may be in the file.
    let given = command
        .clone()
        .ignore_errors(true)
        .try_get_matches_from(&arguments)?;
    let path = match given.subcommand_name() {
        None => given.get_one::<PathBuf>(OPTION),
        Some(_) => None,
    };
    let Some(path) = path else {
        return Ok(Cli::try_parse_from(arguments)?);
    };
    let from_file = read(path)?.into_iter().map(|(name, value)| {
        let argument = option(&command, &name)?;
        match is_given(&given, argument) {
            true => Ok(Vec::new()),
            false => written(argument, &name, &value),
        }
    });
    let from_file: Result<Vec<_>, BadEntry> = from_file.collect();
    let from_file = from_file.map_err(|problem| ConfigError::Entry {
        path: path.clone(),
        problem,
    })?;
    let (program, rest) = arguments.split_at(1.min(arguments.len()));
    let from_file = from_file.into_iter().flatten().map(OsString::from);
    let all = program.iter().cloned().chain(from_file);
    let all = all.chain(rest.iter().cloned());
    Cli::try_parse_from(all).map_err(|error| match error.use_stderr() {
        true => ArgumentError::Together {
            path: path.clone(),
            error,
        },
        false => error.into(),
    })
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(ConfigError::TooLarge(path.to_owned()));
    }
    text.parse().map_err(|source| ConfigError::Toml {
        path: path.to_owned(),
        source,
    })
}

/// The option with this name.
fn option<'a>(command: &'a Command, name: &str) -> Result<&'a Arg, BadEntry> {
    if name == OPTION {
        return Err(BadEntry::Itself(name.to_owned()));
    }
    let find = |argument: &&Arg| argument.get_long() == Some(name);
    command.get_arguments().find(find).ok_or_else(|| {
        let known = command.get_arguments().filter_map(Arg::get_long);
        BadEntry::Unknown {
            name: name.to_owned(),
            nearest: nearest(name, known).map(str::to_owned),
        }
    })
}

/// Whether the command line or the environment has the option.
fn is_given(given: &ArgMatches, argument: &Arg) -> bool {
    matches!(
        given.value_source(argument.get_id().as_str()),
        Some(ValueSource::CommandLine | ValueSource::EnvVariable)
    )
}

/// The arguments that say the same on a command line.
fn written(argument: &Arg, name: &str, value: &Value) -> Result<Vec<String>, BadEntry> {
    if matches!(argument.get_action(), ArgAction::SetTrue) {
        return match value {
            Value::Boolean(true) => Ok(vec![format!("--{name}")]),
            Value::Boolean(false) => Ok(Vec::new()),
            _ => Err(BadEntry::NotASwitch(name.to_owned())),
        };
    }
    let text = match value {
        Value::Array(values) => {
            let texts: Option<Vec<_>> = values.iter().map(scalar).collect();
            texts.map(|texts| texts.join(","))
        }
        value => scalar(value),
    };
    let text = text.ok_or_else(|| BadEntry::NoValue(name.to_owned()))?;
    Ok(vec![format!("--{name}={text}")])
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(yes) => Some(yes.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(content: &str, more: &[&str]) -> Result<Cli, ArgumentError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pointstream.toml");
        std::fs::write(&path, content).expect("writable");
        let path = path.to_str().expect("a plain name");
        let arguments = ["pointstream", "--config", path];
        let arguments = arguments.iter().chain(more).map(OsString::from);
        parse(arguments.collect())
    }

    fn refused(content: &str) -> String {
        with(content, &[]).expect_err("refused").to_string()
    }

    #[test]
    fn the_file_has_options_and_the_command_line_replaces_them() {
        let content = "
            port = 9000
            host = '0.0.0.0'
            insecure = true
            session-timeout = 12.5
            max-sessions = 3
            cors-origins = ['https://a.example', 'https://b.example']
        ";
        let options = with(content, &["--max-sessions", "7"])
            .expect("valid")
            .serve;
        assert_eq!((options.port, options.max_sessions), (9000, 7));
        assert_eq!(options.host, "0.0.0.0");
        assert_eq!(options.session_timeout.as_secs_f64(), 12.5);
        let one = with("cors-origins = 'https://a.example,https://b.example'", &[]);
        let one = format!("{:?}", one.expect("valid").serve.cors_origins);
        assert_eq!(format!("{:?}", options.cors_origins), one);
    }

    #[test]
    fn half_of_a_pair_may_be_on_the_command_line() {
        let key = ["--tls-key", "key.pem"];
        assert!(with("tls-cert = 'cert.pem'", &key).is_ok());
        assert!(with("", &key).is_err());
        let together = refused("tls-cert = 'cert.pem'");
        assert!(
            together.contains("--tls-key") && together.contains("pointstream.toml"),
            "{together}"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (content, words) in [
            ("max-session = 1", "did you mean max-sessions?"),
            ("config = 'other.toml'", "cannot be in the file itself"),
            ("insecure = 'yes'", "insecure must be true or false"),
            ("port = {}", "port must be a text, a number"),
            ("port = 'many'", "--port"),
            ("port = ", "is not TOML"),
        ] {
            let said = refused(content);
            assert!(said.contains(words), "{content}: {said}");
        }
        let missing = ["pointstream", "--config", "/no/such/file"];
        let missing = parse(missing.map(OsString::from).into());
        assert!(matches!(
            missing,
            Err(ArgumentError::File(ConfigError::Io(_)))
        ));
    }

    #[test]
    fn help_needs_no_file() {
        let arguments = ["pointstream", "--config", "/no/such/file", "--help"];
        let help = parse(arguments.map(OsString::from).into());
        let Err(ArgumentError::CommandLine(help)) = help else {
            panic!("no help");
        };
        assert!(!help.use_stderr());
    }
}

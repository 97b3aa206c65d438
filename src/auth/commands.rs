//! `pointstream token`: makes, lists and revokes tokens. Results are written to stdout.

use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::scope::Scope;
use super::secret::Secret;
use super::token_file::{BadEntry, Entry, TokenFile, TokenFileError, check_name};
use crate::logging::LogOptions;
use crate::values::at_least_one;

/// The options of `pointstream token`.
#[derive(Debug, Args)]
pub struct TokenOptions {
    /// File of the tokens. It is made by the first add, and a server that uses it notices each change.
    #[arg(
        long,
        env = "POINTSTREAM_TOKENS_FILE",
        value_name = "FILE",
        global = true
    )]
    tokens_file: Option<PathBuf>,

    #[command(flatten)]
    pub log: LogOptions,

    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Makes a token and prints it. It cannot be printed again.
    Add {
        /// Who gets it; the sessions that it creates belong to this name.
        #[arg(value_parser = name)]
        name: String,
        /// What it gives access to.
        #[arg(long, value_enum, value_delimiter = ',', default_value = "create,use")]
        scopes: Vec<Scope>,
        /// When it expires: a time such as 2030-01-31T12:00:00Z, or days from now such as 90d.
        /// Default: never.
        #[arg(long, value_name = "WHEN", value_parser = expiry)]
        expires: Option<OffsetDateTime>,
        /// The most sessions at the same time that belong to the name. Default: no limit but the
        /// server's own.
        #[arg(long, value_name = "COUNT", value_parser = at_least_one)]
        max_sessions: Option<usize>,
        /// The most points of a result: the largest num_max_points of its sessions. Default: no limit
        /// but the server's own.
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(NonZeroU64))]
        max_points: Option<NonZeroU64>,
    },
    /// Lists the tokens, without their texts.
    List,
    /// Revokes a token. Sockets that use it are closed, and so are those of its sessions' tokens.
    Revoke {
        /// The name of the token.
        name: String,
    },
}

/// The command failed.
#[derive(Debug, Error)]
pub enum TokenError {
    #[error("name the file of the tokens with --tokens-file FILE or POINTSTREAM_TOKENS_FILE")]
    NoFile,
    #[error(transparent)]
    File(#[from] TokenFileError),
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command.
///
/// # Errors
/// [`TokenError`]; the file is then as before.
pub fn run(options: TokenOptions) -> Result<(), TokenError> {
    let file = options.tokens_file.ok_or(TokenError::NoFile)?;
    match options.command {
        TokenCommand::Add {
            name,
            scopes,
            expires,
            max_sessions,
            max_points,
        } => {
            let secret = Secret::generate()?;
            let entry = Entry {
                name,
                sha256: secret.digest(),
                scopes: scopes.into_iter().collect(),
                created: now(),
                expires,
                max_sessions,
                max_points,
            };
            add(&file, entry, &secret)
        }
        TokenCommand::List => list(&file),
        TokenCommand::Revoke { name } => revoke(&file, &name),
    }
}

fn add(file: &Path, entry: Entry, secret: &Secret) -> Result<(), TokenError> {
    let name = entry.name.clone();
    TokenFile::change(file, |content| {
        content.tokens.push(entry);
        Ok(())
    })?;
    writeln!(io::stdout(), "{}", secret.reveal())?;
    // Scripts take stdout; a closed stderr is nothing to fail for.
    let _ = writeln!(
        io::stderr(),
        "This is the token of {name}. Keep it now: the file has only its digest."
    );
    Ok(())
}

fn list(file: &Path) -> Result<(), TokenError> {
    let content = TokenFile::read(file)?;
    let mut output = io::stdout().lock();
    for entry in &content.tokens {
        let scopes: Vec<_> = entry.scopes.iter().map(ToString::to_string).collect();
        let expires = match entry.expires {
            None => "never expires".to_owned(),
            Some(time) if entry.has_expired(OffsetDateTime::now_utc()) => {
                format!("expired {}", written(time))
            }
            Some(time) => format!("expires {}", written(time)),
        };
        let limit_of = |limit: Option<u64>, what| match limit {
            None => String::new(),
            Some(limit) => format!("  at most {limit} {what}"),
        };
        let sessions = entry.max_sessions.map(|limit| limit as u64);
        let sessions = limit_of(sessions, "sessions");
        let points = limit_of(entry.max_points.map(NonZeroU64::get), "points");
        writeln!(
            output,
            "{}  {}  created {}  {expires}{sessions}{points}",
            entry.name,
            scopes.join(","),
            written(entry.created)
        )?;
    }
    Ok(())
}

fn revoke(file: &Path, name: &str) -> Result<(), TokenError> {
    TokenFile::change(file, |content| {
        let before = content.tokens.len();
        content.tokens.retain(|entry| entry.name != name);
        match content.tokens.len() < before {
            true => Ok(()),
            false => Err(BadEntry::Missing(name.to_owned())),
        }
    })?;
    writeln!(io::stdout(), "the token of {name} is revoked")?;
    Ok(())
}

/// The time now, in whole seconds.
fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now)
}

fn written(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

fn name(text: &str) -> Result<String, BadEntry> {
    check_name(text)?;
    Ok(text.to_owned())
}

/// A time in the future: in RFC 3339, or days from now.
fn expiry(text: &str) -> Result<OffsetDateTime, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    let time = match days {
        Some(days) => {
            let after = Duration::from_secs(86400_u64.saturating_mul(days));
            let after = time::Duration::try_from(after).ok();
            after.and_then(|after| now().checked_add(after))
        }
        None => OffsetDateTime::parse(text, &Rfc3339).ok(),
    };
    let time = time.ok_or("write a time such as 2030-01-31T12:00:00Z, or days such as 90d")?;
    match time > OffsetDateTime::now_utc() {
        true => Ok(time),
        false => Err("it must be in the future".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_time_or_days() {
        let days = expiry("90d").expect("valid") - now();
        assert!((89..=90).contains(&days.whole_days()));
        assert!(expiry("2999-01-31T12:00:00Z").is_ok());
        assert!(expiry("2999-01-31T12:00:00+02:00").is_ok());
        for wrong in [
            "",
            "90",
            "0d",
            "-1d",
            "2000-01-01T00:00:00Z",
            "soon",
            "99999999999999d",
        ] {
            assert!(expiry(wrong).is_err(), "{wrong:?}");
        }
    }
}

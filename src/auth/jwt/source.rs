//! Where the keys of an issuer come from: a URL or a file.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use fs_err as fs;
use thiserror::Error;
use ureq::tls::{RootCerts, TlsConfig};

use super::key_set::{BadKeys, KeySet};

/// Time to fetch the keys.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest set of keys in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A URL or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    Url(String),
    File(PathBuf),
}

/// The address cannot be one of keys.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "keys that come over http:// from another machine could be replaced on the way; use https://, or a \
     file"
)]
pub struct UnsafeSource;

impl FromStr for KeySource {
    type Err = UnsafeSource;

    fn from_str(text: &str) -> Result<Self, UnsafeSource> {
        if text.starts_with("https://") {
            return Ok(Self::Url(text.to_owned()));
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return Ok(Self::File(text.into()));
        };
        // On this machine nobody is in between.
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        match host == "localhost" || host == "127.0.0.1" {
            true => Ok(Self::Url(text.to_owned())),
            false => Err(UnsafeSource),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => formatter.write_str(url),
            Self::File(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// The keys cannot be read.
#[derive(Debug, Error)]
pub enum KeysError {
    #[error("cannot read the keys of the issuer: {0}")]
    File(#[from] io::Error),
    #[error("cannot fetch the keys of the issuer from {url}: {source}")]
    Fetch {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("cannot use {from}: {source}")]
    Bad { from: String, source: BadKeys },
}

/// Keys that were read.
pub struct Fetched {
    pub keys: KeySet,
    /// What the issuer answered; none for a file.
    pub text: Option<String>,
}

impl KeySource {
    /// Reads the keys. Blocks, at most for [`TIMEOUT`].
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn read(&self) -> Result<Fetched, KeysError> {
        let text = match self {
            Self::File(path) => {
                let mut text = Vec::new();
                fs::File::open(path)?
                    .take(MAX_BYTES)
                    .read_to_end(&mut text)?;
                text
            }
            Self::Url(url) => fetch(url).map_err(|source| KeysError::Fetch {
                url: url.clone(),
                source: Box::new(source),
            })?,
        };
        let keys = KeySet::parse(&text).map_err(|source| KeysError::Bad {
            from: self.to_string(),
            source,
        })?;
        let text = match self {
            Self::File(_) => None,
            // What has been parsed is UTF-8.
            Self::Url(_) => String::from_utf8(text).ok(),
        };
        Ok(Fetched { keys, text })
    }
}

fn fetch(url: &str) -> Result<Vec<u8>, ureq::Error> {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        // Another address would not be the one that the operator trusts.
        .max_redirects(0)
        .tls_config(tls.build())
        .build();
    let mut response = ureq::Agent::from(agent).get(url).call()?;
    response
        .body_mut()
        .with_config()
        .limit(MAX_BYTES)
        .read_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_https_from_this_machine_or_from_a_file() {
        for url in [
            "https://issuer.test/keys",
            "http://127.0.0.1:80/k",
            "http://localhost/k",
        ] {
            assert_eq!(url.parse(), Ok(KeySource::Url(url.to_owned())));
        }
        for url in [
            "http://issuer.test/k",
            "http://localhost.issuer.test/k",
            "http://",
        ] {
            assert_eq!(url.parse::<KeySource>(), Err(UnsafeSource), "{url}");
        }
        assert_eq!(
            "/etc/keys.json".parse(),
            Ok(KeySource::File("/etc/keys.json".into()))
        );
    }
}

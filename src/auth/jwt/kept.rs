//! The keys of an issuer in the data directory, as they were when it was last asked. With them a server
//! starts while the issuer cannot be reached.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::key_set::{BadKeys, KeySet};
use crate::auth::private_file;

/// The file, in the data directory.
const FILE: &str = "issuer-keys.json";
/// How long keys count that the issuer cannot be asked for: it may have withdrawn one.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The file cannot be used.
#[derive(Debug, Error)]
pub enum KeptError {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error("{FILE} is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    #[error("the keys in {FILE} are of {0}")]
    OfAnother(String),
    #[error("the keys in {FILE} are older than {KEPT_FOR:?}")]
    Old,
    #[error("the keys in {FILE}: {0}")]
    Bad(#[from] BadKeys),
}

impl KeptError {
    /// Whether there is no file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Where the keys were fetched.
    url: String,
    /// When, in seconds since 1970-01-01 UTC.
    fetched: u64,
    /// The set, as the issuer wrote it.
    keys: String,
}

/// Keeps a set that has been fetched now. Blocks.
///
/// # Errors
/// [`KeptError`].
pub fn write(folder: &Path, url: &str, keys: &str) -> Result<(), KeptError> {
    let kept = Kept {
        url: url.to_owned(),
        fetched: now(),
        keys: keys.to_owned(),
    };
    private_file::write(&folder.join(FILE), &serde_json::to_vec(&kept)?)?;
    Ok(())
}

/// The set that was last fetched from a URL. Blocks.
///
/// # Errors
/// [`KeptError`].
pub fn read(folder: &Path, url: &str) -> Result<KeySet, KeptError> {
    let kept: Kept = serde_json::from_slice(&fs::read(folder.join(FILE))?)?;
    if kept.url != url {
        return Err(KeptError::OfAnother(kept.url));
    }
    if now().saturating_sub(kept.fetched) > KEPT_FOR.as_secs() {
        return Err(KeptError::Old);
    }
    Ok(KeySet::parse(kept.keys.as_bytes())?)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://issuer.test/keys";
    const KEYS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[test]
    fn keys_count_for_a_day_and_for_their_url() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        assert!(matches!(read(folder, URL), Err(KeptError::File(_))));
        write(folder, URL, KEYS).expect("writable");
        assert_eq!(read(folder, URL).expect("fresh").len(), 1);
        let another = read(folder, "https://other.test/keys");
        assert!(matches!(another, Err(KeptError::OfAnother(url)) if url == URL));
        let store = |fetched| {
            let kept = Kept {
                url: URL.to_owned(),
                fetched,
                keys: KEYS.to_owned(),
            };
            let text = serde_json::to_vec(&kept).expect("JSON");
            fs::write(folder.join(FILE), text).expect("writable");
        };
        store(now() - KEPT_FOR.as_secs() + 60);
        assert!(read(folder, URL).is_ok());
        store(now() - KEPT_FOR.as_secs() - 60);
        assert!(matches!(read(folder, URL), Err(KeptError::Old)));
        fs::write(folder.join(FILE), "{").expect("writable");
        assert!(matches!(read(folder, URL), Err(KeptError::Damaged(_))));
    }
}

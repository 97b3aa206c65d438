//! The file of tokens: JSON with their digests, never the tokens themselves.

use std::io::{self, Read as _, Write as _};
use std::num::NonZeroU64;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;

use super::scope::Scopes;
use super::secret::Digest;

/// Version of the format.
const VERSION: u32 = 1;
/// Largest file in bytes: about 20,000 tokens.
const MAX_BYTES: u64 = 4 << 20;
/// Longest name of a token.
const MAX_NAME: usize = 64;
/// Mode of a new file: it has no secrets, but it is nobody else's business.
const NEW_MODE: u32 = 0o600;

/// A token, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Who has it. Its sessions belong to this name.
    pub name: String,
    pub sha256: Digest,
    pub scopes: Scopes,
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires: Option<OffsetDateTime>,
    /// Sessions that may exist at the same time under the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<usize>,
    /// The largest `num_max_points` of a session under the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_points: Option<NonZeroU64>,
}

/// The content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFile {
    version: u32,
    pub tokens: Vec<Entry>,
}

/// The file cannot be used.
#[derive(Debug, Error)]
pub enum TokenFileError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{} is larger than {MAX_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("{} is not a file of tokens: {source}", path.display())]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{} has version {version}, but this program reads version {VERSION}", path.display())]
    Version { path: PathBuf, version: u32 },
    #[error("{}: {problem}", path.display())]
    Entry { path: PathBuf, problem: BadEntry },
    #[error(
        "{0} may be changed by every user of this machine; take that right away (chmod o-w {0})"
    )]
    Writable(String),
}

/// An entry of the file is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadEntry {
    #[error(
        "{0:?} cannot be the name of a token; use 1 to {MAX_NAME} letters, digits, dots, dashes, \
         underscores and @"
    )]
    Name(String),
    #[error("the name {0} occurs twice; revoke one, or give it another name")]
    Twice(String),
    #[error("the token {0} has no scope, so nobody could use it")]
    NoScope(String),
    #[error("there is no token with the name {0}")]
    Missing(String),
}

impl TokenFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`TokenFileError`], also if any entry is wrong.
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        let file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.mode() & 0o002 != 0 {
            return Err(TokenFileError::Writable(path.display().to_string()));
        }
        let mut text = String::new();
        file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(TokenFileError::TooLarge(path.to_owned()));
        }
        let file: Self = serde_json::from_str(&text).map_err(|source| TokenFileError::Json {
            path: path.to_owned(),
            source,
        })?;
        if file.version != VERSION {
            return Err(TokenFileError::Version {
                path: path.to_owned(),
                version: file.version,
            });
        }
        file.check().map_err(|problem| TokenFileError::Entry {
            path: path.to_owned(),
            problem,
        })?;
        Ok(file)
    }

    fn check(&self) -> Result<(), BadEntry> {
        let mut names = std::collections::HashSet::new();
        for entry in &self.tokens {
            entry.check()?;
            if !names.insert(&entry.name) {
                return Err(BadEntry::Twice(entry.name.clone()));
            }
        }
        Ok(())
    }

    /// Changes the file, or makes it. Whoever reads it meanwhile sees the old or the new content;
    /// other changes wait.
    ///
    /// # Errors
    /// [`TokenFileError`]; the file is then as before.
    pub fn change(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<(), BadEntry>,
    ) -> Result<(), TokenFileError> {
        // A link stays a link.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let lock = fs::File::open(folder)?;
        lock.lock()?;
        let (mut content, old) = match fs::metadata(path) {
            Ok(metadata) => (Self::read(path)?, Some(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Self::empty(), None),
            Err(error) => return Err(error.into()),
        };
        let wrong = |problem| TokenFileError::Entry {
            path: path.clone(),
            problem,
        };
        change(&mut content).map_err(wrong)?;
        content.check().map_err(wrong)?;
        let mut text = serde_json::to_vec_pretty(&content).map_err(io::Error::other)?;
        text.push(b'\n');
        let mut written = tempfile::NamedTempFile::new_in(folder)?;
        written.write_all(&text)?;
        let mode = old.as_ref().map_or(NEW_MODE, |old| old.mode() & 0o777);
        let file = written.as_file();
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        if let Some(old) = old {
            // The server may run as another user, who must still be able to read it.
            std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()))?;
        }
        file.sync_all()?;
        written.persist(path).map_err(|error| error.error)?;
        lock.sync_all()?;
        Ok(())
    }

    fn empty() -> Self {
        Self {
            version: VERSION,
            tokens: Vec::new(),
        }
    }
}

impl Entry {
    fn check(&self) -> Result<(), BadEntry> {
        check_name(&self.name)?;
        match self.scopes.is_empty() {
            true => Err(BadEntry::NoScope(self.name.clone())),
            false => Ok(()),
        }
    }

    pub fn has_expired(&self, now: OffsetDateTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// Checks a token's name: it appears in logs and in errors.
///
/// # Errors
/// [`BadEntry::Name`].
pub fn check_name(name: &str) -> Result<(), BadEntry> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    match !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_plain) {
        true => Ok(()),
        false => Err(BadEntry::Name(name.chars().take(MAX_NAME).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scope::Scope;
    use crate::auth::secret::Secret;

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            sha256: Secret::presented(name).digest(),
            scopes: Scopes::from([Scope::Create]),
            created: OffsetDateTime::UNIX_EPOCH,
            expires: None,
            max_sessions: None,
            max_points: None,
        }
    }

    fn add(path: &Path, name: &str) -> Result<(), TokenFileError> {
        TokenFile::change(path, |file| {
            file.tokens.push(entry(name));
            Ok(())
        })
    }

    #[test]
    fn changes_are_kept_and_a_new_file_is_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        add(&path, "a").expect("made");
        add(&path, "b@example.org").expect("changed");
        let names: Vec<_> = TokenFile::read(&path).expect("valid").tokens;
        assert_eq!(names, [entry("a"), entry("b@example.org")]);
        let mode = fs::metadata(&path).expect("there").mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(files, 1, "nothing else is left");
    }

    #[test]
    fn a_refused_change_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        add(&path, "a").expect("made");
        let before = fs::read(&path).expect("there");
        for wrong in ["a", "", "two words", "a\nb", &"x".repeat(65)] {
            assert!(add(&path, wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(fs::read(&path).expect("there"), before);
    }

    #[test]
    fn a_link_stays_and_the_mode_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("real"), folder.path().join("link"));
        add(&path, "a").expect("made");
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("ours");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        add(&link, "b").expect("changed");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(TokenFile::read(&path).expect("valid").tokens.len(), 2);
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o640);
    }

    #[test]
    fn wrong_files_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        let digest = "0".repeat(64);
        let with = |field: &str| {
            format!(
                "{{\"version\": 1, \"tokens\": [{{\"name\": \"a\", \"sha256\": \"{digest}\", \
                 \"scopes\": [\"use\"], \"created\": \"2026-01-01T00:00:00Z\"{field}}}]}}"
            )
        };
        fs::write(&path, with("")).expect("writable");
        TokenFile::read(&path).expect("valid");
        for wrong in [
            String::new(),
            "[]".to_owned(),
            with(", \"expire\": \"2026-01-01T00:00:00Z\""),
            with(", \"expires\": \"tomorrow\""),
            with("").replace("use", "all"),
            with("").replace("[\"use\"]", "[]"),
            with("").replace("\"version\": 1", "\"version\": 2"),
            with("").replace(&digest, "0"),
        ] {
            fs::write(&path, &wrong).expect("writable");
            assert!(TokenFile::read(&path).is_err(), "{wrong}");
        }
        fs::write(&path, with("")).expect("writable");
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("ours");
        let refused = TokenFile::read(&path).expect_err("anyone may write it");
        assert!(refused.to_string().contains("chmod o-w"), "{refused}");
    }
}

//! Tokens of single sessions, for browsers: whoever has one reaches that session and nothing else, to use
//! or to watch it.
//!
//! Nothing is stored of them but one key for all. A token names its session and the session's owner, and
//! has a message authentication code over both and over the digest of the owner's own token. So it is
//! valid as long as that token is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use pointstream_actors::SessionId;
use sha2::Sha256;
use thiserror::Error;

use super::caller::{Caller, Proof};
use super::private_file;
use super::refusal::Refusal;
use super::scope::Scope;
use super::secret::{Digest, Secret};

/// Begins every token to use a session.
const PREFIX: &str = "pss_";
/// Begins every token to watch a session.
const WATCH_PREFIX: &str = "psw_";
/// What the key of the tokens to watch is derived for.
const WATCH_LABEL: &[u8] = b"pointstream tokens to watch sessions";
const MAC_BYTES: usize = 32;
const ID_BYTES: usize = 16;
const KEY_BYTES: usize = 64;
/// The file with the key, in the data directory.
const KEY_FILE: &str = "session-tokens.key";

/// The key of the tokens cannot be kept.
#[derive(Debug, Error)]
pub enum KeyError {
    #[error("the key of the tokens of sessions, {path}, cannot be used: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("the key of the tokens of sessions cannot be read: {0}")]
    Work(#[from] tokio::task::JoinError),
}

fn new_key() -> Result<[u8; KEY_BYTES], getrandom::Error> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key)?;
    Ok(key)
}

/// Bytes of a key that several servers have.
pub const SHARED_KEY_BYTES: usize = 32;

/// Makes and checks the tokens of sessions.
pub struct SessionTokens {
    using: Hmac<Sha256>,
    /// With another key, derived from the first, so that no token serves for both.
    watching: Hmac<Sha256>,
}

/// What a token of a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Use,
    Watch,
}

impl Purpose {
    fn prefix(self) -> &'static str {
        match self {
            Self::Use => PREFIX,
            Self::Watch => WATCH_PREFIX,
        }
    }

    fn scope(self) -> Scope {
        match self {
            Self::Use => Scope::Use,
            Self::Watch => Scope::Watch,
        }
    }

    /// What a token is meant for, if it is one of a session.
    fn of(secret: &Secret) -> Option<Self> {
        let is_one = |purpose: &Self| secret.reveal().starts_with(purpose.prefix());
        [Self::Use, Self::Watch].into_iter().find(is_one)
    }
}

impl SessionTokens {
    /// With a new key.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self::of(new_key()?))
    }

    /// With the key in a folder, which is made if it is not there. So tokens are valid as long as the
    /// sessions of the folder. Blocks.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn kept_in(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(KEY_FILE);
        let fail = |source| KeyError::File {
            path: path.clone(),
            source,
        };
        match fs::read(&path) {
            Ok(key) => Ok(Self::of(key.try_into().map_err(|_| {
                fail(io::Error::other("it has not the size of a key; remove it"))
            })?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = new_key()?;
                private_file::write(&path, &key).map_err(fail)?;
                Ok(Self::of(key))
            }
            Err(error) => Err(fail(error)),
        }
    }

    /// With a key that other servers have, too.
    pub fn shared(key: &[u8; SHARED_KEY_BYTES]) -> Self {
        let mut own = [0; KEY_BYTES];
        own[..SHARED_KEY_BYTES].copy_from_slice(key);
        Self::of(own)
    }

    fn of(key: [u8; KEY_BYTES]) -> Self {
        let using: Hmac<Sha256> = Hmac::new(&key.into());
        let derived = using.clone().chain_update(WATCH_LABEL).finalize();
        let mut key = [0; KEY_BYTES];
        key[..MAC_BYTES].copy_from_slice(&derived.into_bytes());
        Self {
            watching: Hmac::new(&key.into()),
            using,
        }
    }

    /// Whether a token is meant to be one of a session.
    pub fn is_one(secret: &Secret) -> bool {
        Purpose::of(secret).is_some()
    }

    /// A token of a session. `parent` is the digest of the owner's token.
    pub fn issue(
        &self,
        purpose: Purpose,
        session: SessionId,
        owner: &str,
        parent: &Digest,
    ) -> Secret {
        let mac = self.mac(purpose, session, owner, parent);
        let mac = mac.finalize().into_bytes();
        let content = [&mac, session.as_bytes().as_slice(), owner.as_bytes()].concat();
        let content = BASE64_URL_SAFE_NO_PAD.encode(content);
        Secret::presented(format!("{}{content}", purpose.prefix()))
    }

    /// The caller with the token of a session. `parent_of` gives the digest of an owner's token, if
    /// that is valid.
    ///
    /// # Errors
    /// [`Refusal::Unknown`].
    pub fn caller(
        &self,
        secret: &Secret,
        parent_of: impl FnOnce(&str) -> Option<Digest>,
    ) -> Result<Caller, Refusal> {
        let purpose = Purpose::of(secret).ok_or(Refusal::Unknown)?;
        let content = secret.reveal().strip_prefix(purpose.prefix());
        let content = content.and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
        let content = content.ok_or(Refusal::Unknown)?;
        let (mac, rest) = content
            .split_first_chunk::<MAC_BYTES>()
            .ok_or(Refusal::Unknown)?;
        let (id, owner) = rest
            .split_first_chunk::<ID_BYTES>()
            .ok_or(Refusal::Unknown)?;
        let session = SessionId::from_bytes(*id);
        let owner = std::str::from_utf8(owner).map_err(|_| Refusal::Unknown)?;
        let parent = parent_of(owner).ok_or(Refusal::Unknown)?;
        // Compares in constant time.
        self.mac(purpose, session, owner, &parent)
            .verify(&(*mac).into())
            .map_err(|_| Refusal::Unknown)?;
        let owner: Arc<str> = owner.into();
        Ok(Caller::of_session(
            owner,
            session,
            purpose.scope(),
            Proof::Session { parent },
        ))
    }

    fn mac(
        &self,
        purpose: Purpose,
        session: SessionId,
        owner: &str,
        parent: &Digest,
    ) -> Hmac<Sha256> {
        let key = match purpose {
            Purpose::Use => &self.using,
            Purpose::Watch => &self.watching,
        };
        key.clone()
            .chain_update(session.as_bytes())
            .chain_update(parent.as_bytes())
            .chain_update(owner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn digest(text: &str) -> Digest {
        Secret::presented(text).digest()
    }

    #[test]
    fn a_token_is_for_its_session_and_owner() {
        let tokens = SessionTokens::new().expect("random");
        let (id, parent) = (SessionId::new_v4(), digest("a"));
        let token = tokens.issue(Purpose::Use, id, "token:a", &parent);
        assert!(SessionTokens::is_one(&token));
        let caller = tokens.caller(&token, |owner| (owner == "token:a").then_some(parent));
        let caller = caller.expect("valid");
        assert!(caller.own().includes(id, Some(&"token:a".into())));
        assert!(
            !caller
                .own()
                .includes(SessionId::new_v4(), Some(&"token:a".into()))
        );
    }

    #[test]
    fn a_token_to_watch_is_not_one_to_use() {
        let tokens = SessionTokens::new().expect("random");
        let (id, parent) = (SessionId::new_v4(), digest("a"));
        let of = |purpose| tokens.issue(purpose, id, "token:a", &parent);
        let (using, watching) = (of(Purpose::Use), of(Purpose::Watch));
        let caller = tokens.caller(&watching, |_| Some(parent)).expect("valid");
        assert!(caller.may(Scope::Watch) && !caller.may(Scope::Use));
        assert!(caller.own().includes(id, Some(&"token:a".into())));
        for (token, other) in [(using, WATCH_PREFIX), (watching, PREFIX)] {
            let content = token.reveal().split_once('_').expect("a prefix").1;
            let changed = Secret::presented(format!("{other}{content}"));
            assert!(tokens.caller(&changed, |_| Some(parent)).is_err());
        }
    }

    #[test]
    fn a_token_ends_with_that_of_its_owner() {
        let tokens = SessionTokens::new().expect("random");
        let token = tokens.issue(Purpose::Use, SessionId::new_v4(), "token:a", &digest("a"));
        assert!(tokens.caller(&token, |_| None).is_err(), "revoked");
        assert!(
            tokens.caller(&token, |_| Some(digest("b"))).is_err(),
            "replaced"
        );
        let others = SessionTokens::new().expect("random");
        assert!(others.caller(&token, |_| Some(digest("a"))).is_err());
    }

    #[test]
    fn a_changed_token_is_refused() {
        let tokens = SessionTokens::new().expect("random");
        let parent = digest("a");
        let token = tokens.issue(Purpose::Use, SessionId::new_v4(), "token:a", &parent);
        let text = token.reveal();
        for at in PREFIX.len()..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("text");
            let refused = tokens.caller(&Secret::presented(changed), |_| Some(parent));
            assert!(refused.is_err(), "byte {at}");
        }
        for short in ["pss_", "pss_AAAA", "pss_!", &text[..60]] {
            let refused = tokens.caller(&Secret::presented(short), |_| Some(parent));
            assert!(refused.is_err(), "{short}");
        }
    }

    #[test]
    fn a_kept_key_is_private_and_serves_the_next_process() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let id = SessionId::new_v4();
        let parent = Secret::presented("pst_a").digest();
        let first = SessionTokens::kept_in(folder.path()).expect("usable");
        let token = first.issue(Purpose::Use, id, "a", &parent);
        let next = SessionTokens::kept_in(folder.path()).expect("usable");
        assert!(next.caller(&token, |_| Some(parent)).is_ok());
        let path = folder.path().join(KEY_FILE);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, "short").expect("writable");
        let error = SessionTokens::kept_in(folder.path()).err().expect("no key");
        assert!(error.to_string().contains("size of a key"), "{error}");
    }
}

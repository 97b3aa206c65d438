//! Tokens that an issuer signs (JWT, RFC 7519), checked with its public keys.

#[cfg(test)]
mod fuzz;
mod kept;
mod key_set;
mod keys;
mod source;

use std::path::Path;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use self::key_set::KeySet;
use self::keys::Keys;
pub use self::source::{KeySource, KeysError};
use super::caller::{Allowance, Caller, Proof};
use super::refusal::Refusal;
use super::scope::{Scope, Scopes};
use super::secret::Secret;

/// Begins the name of an owner, so that no subject is also a token's name or an address.
pub const OWNER: &str = "jwt:";
/// Clocks may differ by this.
const LEEWAY: Duration = Duration::from_secs(30);
/// Longest subject in bytes.
const MAX_SUBJECT: usize = 256;

/// Checks signed tokens.
pub struct Jwt {
    keys: Keys,
    issuer: String,
    audience: String,
    /// Sessions that a subject may have at the same time.
    max_sessions: usize,
}

/// What a token must say.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    #[serde(default)]
    scope: Words,
    /// The name of the same in tokens of some issuers.
    #[serde(default)]
    scp: Words,
}

/// Words, separated by spaces (RFC 8693, section 4.2), or a list of them, as some issuers write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    List(Vec<String>),
}

impl Default for Words {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Words {
    fn has(&self, word: &str) -> bool {
        match self {
            Self::Text(text) => text.split(' ').any(|other| other == word),
            Self::List(words) => words.iter().any(|other| other == word),
        }
    }
}

impl Jwt {
    /// Reads the keys of the issuer, and keeps them up to date until `stop` is cancelled. If the issuer
    /// cannot be reached, the keys that a former server has kept in the folder do.
    ///
    /// # Errors
    /// If they cannot be read now, and none are kept.
    pub async fn start(
        source: KeySource,
        folder: &Path,
        issuer: String,
        audience: String,
        max_sessions: usize,
        stop: CancellationToken,
    ) -> Result<Self, KeysError> {
        Ok(Self {
            keys: Keys::follow(source, folder, stop).await?,
            issuer,
            audience,
            max_sessions,
        })
    }

    /// Keeps the keys in a folder from now on, for later servers.
    pub fn keep_keys_in(&self, folder: &Path) {
        self.keys.keep_in(folder);
    }

    /// The caller with a signed token.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] or [`Refusal::Expired`].
    pub async fn caller(&self, secret: &Secret) -> Result<Caller, Refusal> {
        let header = decode_header(secret.reveal()).map_err(|_| Refusal::Unknown)?;
        let id = header.kid.as_deref();
        let mut keys = self.keys.current();
        if keys.find(id).is_none() {
            self.keys.refresh().await;
            keys = self.keys.current();
        }
        let mut decoded = self.claims(secret, &keys, header.alg, id);
        if matches!(&decoded, Err(ErrorKind::InvalidSignature)) {
            // The issuer may have another key of the same name, or without one.
            self.keys.refresh().await;
            decoded = self.claims(secret, &self.keys.current(), header.alg, id);
        }
        let claims = decoded.map_err(|kind| refusal(&kind))?;
        self.accepted(&claims)
    }

    fn claims(
        &self,
        secret: &Secret,
        keys: &KeySet,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<Claims, ErrorKind> {
        let key = keys.find(id).ok_or(ErrorKind::InvalidKeyFormat)?;
        if !key.algorithms.contains(&algorithm) {
            return Err(ErrorKind::InvalidAlgorithm);
        }
        let validation = self.validation(algorithm);
        let decoded = decode::<Claims>(secret.reveal(), &key.key, &validation);
        let decoded = decoded.map_err(jsonwebtoken::errors::Error::into_kind)?;
        Ok(decoded.claims)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }

    fn accepted(&self, claims: &Claims) -> Result<Caller, Refusal> {
        let subject = &claims.sub;
        let is_plain = !subject.is_empty() && !subject.contains(char::is_control);
        if !is_plain || subject.len() > MAX_SUBJECT {
            return Err(Refusal::Unknown);
        }
        let expires = i64::try_from(claims.exp).ok();
        let expires = expires.and_then(|time| OffsetDateTime::from_unix_timestamp(time).ok());
        let expires = expires.and_then(|time| time.checked_add(LEEWAY.try_into().ok()?));
        Ok(Caller::named(
            format!("{OWNER}{subject}").into(),
            scopes(claims),
            Allowance {
                max_sessions: Some(self.max_sessions),
                max_points: None,
            },
            Proof::Signed {
                expires: expires.ok_or(Refusal::Unknown)?,
            },
        ))
    }
}

/// The known scopes among the words of a token.
fn scopes(claims: &Claims) -> Scopes {
    use strum::VariantArray as _;
    let is_named = |scope: &&Scope| {
        let name = scope.to_string();
        claims.scope.has(&name) || claims.scp.has(&name)
    };
    Scope::VARIANTS.iter().filter(is_named).copied().collect()
}

/// Why a token is refused. The log says what is wrong with it, without its content.
fn refusal(kind: &ErrorKind) -> Refusal {
    let reason = match kind {
        ErrorKind::ExpiredSignature => return Refusal::Expired,
        ErrorKind::InvalidSignature => "wrong signature",
        ErrorKind::InvalidKeyFormat => "no such key",
        ErrorKind::InvalidAlgorithm => "another algorithm than the key's",
        ErrorKind::InvalidIssuer => "another issuer",
        ErrorKind::InvalidAudience => "another audience",
        ErrorKind::ImmatureSignature => "not valid yet",
        ErrorKind::MissingRequiredClaim(_) => "exp, iss, aud or sub is missing",
        _ => "malformed",
    };
    tracing::debug!(reason, "a signed token is refused");
    Refusal::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_scopes_count() {
        let found = |claims: &str| {
            let claims = format!(r#"{{"sub": "a", "exp": 1{claims}}}"#);
            let claims: Claims = serde_json::from_str(&claims).expect("claims");
            scopes(&claims)
        };
        let words = r#", "scope": "openid create  use profile Operate pointstream:operate""#;
        let both = Scopes::from([Scope::Create, Scope::Use]);
        assert_eq!(found(words), both);
        assert_eq!(found(r#", "scope": ["use", "create use", "create"]"#), both);
        assert_eq!(found(r#", "scp": "create use""#), both);
        assert_eq!(found(r#", "scp": ["create"], "scope": "use""#), both);
        assert!(found("").is_empty());
        assert!(found(r#", "scope": """#).is_empty());
    }
}

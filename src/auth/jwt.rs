//! Tokens that an issuer signs (JWT, RFC 7519), checked with its public keys.

#[cfg(test)]
mod fuzz;
mod key_set;
mod keys;
mod source;

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

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
    /// Words, separated by spaces (RFC 8693, section 4.2).
    #[serde(default)]
    scope: String,
}

impl Jwt {
    /// Reads the keys of the issuer, and keeps them up to date until `stop` is cancelled.
    ///
    /// # Errors
    /// If they cannot be read now.
    pub async fn start(
        source: KeySource,
        issuer: String,
        audience: String,
        max_sessions: usize,
        stop: CancellationToken,
    ) -> Result<Self, KeysError> {
        Ok(Self {
            keys: Keys::follow(source, stop).await?,
            issuer,
            audience,
            max_sessions,
        })
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
        let key = keys.find(id).ok_or(Refusal::Unknown)?;
        if !key.algorithms.contains(&header.alg) {
            return Err(Refusal::Unknown);
        }
        let validation = self.validation(header.alg);
        let decoded = decode::<Claims>(secret.reveal(), &key.key, &validation);
        let claims = decoded.map_err(|error| refusal(error.kind()))?.claims;
        self.accepted(&claims)
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
            scopes(&claims.scope),
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

/// The known scopes among words.
fn scopes(words: &str) -> Scopes {
    use strum::VariantArray as _;
    let is_named = |scope: &&Scope| words.split(' ').any(|word| word == scope.to_string());
    Scope::VARIANTS.iter().filter(is_named).copied().collect()
}

/// Why a token is refused. The log says what is wrong with it, without its content.
fn refusal(kind: &ErrorKind) -> Refusal {
    let reason = match kind {
        ErrorKind::ExpiredSignature => return Refusal::Expired,
        ErrorKind::InvalidSignature => "wrong signature",
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
        let found = scopes("openid create  use profile Operate pointstream:operate");
        assert_eq!(found, Scopes::from([Scope::Create, Scope::Use]));
        assert!(scopes("").is_empty());
    }
}

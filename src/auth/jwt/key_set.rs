//! The public keys of an issuer (JWKS, RFC 7517).

use std::collections::HashMap;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use thiserror::Error;

/// Largest number of keys that are used.
const MAX_KEYS: usize = 100;

/// A set of keys cannot be used.
#[derive(Debug, Error)]
pub enum BadKeys {
    #[error("it is not a set of keys (JWKS): {0}")]
    NotASet(#[from] serde_json::Error),
    #[error(
        "it has no public key for signatures that the server knows (RSA, P-256, P-384, Ed25519)"
    )]
    NoKeys,
}

/// The keys with which tokens are checked.
#[derive(Debug, Default)]
pub struct KeySet {
    by_id: HashMap<String, Key>,
    /// Keys without an identifier.
    nameless: Vec<Key>,
}

/// A public key.
pub struct Key {
    pub key: DecodingKey,
    /// What it may sign with; never a symmetric algorithm.
    pub algorithms: Vec<Algorithm>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Key({:?})", self.algorithms)
    }
}

impl KeySet {
    /// Reads a set. Keys that are not public keys for signatures are ignored.
    ///
    /// # Errors
    /// [`BadKeys`].
    pub fn parse(text: &[u8]) -> Result<Self, BadKeys> {
        // Keys of unknown types do not spoil the others.
        let set: RawSet = serde_json::from_slice(text)?;
        let keys = set.keys.into_iter().take(MAX_KEYS);
        let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let mut found = Self::default();
        for jwk in (JwkSet {
            keys: keys.collect(),
        })
        .keys
        {
            let Some(key) = usable(&jwk) else {
                continue;
            };
            match jwk.common.key_id {
                Some(id) => {
                    found.by_id.insert(id, key);
                }
                None => found.nameless.push(key),
            }
        }
        match found.len() {
            0 => Err(BadKeys::NoKeys),
            _ => Ok(found),
        }
    }

    pub fn len(&self) -> usize {
        self.by_id.len() + self.nameless.len()
    }

    /// The key of a token: the one with its identifier, or the only one if the token names none.
    pub fn find(&self, id: Option<&str>) -> Option<&Key> {
        match id {
            Some(id) => self.by_id.get(id),
            None if self.len() == 1 => self.by_id.values().chain(&self.nameless).next(),
            None => None,
        }
    }
}

#[derive(serde::Deserialize)]
struct RawSet {
    keys: Vec<serde_json::Value>,
}

/// The key, if it is a public one for signatures.
fn usable(jwk: &Jwk) -> Option<Key> {
    if matches!(&jwk.common.public_key_use, Some(purpose) if *purpose != PublicKeyUse::Signature) {
        return None;
    }
    let possible: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(_) => &[Algorithm::EdDSA],
        // A symmetric key: whoever can check could also sign.
        AlgorithmParameters::OctetKey(_) => return None,
    };
    let named = jwk.common.key_algorithm.map(|name| name.to_string());
    let algorithms: Vec<_> = possible
        .iter()
        .copied()
        .filter(|one| {
            named
                .as_ref()
                .is_none_or(|name| *name == format!("{one:?}"))
        })
        .collect();
    if algorithms.is_empty() {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { key, algorithms })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED: &str =
        r#"{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    fn parse(keys: &[String]) -> Result<KeySet, BadKeys> {
        KeySet::parse(format!("{{\"keys\": [{}]}}", keys.join(", ")).as_bytes())
    }

    #[test]
    fn keys_are_found_by_their_identifier() {
        let keys = [
            format!(r#"{ED}, "kid": "a"}}"#),
            format!(r#"{ED}, "kid": "b"}}"#),
        ];
        let set = parse(&keys).expect("two keys");
        assert!(set.find(Some("a")).is_some() && set.find(Some("b")).is_some());
        assert!(set.find(Some("c")).is_none());
        assert!(set.find(None).is_none(), "it might be either");
        let one = parse(&keys[..1]).expect("one key");
        assert!(one.find(None).is_some());
    }

    #[test]
    fn only_public_keys_for_signatures_count() {
        for key in [
            r#"{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}"#.to_owned(),
            r#"{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}"#.to_owned(),
            format!(r#"{ED}, "use": "enc"}}"#),
            format!(r#"{ED}, "alg": "HS256"}}"#),
            format!(r#"{ED}, "alg": "RS256"}}"#),
            r#"{"kty": "new"}"#.to_owned(),
        ] {
            assert!(
                matches!(parse(std::slice::from_ref(&key)), Err(BadKeys::NoKeys)),
                "{key}"
            );
        }
        let mixed = [
            r#"{"kty": "new"}"#.to_owned(),
            format!(r#"{ED}, "alg": "EdDSA"}}"#),
        ];
        let set = parse(&mixed).expect("one key");
        let key = set.find(None).expect("the only one");
        assert_eq!(key.algorithms, [Algorithm::EdDSA]);
        assert!(KeySet::parse(b"<html>").is_err());
    }
}

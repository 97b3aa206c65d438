//! The text of a token, and the digest that is kept of it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// Begins every token, so that scanners for secrets find one that was published.
const PREFIX: &str = "pst_";
/// Random bytes of a token.
const RANDOM_BYTES: usize = 32;

/// The text that a caller presents. It is never printed, not even for debugging.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A text that a caller presented, whatever it is.
    pub fn presented(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A new token.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        let random = BASE64_URL_SAFE_NO_PAD.encode(random);
        Ok(Self(format!("{PREFIX}{random}")))
    }

    /// The text itself, to give it to its owner or to check it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// SHA-256 is enough: a token has 256 random bits, which nobody finds by trying.
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(&self.0).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// The SHA-256 of a token, as 64 hexadecimal digits in files.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Where a token is no token of the file.
    pub const NONE: Self = Self([0; 32]);

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ConstantTimeEq for Digest {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Digest(..)")
    }
}

/// The text is not a digest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("sha256 must be 64 hexadecimal digits")]
pub struct BadDigest;

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(BadDigest);
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[2 * index..2 * index + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| BadDigest)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = self.0.iter().map(|byte| format!("{byte:02x}"));
        serializer.serialize_str(&digits.collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_random_and_have_the_prefix() {
        let (one, other) = (Secret::generate(), Secret::generate());
        let (one, other) = (one.expect("random"), other.expect("random"));
        assert!(one.reveal().starts_with("pst_"));
        assert_eq!(one.reveal().len(), 4 + 43);
        assert_ne!(one.reveal(), other.reveal());
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::presented("pst_hidden");
        let printed = format!("{secret:?} {:?}", secret.digest());
        assert!(!printed.contains("hidden"));
        assert!(!printed.contains(|letter: char| letter.is_ascii_digit()));
    }

    #[test]
    fn a_digest_is_sha_256_in_hexadecimal_digits() {
        let digest = Secret::presented("abc").digest();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(known.parse(), Ok(digest));
        let json = serde_json::to_string(&digest).expect("serialisable");
        assert_eq!(json, format!("\"{known}\""));
        for wrong in [
            "",
            "6a",
            &known[1..],
            &known.replace('b', "x"),
            &"ü".repeat(32),
        ] {
            assert_eq!(wrong.parse::<Digest>(), Err(BadDigest), "{wrong}");
        }
    }
}

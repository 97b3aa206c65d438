//! Blobs that only those can read who were told their key.
//!
//! A store may be read by every node, but a node must see only what its jobs name. So each blob is encrypted
//! with a key of its own (ChaCha20-Poly1305, RFC 8439), which is in the assignment that names the blob.
//! That also shows whether a blob was changed.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use serde::{Deserialize, Serialize};

use super::exchange::{Exchange, ExchangeError, patiently};
use crate::blobs::BlobKey;

/// The tag that follows the content.
const TAG_BYTES: u64 = 16;

/// A blob in the store of an installation: what it takes to fetch and open it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedBlob {
    /// Which blob it is. One cannot take the place of another.
    pub key: BlobKey,
    /// Its name in the store.
    pub object: String,
    /// Bytes of the content.
    pub bytes: u64,
    secret: [u8; 32],
}

/// The secret is not shown.
impl std::fmt::Debug for SealedBlob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SealedBlob")
            .field("key", &self.key.to_string())
            .field("object", &self.object)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl SealedBlob {
    /// Encrypts a blob and stores it under this name, which nothing else has. While the store does not answer, it
    /// tries again.
    ///
    /// # Errors
    /// [`ExchangeError`] if it cannot be stored.
    pub async fn store(
        exchange: &Exchange,
        object: String,
        key: BlobKey,
        content: Vec<u8>,
    ) -> Result<Self, ExchangeError> {
        let bytes = content.len() as u64;
        let secret = new_secret()?;
        let sealed = computed(move || {
            let payload = payload(&content, &key);
            cipher(&secret).encrypt(&nonce(), payload.of())
        })
        .await?;
        let sealed = bytes::Bytes::from(sealed);
        patiently(|| exchange.put(&object, sealed.clone())).await?;
        Ok(Self {
            key,
            object,
            bytes,
            secret,
        })
    }

    /// Fetches the blob and decrypts it. One of more than `most` bytes is refused before it is fetched. While the
    /// store does not answer, it tries again.
    ///
    /// # Errors
    /// [`ExchangeError`] if it is not there, too large, or not the blob that was stored.
    pub async fn fetch(&self, exchange: &Exchange, most: u64) -> Result<Vec<u8>, ExchangeError> {
        let most = most.min(self.bytes).saturating_add(TAG_BYTES);
        let sealed = patiently(|| exchange.get(&self.object, most)).await?;
        let (secret, key) = (self.secret, self.key);
        computed(move || {
            let payload = payload(&sealed, &key);
            cipher(&secret).decrypt(&nonce(), payload.of())
        })
        .await
    }
}

/// A content and what it is bound to.
struct Bound<'a> {
    content: &'a [u8],
    name: String,
}

fn payload<'a>(content: &'a [u8], key: &BlobKey) -> Bound<'a> {
    Bound {
        content,
        name: key.to_string(),
    }
}

impl Bound<'_> {
    fn of(&self) -> Payload<'_, '_> {
        Payload {
            msg: self.content,
            aad: self.name.as_bytes(),
        }
    }
}

fn cipher(secret: &[u8; 32]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(secret.into())
}

/// Each secret encrypts one blob, so the nonce may be the same.
fn nonce() -> Nonce {
    Nonce::default()
}

fn new_secret() -> Result<[u8; 32], ExchangeError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| ExchangeError::Random(error.to_string()))?;
    Ok(secret)
}

/// Encrypts or decrypts off the async runtime: blobs have megabytes.
async fn computed(
    work: impl FnOnce() -> Result<Vec<u8>, chacha20poly1305::aead::Error> + Send + 'static,
) -> Result<Vec<u8>, ExchangeError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ExchangeError::Other(error.into()))?
        .map_err(|_| ExchangeError::Changed)
}

//! The store through which blobs travel between gateways and nodes.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::object_store::{
    Config, InfoErrorKind, ObjectMetadata, ObjectStore as Bucket,
};
use async_nats::jetstream::stream::DirectGetErrorKind;
use async_nats::jetstream::{Context, stream::StorageType};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE;
use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use thiserror::Error;

use super::settings::{BlobPlace, NatsSettings};

/// Bytes of a blob in one message of JetStream. NATS takes messages of a mebibyte.
const CHUNK_BYTES: usize = 512 << 10;

/// A store of blobs that gateways and nodes share.
#[derive(Clone)]
pub(crate) enum Exchange {
    Bucket(Box<NamedBucket>),
    Store {
        store: Arc<dyn ObjectStore>,
        prefix: Path,
    },
}

/// A bucket of JetStream.
#[derive(Clone)]
pub(crate) struct NamedBucket {
    bucket: Bucket,
    name: String,
    context: Context,
}

impl NamedBucket {
    /// Fetches a blob of at most so many bytes, message by message. A consumer for each blob, as the library makes
    /// one, would stay for a while, and a stream has only so many.
    async fn get(&self, object: &str, most: u64) -> Result<Vec<u8>, ExchangeError> {
        let info = self.bucket.info(object).await;
        let info = info.map_err(|error| match error.kind() {
            InfoErrorKind::NotFound => ExchangeError::Missing,
            _ => other(error),
        })?;
        if info.deleted {
            return Err(ExchangeError::Missing);
        }
        let bytes = info.size as u64;
        if bytes > most {
            return Err(ExchangeError::TooLarge { bytes, most });
        }
        let stream = format!("OBJ_{}", self.name);
        let subject = format!("$O.{}.C.{}", self.name, info.nuid);
        let stream = self.context.get_stream_no_info(stream).await;
        let stream = stream.map_err(other)?;
        let mut content = Vec::with_capacity(info.size);
        let mut next = None;
        for _ in 0..info.chunks {
            let chunk = stream.direct_get_next_for_subject(&subject, next).await;
            let chunk = chunk.map_err(|error| match error.kind() {
                DirectGetErrorKind::NotFound => ExchangeError::Missing,
                _ => other(error),
            })?;
            content.extend_from_slice(&chunk.payload);
            if content.len() > info.size {
                return Err(ExchangeError::Changed);
            }
            next = Some(chunk.sequence + 1);
        }
        match content.len() == info.size {
            true => Ok(content),
            false => Err(ExchangeError::Changed),
        }
    }
}

/// A blob cannot be stored or fetched.
#[derive(Debug, Error)]
pub(crate) enum ExchangeError {
    #[error("the shared file is not there any more")]
    Missing,
    #[error("the shared file has {bytes} bytes, but {most} were announced")]
    TooLarge { bytes: u64, most: u64 },
    #[error("the shared file was changed")]
    Changed,
    #[error("the system has no random numbers: {0}")]
    Random(String),
    #[error("the store of shared files failed: {0}")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How long it waits before another attempt, and for how many attempts a store may be away.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_ATTEMPTS: u32 = 300;

/// Tries again while the store does not answer. Dropping the future ends it.
pub(crate) async fn patiently<T, F>(attempt: impl Fn() -> F) -> Result<T, ExchangeError>
where
    F: Future<Output = Result<T, ExchangeError>>,
{
    let mut left = MAX_ATTEMPTS;
    loop {
        match attempt().await {
            Err(error @ ExchangeError::Other(_)) if left > 0 => {
                tracing::warn!(%error, retry_in = ?RETRY_DELAY, "a shared file waits");
                left -= 1;
                tokio::time::sleep(RETRY_DELAY).await;
            }
            outcome => return outcome,
        }
    }
}

/// Wraps an error of a store.
fn other(error: impl std::error::Error + Send + Sync + 'static) -> ExchangeError {
    ExchangeError::Other(Box::new(error))
}

impl Exchange {
    /// Opens the store of an installation, and makes its bucket or folder if it is not there. `bucket` is the name
    /// of the one of JetStream, which removes blobs after `life` unless that is zero.
    ///
    /// # Errors
    /// [`ExchangeError`] if it cannot be reached or made.
    pub async fn open(
        settings: &NatsSettings,
        bucket: String,
        life: Duration,
        context: &Context,
    ) -> Result<Self, ExchangeError> {
        match &settings.blobs {
            BlobPlace::Nats => {
                let of = |found: Bucket| {
                    Self::Bucket(Box::new(NamedBucket {
                        bucket: found,
                        name: bucket.clone(),
                        context: context.clone(),
                    }))
                };
                if let Ok(found) = context.get_object_store(&bucket).await {
                    return Ok(of(found));
                }
                let config = Config {
                    bucket: bucket.clone(),
                    max_age: life,
                    storage: StorageType::File,
                    num_replicas: settings.replicas,
                    ..Config::default()
                };
                let made = context.create_object_store(config).await;
                Ok(of(made.map_err(other)?))
            }
            BlobPlace::Folder(folder) => {
                tokio::fs::create_dir_all(folder).await.map_err(other)?;
                let store = LocalFileSystem::new_with_prefix(folder).map_err(other)?;
                Ok(Self::Store {
                    store: Arc::new(store.with_automatic_cleanup(true)),
                    prefix: Path::from(settings.prefix.as_str()),
                })
            }
            BlobPlace::S3(url) => {
                // The client of the store takes the one of the process, if it fails there is one already.
                drop(rustls::crypto::ring::default_provider().install_default());
                let store = AmazonS3Builder::from_env().with_url(url).build();
                let store = store.map_err(other)?;
                let (_, folder) = url["s3://".len()..].split_once('/').unwrap_or_default();
                let prefix = path(&Path::from(folder), &settings.prefix);
                Ok(Self::Store {
                    store: Arc::new(store),
                    prefix,
                })
            }
        }
    }

    /// Stores a blob.
    pub async fn put(&self, object: &str, content: Bytes) -> Result<(), ExchangeError> {
        match self {
            Self::Bucket(found) => {
                let object = ObjectMetadata {
                    name: object.to_owned(),
                    chunk_size: Some(CHUNK_BYTES),
                    ..ObjectMetadata::default()
                };
                let mut content = content.as_ref();
                let put = found.bucket.put(object, &mut content);
                put.await.map_err(other)?;
            }
            Self::Store { store, prefix } => {
                let path = path(prefix, object);
                store.put(&path, content.into()).await.map_err(other)?;
            }
        }
        Ok(())
    }

    /// Fetches a blob of at most so many bytes.
    pub async fn get(&self, object: &str, most: u64) -> Result<Vec<u8>, ExchangeError> {
        let too_large = |bytes| ExchangeError::TooLarge { bytes, most };
        match self {
            Self::Bucket(found) => found.get(object, most).await,
            Self::Store { store, prefix } => {
                let found = store.get(&path(prefix, object)).await;
                let found = found.map_err(|error| match error {
                    object_store::Error::NotFound { .. } => ExchangeError::Missing,
                    error => other(error),
                })?;
                if found.meta.size > most {
                    return Err(too_large(found.meta.size));
                }
                Ok(found.bytes().await.map_err(other)?.into())
            }
        }
    }

    /// The blobs in a folder. For a bucket of JetStream all of its blobs are looked at.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, ExchangeError> {
        let mut objects = Vec::new();
        match self {
            Self::Bucket(found) => {
                let mut all = found.bucket.list().await.map_err(other)?;
                while let Some(info) = all.next().await {
                    let name = info.map_err(other)?.name;
                    let rest = name.strip_prefix(folder);
                    if rest.is_some_and(|rest| rest.starts_with('/')) {
                        objects.push(name);
                    }
                }
            }
            Self::Store { store, prefix } => {
                let mut found = store.list(Some(&path(prefix, folder)));
                while let Some(meta) = found.next().await {
                    let place = meta.map_err(other)?.location;
                    let rest = place.prefix_match(prefix).into_iter().flatten();
                    let parts: Vec<_> = rest.map(|part| part.as_ref().to_owned()).collect();
                    objects.push(parts.join("/"));
                }
            }
        }
        Ok(objects)
    }

    /// Removes a blob for ever, with what the store keeps of removed ones. One that is not there counts as removed.
    pub async fn erase(&self, object: &str) -> Result<(), ExchangeError> {
        self.remove(object).await?;
        let Self::Bucket(found) = self else {
            return Ok(());
        };
        let NamedBucket { name, context, .. } = found.as_ref();
        // JetStream keeps a note of each removed object; names of streams and subjects are those of its object
        // store (<https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-20.md>).
        let note = format!("$O.{name}.M.{}", BASE64_URL_SAFE.encode(object));
        let stream = context.get_stream_no_info(format!("OBJ_{name}")).await;
        let stream = stream.map_err(other)?;
        stream.purge().filter(note).await.map_err(other)?;
        Ok(())
    }

    /// Removes a blob. One that is not there counts as removed.
    pub async fn remove(&self, object: &str) -> Result<(), ExchangeError> {
        match self {
            Self::Bucket(found) => {
                use async_nats::jetstream::object_store::DeleteErrorKind;
                match found.bucket.delete(object).await {
                    Err(error) if error.kind() != DeleteErrorKind::NotFound => Err(other(error)),
                    _ => Ok(()),
                }
            }
            Self::Store { store, prefix } => match store.delete(&path(prefix, object)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(other(error)),
            },
        }
    }
}

fn path(prefix: &Path, object: &str) -> Path {
    prefix.parts().chain(Path::from(object).parts()).collect()
}

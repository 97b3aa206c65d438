//! The store through which blobs travel between gateways and nodes.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::object_store::{Config, GetErrorKind, ObjectStore as Bucket};
use async_nats::jetstream::{Context, stream::StorageType};
use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use thiserror::Error;
use tokio::io::AsyncReadExt as _;

use super::settings::{BlobPlace, NatsSettings};

/// The bucket of JetStream removes blobs after this time, whatever has become of their gateway.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A store of blobs that gateways and nodes share.
#[derive(Clone)]
pub(crate) enum Exchange {
    Bucket(Box<Bucket>),
    Store {
        store: Arc<dyn ObjectStore>,
        prefix: Path,
    },
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
    /// of the one of JetStream.
    ///
    /// # Errors
    /// [`ExchangeError`] if it cannot be reached or made.
    pub async fn open(
        settings: &NatsSettings,
        bucket: String,
        context: &Context,
    ) -> Result<Self, ExchangeError> {
        match &settings.blobs {
            BlobPlace::Nats => {
                if let Ok(found) = context.get_object_store(&bucket).await {
                    return Ok(Self::Bucket(Box::new(found)));
                }
                let config = Config {
                    bucket,
                    max_age: LONGEST_LIFE,
                    storage: StorageType::File,
                    num_replicas: settings.replicas,
                    ..Config::default()
                };
                let made = context.create_object_store(config).await;
                Ok(Self::Bucket(Box::new(made.map_err(other)?)))
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
            Self::Bucket(bucket) => {
                let mut content = content.as_ref();
                bucket.put(object, &mut content).await.map_err(other)?;
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
            Self::Bucket(bucket) => {
                let found = bucket.get(object).await;
                let mut found = found.map_err(|error| match error.kind() {
                    GetErrorKind::NotFound => ExchangeError::Missing,
                    _ => other(error),
                })?;
                let bytes = found.info().size as u64;
                if bytes > most {
                    return Err(too_large(bytes));
                }
                let mut content = Vec::with_capacity(found.info().size);
                found.read_to_end(&mut content).await.map_err(other)?;
                Ok(content)
            }
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

    /// Removes a blob. One that is not there counts as removed.
    pub async fn remove(&self, object: &str) -> Result<(), ExchangeError> {
        match self {
            Self::Bucket(bucket) => {
                use async_nats::jetstream::object_store::DeleteErrorKind;
                match bucket.delete(object).await {
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

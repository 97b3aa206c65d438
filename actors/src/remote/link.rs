//! The connection to NATS, and what an installation keeps there.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{self, Context, kv};
use async_nats::{Client, ConnectOptions, Event};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use uuid::Uuid;

use super::exchange::{Exchange, ExchangeError};
use super::names::Names;
use super::sealed::SealedBlob;
use super::settings::NatsSettings;
use super::wire::{self, BadMessage, Letter, NODE_LEASE};
use crate::blobs::{BlobKey, BlobName};
use crate::ids::SessionId;

/// An assignment or a report that nobody has taken after this time is removed.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 3600);
/// Assignments that failed too often, kept for the operator.
const MAX_POISON: i64 = 1000;
const POISON_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// The store removes blobs after this time, whatever has become of their gateway.
const BLOB_LIFE: Duration = Duration::from_secs(24 * 3600);
/// The same message sent again within this time is one message.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);
/// Contents of more bytes are sent as a blob. NATS takes messages of a mebibyte.
const LARGEST_MESSAGE: usize = 512 << 10;
/// The most bytes of a content that is sent as a blob.
const LARGEST_LETTER: u64 = 64 << 20;
/// How long a request of JetStream may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The oldest version of NATS that has what is used here.
const OLDEST_MAJOR: i64 = 2;
const OLDEST_MINOR: i64 = 10;

/// NATS cannot be used.
#[derive(Debug, Error)]
pub enum LinkError {
    #[error("cannot read the credentials {path}: {source}", path = path.display())]
    Credentials {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error("cannot reach NATS at {url}: {source}")]
    Unreachable {
        url: String,
        source: async_nats::ConnectError,
    },
    #[error("NATS {version} is too old; install {OLDEST_MAJOR}.{OLDEST_MINOR} or a newer one")]
    TooOld { version: String },
    #[error("NATS refuses {what}: {source}; the server needs JetStream (nats-server --jetstream)")]
    Refused {
        what: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the place for shared files {place} cannot be used: {message}")]
    Blobs { place: String, message: String },
}

/// A message could not be read or sent.
#[derive(Debug, Error)]
pub(crate) enum PostError {
    #[error(transparent)]
    Blob(#[from] ExchangeError),
    #[error(transparent)]
    Bad(#[from] BadMessage),
    #[error("NATS did not confirm a message: {0}")]
    Unconfirmed(String),
}

impl LinkError {
    /// Whether NATS may just not be there yet.
    pub(crate) fn may_pass(&self) -> bool {
        use async_nats::ConnectErrorKind as Kind;
        let Self::Unreachable { source, .. } = self else {
            return false;
        };
        match source.kind() {
            Kind::TimedOut | Kind::Dns | Kind::MaxReconnects => true,
            // A certificate that is not trusted does not pass.
            Kind::Io => !has_invalid_data(source),
            _ => false,
        }
    }
}

/// Whether what the other side sent was refused, as by TLS.
fn has_invalid_data(error: &(dyn std::error::Error + 'static)) -> bool {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::InvalidData)
}

impl From<serde_json::Error> for PostError {
    fn from(error: serde_json::Error) -> Self {
        Self::Bad(error.into())
    }
}

/// What a process is. Each role has inboxes of its own, so that NATS can keep workers from those of servers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Gateway,
    Node,
}

/// The connection of one process.
pub(crate) struct Link {
    pub client: Client,
    pub context: Context,
    pub names: Names,
    pub exchange: Exchange,
    pub jobs: Stream,
    pub reports: Stream,
    /// The nodes that are there. Entries expire.
    pub nodes: kv::Store,
    /// For each assignment without a report, the nodes that have begun with it.
    pub begun: kv::Store,
}

impl Link {
    /// Connects, and makes what is not there yet. Afterwards the connection comes back by itself when it was lost.
    ///
    /// # Errors
    /// [`LinkError`]; it may be tried again.
    pub async fn open(settings: &NatsSettings, role: Role, name: &str) -> Result<Self, LinkError> {
        let (client, context) = connect(settings, role, name).await?;
        let names = Names::new(&settings.prefix);
        let base = Config {
            storage: StorageType::File,
            num_replicas: settings.replicas,
            duplicate_window: DUPLICATE_WINDOW,
            max_age: LONGEST_WAIT,
            ..Config::default()
        };
        let jobs = Config {
            name: names.jobs(),
            subjects: vec![names.all_jobs()],
            retention: RetentionPolicy::WorkQueue,
            ..base.clone()
        };
        let reports = Config {
            name: names.reports(),
            subjects: vec![names.all_reports()],
            retention: RetentionPolicy::WorkQueue,
            ..base.clone()
        };
        let poison = Config {
            name: names.poison(),
            subjects: vec![names.poison_subject()],
            max_messages: MAX_POISON,
            max_age: POISON_LIFE,
            ..base
        };
        let jobs = stream(&context, jobs).await?;
        let reports = stream(&context, reports).await?;
        stream(&context, poison).await?;
        let nodes = bucket(&context, settings, names.nodes(), NODE_LEASE).await?;
        let begun = bucket(&context, settings, names.begun(), LONGEST_WAIT).await?;
        let exchange = Exchange::open(settings, names.blobs(), BLOB_LIFE, &context).await;
        let exchange = exchange.map_err(|error| LinkError::Blobs {
            place: settings.blobs.to_string(),
            message: error.to_string(),
        })?;
        Ok(Self {
            client,
            context,
            names,
            exchange,
            jobs,
            reports,
            nodes,
            begun,
        })
    }

    /// Publishes a content to a stream, which confirms it. Sent twice with one identifier, it arrives once.
    ///
    /// # Errors
    /// [`PostError`] if it is not confirmed.
    pub async fn post<T: Serialize>(
        &self,
        subject: String,
        id: &str,
        content: &T,
    ) -> Result<u64, PostError> {
        let mut payload = serde_json::to_vec(&Letter::Here(content))?;
        if payload.len() > LARGEST_MESSAGE {
            let key = BlobKey {
                session: SessionId::nil(),
                name: BlobName::Prediction(Uuid::new_v4()),
            };
            let object = format!("letters/{}", Uuid::new_v4());
            let content = serde_json::to_vec(content)?;
            let blob = SealedBlob::store(&self.exchange, object, key, content).await?;
            payload = serde_json::to_vec(&Letter::<T>::Stored(blob))?;
        }
        self.post_bytes(subject, id, payload.into()).await
    }

    /// The same for a payload as it is.
    pub async fn post_bytes(
        &self,
        subject: String,
        id: &str,
        payload: bytes::Bytes,
    ) -> Result<u64, PostError> {
        let message = jetstream::message::PublishMessage::build()
            .message_id(id)
            .payload(payload);
        let unconfirmed = |error: &dyn std::fmt::Display| PostError::Unconfirmed(error.to_string());
        let confirmation = self.context.send_publish(subject, message).await;
        let confirmation = confirmation.map_err(|error| unconfirmed(&error))?;
        let stored = confirmation.await.map_err(|error| unconfirmed(&error))?;
        Ok(stored.sequence)
    }

    /// Reads what was posted.
    ///
    /// # Errors
    /// [`PostError`] if it is no such content, or its blob cannot be fetched.
    pub async fn open_letter<T: DeserializeOwned>(&self, payload: &[u8]) -> Result<T, PostError> {
        match wire::read(payload)? {
            Letter::Here(content) => Ok(content),
            Letter::Stored(blob) => {
                let content = blob.fetch(&self.exchange, LARGEST_LETTER).await?;
                Ok(wire::read(&content)?)
            }
        }
    }

    /// Removes the blob of a letter that nobody needs any more.
    pub async fn discard_letter(&self, payload: &[u8]) {
        if let Ok(Letter::<serde::de::IgnoredAny>::Stored(blob)) = wire::read(payload) {
            self.remove(&blob).await;
        }
    }

    /// Removes a blob. One that cannot be removed expires.
    pub async fn remove(&self, blob: &SealedBlob) {
        if let Err(error) = self.exchange.remove(&blob.object).await {
            tracing::warn!(object = blob.object, %error, "cannot remove a shared file");
        }
    }

    /// Sends a message that may be lost.
    pub async fn tell<T: Serialize>(&self, subject: String, content: &T) {
        let sent = match serde_json::to_vec(content) {
            Ok(payload) => {
                let sent = self.client.publish(subject, payload.into()).await;
                sent.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a message to other machines is lost");
        }
    }
}

/// Connects. Afterwards the connection comes back by itself when it was lost.
///
/// # Errors
/// [`LinkError`]; it may be tried again.
pub(crate) async fn connect(
    settings: &NatsSettings,
    role: Role,
    name: &str,
) -> Result<(Client, Context), LinkError> {
    let options = connect_options(settings, role, name).await?;
    let addresses = without_password(&settings.url);
    let addresses: Vec<&str> = addresses.split(',').collect();
    let client = options.connect(addresses).await;
    let client = client.map_err(|source| LinkError::Unreachable {
        url: without_password(&settings.url),
        source,
    })?;
    if !client.is_server_compatible(OLDEST_MAJOR, OLDEST_MINOR, 0) {
        let version = client.server_info().version;
        return Err(LinkError::TooOld { version });
    }
    let mut context = jetstream::new(client.clone());
    context.set_timeout(REQUEST_TIMEOUT);
    Ok((client, context))
}

async fn connect_options(
    settings: &NatsSettings,
    role: Role,
    name: &str,
) -> Result<ConnectOptions, LinkError> {
    let inbox = match role {
        Role::Gateway => "server",
        Role::Node => "worker",
    };
    let mut options = ConnectOptions::new()
        .name(name)
        .custom_inbox_prefix(format!("_INBOX_{}_{inbox}", settings.prefix))
        .event_callback(|event| async move {
            match event {
                Event::Connected => tracing::info!("connected to NATS"),
                Event::Disconnected => {
                    tracing::warn!("the connection to NATS is lost; it is tried again");
                }
                // Also each failed attempt to connect again.
                event => tracing::debug!(%event, "NATS"),
            }
        });
    match user_and_password(&settings.url) {
        Some((user, Some(password))) => options = options.user_and_password(user, password),
        Some((token, None)) => options = options.token(token),
        None => {}
    }
    if let Some(path) = &settings.credentials {
        let with = options.credentials_file(path).await;
        options = with.map_err(|source| LinkError::Credentials {
            path: path.clone(),
            source,
        })?;
    }
    if let Some(path) = &settings.ca {
        options = options
            .add_root_certificates(path.clone())
            .require_tls(true);
    }
    if let Some((certificate, key)) = &settings.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

/// Addresses without the user and the password that they may have.
fn without_password(url: &str) -> String {
    let addresses = url.split(',').map(|address| {
        let (scheme, rest) = split_scheme(address);
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        format!("{scheme}://{host}")
    });
    addresses.collect::<Vec<_>>().join(",")
}

/// The user and the password of the first address that has them, or a token alone.
fn user_and_password(url: &str) -> Option<(String, Option<String>)> {
    let mut users = url.split(',').filter_map(|address| {
        let (_, rest) = split_scheme(address);
        let (user, _) = rest.rsplit_once('@')?;
        Some(match user.split_once(':') {
            Some((user, password)) => (decoded(user), Some(decoded(password))),
            None => (decoded(user), None),
        })
    });
    users.next()
}

fn split_scheme(address: &str) -> (&str, &str) {
    let address = address.trim();
    address.split_once("://").unwrap_or(("nats", address))
}

/// Without the escapes of URLs.
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// A stream, which is made if it is not there.
pub(crate) async fn stream(context: &Context, config: Config) -> Result<Stream, LinkError> {
    let name = config.name.clone();
    if let Ok(found) = context.get_stream(&name).await {
        return Ok(found);
    }
    let made = context.get_or_create_stream(config).await;
    made.map_err(|source| refused(format!("the stream {name}"), source))
}

/// A bucket of entries that expire, unless their life is zero. It is made if it is not there.
pub(crate) async fn bucket(
    context: &Context,
    settings: &NatsSettings,
    name: String,
    life: Duration,
) -> Result<kv::Store, LinkError> {
    if let Ok(found) = context.get_key_value(&name).await {
        return Ok(found);
    }
    let config = kv::Config {
        bucket: name.clone(),
        history: 1,
        max_age: life,
        num_replicas: settings.replicas,
        ..kv::Config::default()
    };
    let made = context.create_key_value(config).await;
    made.map_err(|source| refused(format!("the bucket {name}"), source))
}

fn refused(what: String, source: impl std::error::Error + Send + Sync + 'static) -> LinkError {
    LinkError::Refused {
        what,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let shown = without_password("nats://me:secret@a:4222, tls://b:4222,c");
        assert_eq!(shown, "nats://a:4222,tls://b:4222,nats://c");
    }

    #[test]
    fn passwords_are_read() {
        let read = |url| user_and_password(url);
        let password = Some("p@ss:w".to_owned());
        let expected = Some(("me".to_owned(), password));
        assert_eq!(read("nats://a:4222,tls://me:p%40ss:w@b:4222"), expected);
        assert_eq!(read("nats://token@a"), Some(("token".to_owned(), None)));
        assert_eq!(read("nats://a:4222"), None);
    }
}

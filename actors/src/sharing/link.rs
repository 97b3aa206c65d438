//! What gateways keep in NATS together.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType, Stream};
use async_nats::jetstream::{Context, kv};

use crate::remote::exchange::Exchange;
use crate::remote::link::{Role, bucket, connect, stream};
use crate::remote::names::Names;
use crate::remote::{LinkError, NatsSettings};

/// The same message sent again within this time is one message. Longer than it is tried again.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(900);
/// A gateway that has said nothing for so long counts as gone.
pub(super) const GATEWAY_LEASE: Duration = Duration::from_secs(10);
/// Entries that do not expire.
const FOR_EVER: Duration = Duration::ZERO;

/// The connection of a gateway.
pub(super) struct SharedLink {
    pub context: Context,
    pub names: Names,
    /// The files of sessions.
    pub files: Exchange,
    /// The journals of sessions.
    pub journals: Stream,
    /// Which gateway has which session.
    pub owners: kv::Store,
    /// The gateways that are there.
    pub gateways: kv::Store,
    /// What all gateways know, and nobody else.
    pub secrets: kv::Store,
}

impl SharedLink {
    pub async fn open(settings: &NatsSettings) -> Result<Self, LinkError> {
        let (_, context) = connect(settings, Role::Gateway, "pointstream gateway").await?;
        let names = Names::new(&settings.prefix);
        let journals = Config {
            name: names.journals(),
            subjects: vec![names.all_journals()],
            storage: StorageType::File,
            num_replicas: settings.replicas,
            duplicate_window: DUPLICATE_WINDOW,
            discard: DiscardPolicy::New,
            ..Config::default()
        };
        let journals = stream(&context, journals).await?;
        let owners = bucket(&context, settings, names.owners(), FOR_EVER).await?;
        let gateways = bucket(&context, settings, names.gateways(), GATEWAY_LEASE).await?;
        let secrets = bucket(&context, settings, names.secrets(), FOR_EVER).await?;
        let files = Exchange::open(settings, names.session_files(), FOR_EVER, &context).await;
        let files = files.map_err(|error| LinkError::Blobs {
            place: settings.blobs.to_string(),
            message: error.to_string(),
        })?;
        Ok(Self {
            context,
            names,
            files,
            journals,
            owners,
            gateways,
            secrets,
        })
    }
}

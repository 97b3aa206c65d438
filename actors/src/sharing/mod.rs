//! Sessions that several gateways share.
//!
//! Each session has one owner at a time: the gateway whose actors have it. What the session has is where all
//! gateways find it, so another one can go on with it.
//!
//! ```text
//! journal    one subject of a stream; each message has records, and the keys of the files that they rely on
//! files      encrypted objects in the store of shared files; the owner's data directory is a cache of them
//! owners     key-value: session -> gateway
//! gateways   key-value: gateway -> its address; entries expire
//! ```
//!
//! An owner appends to a journal only behind the message that it knows as the last one, and JetStream refuses
//! anything else. A gateway that takes a session over appends first. So an owner that has lost a session, and
//! does not know, can write nothing more, and acknowledges nothing more.

mod adoption;
mod entry;
mod files;
mod journal;
mod link;
mod members;
mod messages;
mod owners;
mod session;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use uuid::Uuid;

pub(crate) use self::adoption::{Adopter, Adopting, Adoption};
pub(crate) use self::files::SharedFiles;
pub(crate) use self::journal::SharedJournals;
use self::link::SharedLink;
pub use self::members::GatewayRecord;
use self::members::Members;
pub use self::owners::SharingError;
use self::session::SharedSession;
use crate::ids::SessionId;
use crate::remote::{LinkError, NatsSettings};

/// How long it waits before it tries again to reach NATS.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// How a gateway shares its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharingSettings {
    /// How other gateways reach this one, such as `http://10.0.0.5:8000`.
    pub address: String,
    /// Its name for operators.
    pub host: String,
    /// Version of the program.
    pub version: String,
}

/// Where a session is.
#[derive(Debug, Clone)]
pub enum Location {
    /// This gateway has it.
    Here,
    /// Another one has it.
    Elsewhere(Arc<GatewayRecord>),
    /// There is no such session.
    Nowhere,
}

/// What a gateway shares with others.
pub(crate) struct Sharing {
    id: Uuid,
    settings: SharingSettings,
    link: SharedLink,
    /// For work on threads that may block.
    runtime: Handle,
    /// The sessions that this gateway has.
    sessions: Mutex<HashMap<SessionId, Arc<SharedSession>>>,
    /// Those that could not be restored, and when.
    failed: Mutex<HashMap<SessionId, Instant>>,
    members: Members,
    is_ending: AtomicBool,
    /// Whether the others were told that it is not there any more.
    has_left: AtomicBool,
}

impl fmt::Debug for Sharing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sharing")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Sharing {
    /// Connects to NATS, and waits for it if it is not there yet.
    ///
    /// # Errors
    /// [`LinkError`] if waiting would not help.
    pub async fn open(
        nats: &NatsSettings,
        settings: SharingSettings,
    ) -> Result<Arc<Self>, LinkError> {
        let link = loop {
            match SharedLink::open(nats).await {
                Ok(link) => break link,
                Err(error) if error.may_pass() => {
                    tracing::warn!(%error, retry_in = ?RETRY_DELAY, "waiting for NATS, where the sessions are");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                Err(error) => return Err(error),
            }
        };
        let id = Uuid::new_v4();
        Ok(Arc::new(Self {
            id,
            settings,
            link,
            runtime: Handle::current(),
            sessions: Mutex::default(),
            failed: Mutex::default(),
            members: Members::new(id),
            is_ending: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
        }))
    }

    /// Identifies this life of the gateway.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// It takes over no more sessions, and others know that its own will be free.
    pub fn begin_to_end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.members.changed();
    }

    pub fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    fn session(&self, session: SessionId) -> Option<Arc<SharedSession>> {
        self.sessions().get(&session).cloned()
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<SharedSession>>> {
        lock(&self.sessions)
    }
}

/// What is locked here is changed by single operations, so it is valid after a panic too.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The gateway's side: it knows the nodes, gives them assignments, and receives their reports.

mod assigned;
mod receiving;
mod sent;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pointstream_reconstruction::model::LoadModel;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

pub(crate) use self::assigned::{AssignError, Assigned};
use self::sent::SentBlobs;
use super::again;
use super::link::Link;
use super::names::ModelKey;
use super::settings::NatsSettings;
use super::wire::{self, AssignmentId, Control, NodeId, NodeRecord, Progress, Report, Restarted};
use crate::blobs::{BlobKey, Blobs};
use crate::ids::SessionId;

/// Unread progress of an assignment. More is dropped, as it is replaced by later progress.
const MAX_WAITING_PROGRESS: usize = 64;

/// The connection of a gateway to its nodes.
pub(crate) struct Gateway {
    id: Uuid,
    settings: NatsSettings,
    model: Arc<dyn LoadModel>,
    blobs: Arc<dyn Blobs>,
    /// None until NATS was reached for the first time.
    link: watch::Sender<Option<Arc<Link>>>,
    /// Why it is not reached, until it is.
    problem: Mutex<Option<String>>,
    /// Nodes of its model, and those that it refuses with the reason.
    nodes: watch::Sender<Vec<Arc<NodeRecord>>>,
    sent: SentBlobs,
    /// Assignments without a report.
    waiting: Mutex<HashMap<AssignmentId, Waiting>>,
}

/// Who waits for an assignment.
struct Waiting {
    progress: mpsc::Sender<Progress>,
    report: oneshot::Sender<Report>,
}

impl Gateway {
    /// A gateway that is not connected yet. `blobs` has the frames that it sends.
    pub fn new(
        settings: NatsSettings,
        model: Arc<dyn LoadModel>,
        blobs: Arc<dyn Blobs>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: Uuid::new_v4(),
            settings,
            model,
            blobs,
            link: watch::Sender::default(),
            problem: Mutex::default(),
            nodes: watch::Sender::default(),
            sent: SentBlobs::default(),
            waiting: Mutex::default(),
        })
    }

    /// Connects in the background, and receives until the handle is dropped.
    pub fn start(self: &Arc<Self>) -> AbortOnDropHandle<()> {
        let gateway = self.clone();
        let receive = again("receiving from other machines", move || {
            gateway.clone().receive()
        });
        AbortOnDropHandle::new(tokio::spawn(receive))
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The nodes that take its jobs, whenever they change.
    pub fn nodes(&self) -> watch::Receiver<Vec<Arc<NodeRecord>>> {
        self.nodes.subscribe()
    }

    /// Why NATS is not reached, if so.
    pub fn problem(&self) -> Option<String> {
        lock(&self.problem).clone()
    }

    fn model_key(&self) -> ModelKey {
        ModelKey::of(self.model.metadata())
    }

    fn link(&self) -> Option<Arc<Link>> {
        self.link.borrow().clone()
    }

    /// A session has ended: nodes drop what they have of it, and its shared files are removed.
    pub fn forget(&self, session: SessionId) {
        let sent = self.sent.take_session(session);
        self.tell(Control::Forget(session), sent);
    }

    /// Nodes drop the encoded frames. What was sent stays, since a later job may need it.
    pub fn forget_frames(&self, session: SessionId, frames: &[BlobKey]) {
        self.tell(Control::ForgetFrames(session, frames.to_vec()), Vec::new());
    }

    /// From the next assignment on, nodes have no maps of the session.
    pub fn forget_maps(&self, session: SessionId) {
        self.sent.forget_maps(session);
    }

    /// Tells the job of an assignment to make way for others.
    pub fn make_way(&self, assignment: AssignmentId) {
        self.tell(Control::MakeWay(assignment), Vec::new());
    }

    /// Has a node restart one of its workers. `None` if it does not answer.
    pub async fn restart(&self, node: NodeId, worker: usize) -> Option<Restarted> {
        let link = self.link()?;
        let question = serde_json::to_vec(&worker).ok()?;
        let asked = link
            .client
            .request(link.names.restart(node), question.into());
        wire::read(&asked.await.ok()?.payload).ok()
    }

    /// Tells all nodes, and removes shared files.
    fn tell(&self, message: Control, unneeded: Vec<super::sealed::SealedBlob>) {
        let Some(link) = self.link() else {
            return;
        };
        in_background(async move {
            link.tell(link.names.control(), &message).await;
            for blob in &unneeded {
                link.remove(blob).await;
            }
        });
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<AssignmentId, Waiting>> {
        lock(&self.waiting)
    }
}

/// Does something that may be left out when the program ends.
fn in_background(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}

/// What is locked here is changed by single operations, so it is valid after a panic too.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The immutable context that all parts of a session share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::blobs::{BlobKey, BlobName, Blobs};
use crate::blocking::BlockingPool;
use crate::decode_memory::DecodeMemory;
use crate::errors::StoredImageError;
use crate::ids::SessionId;
use crate::jobs::{Dispatcher, JobFrame};
use crate::mailbox::{Mailbox, Reply, answer};
use crate::metrics::Metrics;
use crate::session::ledger::Image;
use crate::session::message::SessionMessage;
use crate::session::room::Room;
use crate::settings::Settings;
use crate::turns::Owner;

/// The immutable context that all parts of a session share.
#[derive(Clone)]
pub(super) struct Context {
    pub id: SessionId,
    /// The name of its creator, if there is one.
    pub creator: Option<Arc<str>>,
    pub settings: Arc<Settings>,
    pub blobs: Arc<dyn Blobs>,
    pub dispatcher: Arc<dyn Dispatcher>,
    pub computing: BlockingPool,
    pub decoding: DecodeMemory,
    /// Its places for images.
    pub room: Room,
    pub result_files: BlockingPool,
    /// Cancelled when the session has ended.
    pub ended: CancellationToken,
    pub mailbox: Mailbox<SessionMessage>,
    pub metrics: Arc<Metrics>,
}

impl Context {
    pub fn key(&self, name: BlobName) -> BlobKey {
        BlobKey {
            session: self.id,
            name,
        }
    }

    /// Whose work the session's is.
    pub fn owner(&self) -> Owner {
        Owner::new(self.creator.clone(), self.id)
    }

    /// An image as a job takes it.
    pub fn job_frame(&self, image: &Image) -> JobFrame {
        JobFrame {
            blob: self.key(BlobName::Prepared(image.number)),
            size: image.size,
            has_hidden: image.has_hidden,
            camera: image.camera,
            hint: image.hint,
            placed: None,
        }
    }

    /// Does work that blocks in the background, and answers with what it gives.
    pub fn answer_later<T: Send + 'static>(
        &self,
        mut reply: Reply<Result<Option<T>, StoredImageError>>,
        work: impl FnOnce(&Self) -> Result<T, StoredImageError> + Send + 'static,
    ) {
        let (computing, owner, context) = (self.computing.clone(), self.owner(), self.clone());
        let work = async move {
            let done = tokio::select! {
                biased;
                // The caller stopped waiting, so the work need not wait for a slot.
                () = reply.closed() => return,
                done = computing.run(owner, move || work(&context)) => done,
            };
            let done =
                done.unwrap_or_else(|failed| Err(StoredImageError::Internal(failed.to_string())));
            answer(reply, done.map(Some));
        };
        tokio::spawn(work.in_current_span());
    }

    /// Removes blobs in the background.
    pub fn remove(&self, names: impl IntoIterator<Item = BlobName>) {
        let keys: Vec<_> = names.into_iter().map(|name| self.key(name)).collect();
        let (blobs, computing, owner) = (self.blobs.clone(), self.computing.clone(), self.owner());
        tokio::spawn(async move {
            let remove = move || keys.iter().for_each(|key| blobs.remove_or_warn(key));
            if let Err(error) = computing.run(owner, remove).await {
                tracing::warn!(%error, "cannot remove files; they stay until their session ends");
            }
        });
    }
}

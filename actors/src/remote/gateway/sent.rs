//! What a gateway has put into the store of shared files.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use pointstream_reconstruction::prediction::Links;
use uuid::Uuid;

use super::lock;
use crate::blobs::{BlobKey, BlobName, Blobs};
use crate::ids::SessionId;
use crate::jobs::{JobKind, JobSpec};
use crate::remote::link::Link;
use crate::remote::sealed::SealedBlob;
use crate::remote::wire::MapsId;

use super::AssignError;

/// Blobs that were sent, until their session ends.
#[derive(Default)]
pub(super) struct SentBlobs {
    sessions: Mutex<HashMap<SessionId, Sent>>,
}

/// What was sent of a session.
struct Sent {
    blobs: HashMap<BlobKey, SealedBlob>,
    /// Blobs that were sent twice, because two assignments needed them at the same time.
    twice: Vec<SealedBlob>,
    maps: MapsId,
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            blobs: HashMap::new(),
            twice: Vec::new(),
            maps: MapsId::new_v4(),
        }
    }
}

impl SentBlobs {
    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Sent>> {
        lock(&self.sessions)
    }

    /// What a job reads, sent if it was not yet.
    pub async fn of_job(
        &self,
        link: &Link,
        blobs: &Arc<dyn Blobs>,
        job: &JobSpec,
    ) -> Result<Vec<SealedBlob>, AssignError> {
        // An adjustment reads what runs have stored, the others read frames.
        let frames = job.frames.iter().map(|frame| frame.blob);
        let runs = job.runs.iter().map(|run| run.prediction);
        let keys: Vec<BlobKey> = match job.kind {
            JobKind::Adjust => runs.collect(),
            JobKind::Encode | JobKind::Reconstruct => frames.collect(),
        };
        let mut sent = Vec::with_capacity(keys.len());
        for key in keys {
            let found = self
                .sessions()
                .get(&key.session)
                .and_then(|session| session.blobs.get(&key).cloned());
            let blob = match found {
                Some(blob) => blob,
                None => self.send(link, blobs, key).await?,
            };
            sent.push(blob);
        }
        Ok(sent)
    }

    async fn send(
        &self,
        link: &Link,
        blobs: &Arc<dyn Blobs>,
        key: BlobKey,
    ) -> Result<SealedBlob, AssignError> {
        let reading = blobs.clone();
        let content = tokio::task::spawn_blocking(move || read(reading.as_ref(), key));
        let content = content
            .await
            .map_err(|error| AssignError::Blob(key.name, error.to_string()))??;
        let object = format!("jobs/{}/{}", key.session, Uuid::new_v4());
        let blob = SealedBlob::store(&link.exchange, object, key, content).await?;
        let mut sessions = self.sessions();
        let session = sessions.entry(key.session).or_default();
        let earlier = session.blobs.insert(key, blob.clone());
        session.twice.extend(earlier);
        drop(sessions);
        Ok(blob)
    }

    /// These are not in the store any more.
    pub fn lost(&self, keys: &[BlobKey]) {
        let mut sessions = self.sessions();
        for key in keys {
            if let Some(session) = sessions.get_mut(&key.session) {
                session.blobs.remove(key);
            }
        }
    }

    /// The maps of the model that go with the session's coordinates.
    pub fn maps(&self, session: SessionId) -> MapsId {
        self.sessions().entry(session).or_default().maps
    }

    pub fn forget_maps(&self, session: SessionId) {
        if let Some(session) = self.sessions().get_mut(&session) {
            session.maps = MapsId::new_v4();
        }
    }

    /// Everything of a session that has ended.
    pub fn take_session(&self, session: SessionId) -> Vec<SealedBlob> {
        let sent = self.sessions().remove(&session);
        sent.map_or_else(Vec::new, |sent| {
            sent.blobs.into_values().chain(sent.twice).collect()
        })
    }
}

/// Reads what is sent of a blob: of a prediction only what an adjustment reads. Blocks.
fn read(blobs: &dyn Blobs, key: BlobKey) -> Result<Vec<u8>, AssignError> {
    match key.name {
        BlobName::Prediction(_) => {
            let view = blobs.view(&key);
            let view = view.map_err(|error| AssignError::Prediction(error.to_string()))?;
            let links = Links::from_safetensors(&view)
                .and_then(|links| Links::to_safetensors(links.as_ref()));
            links.map_err(|error| AssignError::Prediction(error.to_string()))
        }
        name => {
            let content = blobs.get(&key);
            content.map_err(|error| AssignError::Blob(name, error.to_string()))
        }
    }
}

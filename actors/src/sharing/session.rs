//! What a gateway knows of a session that it has.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::lock;
use crate::blobs::BlobName;
use crate::remote::sealed::SealedBlob;

/// What a gateway knows of a session that it has.
#[derive(Debug, Default)]
pub(super) struct SharedSession {
    /// The last message of its journal; 0 before the first. Locked while one is appended.
    pub tail: Mutex<u64>,
    /// Locked while a file is fetched: each is written by one at a time.
    pub fetching: Mutex<()>,
    /// Whether it goes on after something failed: there may be objects that no message names.
    is_restored: bool,
    objects: Mutex<Objects>,
}

/// The objects of a session in the store of shared files.
#[derive(Debug, Default)]
struct Objects {
    files: HashMap<BlobName, SealedBlob>,
    /// Contents of messages, by the numbers of the messages.
    contents: BTreeMap<u64, SealedBlob>,
    /// What others have replaced.
    replaced: Vec<SealedBlob>,
}

impl SharedSession {
    /// A session that goes on, whose journal ends with this message.
    pub fn restored(tail: u64) -> Self {
        Self {
            tail: Mutex::new(tail),
            is_restored: true,
            ..Self::default()
        }
    }

    /// See [`Self::restored`].
    pub fn is_restored(&self) -> bool {
        self.is_restored
    }

    /// Whether it is in the shared journal: one whose creator has not kept it is not.
    pub fn is_written(&self) -> bool {
        *lock(&self.tail) > 0
    }

    pub fn file(&self, name: &BlobName) -> Option<SealedBlob> {
        lock(&self.objects).files.get(name).cloned()
    }

    pub fn has(&self, name: &BlobName) -> bool {
        lock(&self.objects).files.contains_key(name)
    }

    /// The names and sizes of all shared files.
    pub fn sizes(&self) -> BTreeMap<BlobName, u64> {
        let objects = lock(&self.objects);
        let files = objects.files.iter();
        files.map(|(name, blob)| (*name, blob.bytes)).collect()
    }

    /// The journal relies on these from now on.
    pub fn add(&self, files: impl IntoIterator<Item = SealedBlob>) {
        let mut objects = lock(&self.objects);
        for blob in files {
            let earlier = objects.files.insert(blob.key.name, blob);
            objects.replaced.extend(earlier);
        }
    }

    /// A message of the journal has its content in the store.
    pub fn add_content(&self, message: u64, blob: SealedBlob) {
        lock(&self.objects).contents.insert(message, blob);
    }

    pub fn take_content(&self, message: u64) -> Option<SealedBlob> {
        lock(&self.objects).contents.remove(&message)
    }

    /// A file is written anew, so that the shared one is not its content any more.
    pub fn replaced(&self, name: &BlobName) {
        let mut objects = lock(&self.objects);
        let earlier = objects.files.remove(name);
        objects.replaced.extend(earlier);
    }

    pub fn take(&self, name: &BlobName) -> Option<SealedBlob> {
        lock(&self.objects).files.remove(name)
    }

    /// All objects. The session has none then.
    pub fn take_all(&self) -> Vec<SealedBlob> {
        let objects = std::mem::take(&mut *lock(&self.objects));
        let files = objects.files.into_values();
        let contents = objects.contents.into_values();
        files.chain(contents).chain(objects.replaced).collect()
    }
}

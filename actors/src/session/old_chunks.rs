//! The files of maps that a session had before its map began anew.

use uuid::Uuid;

use super::ledger::{Ledger, StoredMap, chunk_files};
use crate::blobs::BlobName;

/// Chunks of earlier maps whose files are still there.
#[derive(Debug, Default)]
pub(super) struct OldChunks {
    files: Vec<Uuid>,
    /// Whether some may be needless since the last look.
    due: bool,
}

impl OldChunks {
    /// The map that the ledger has is about to begin anew.
    pub fn note(&mut self, ledger: &Ledger) {
        self.files
            .extend(ledger.map().iter().flat_map(|stored| &stored.files));
        self.due = true;
    }

    /// Another result has replaced the one that may have needed them.
    pub fn note_result(&mut self) {
        self.due = true;
    }

    /// An earlier process has left the map of a result, which may not be the present one.
    pub fn note_of_result(&mut self, ledger: &Ledger, map: Option<&StoredMap>) {
        let present = ledger.map().map_or(&[][..], |stored| &stored.files);
        let files = map.into_iter().flat_map(|map| &map.files);
        self.files
            .extend(files.filter(|file| !present.contains(file)));
    }

    /// The files that neither the present map has nor the result or its map. Forgets them.
    pub fn take_needless(
        &mut self,
        ledger: &Ledger,
        of_result: Option<&StoredMap>,
    ) -> Vec<BlobName> {
        if !std::mem::take(&mut self.due) || self.files.is_empty() {
            return Vec::new();
        }
        let of_result = of_result.into_iter().flat_map(|map| &map.files);
        let mut needed = ledger.files();
        needed.extend(of_result.flat_map(|file| chunk_files(*file)));
        let is_needed = |file: &Uuid| chunk_files(*file).iter().any(|name| needed.contains(name));
        let (needed, needless) = self.files.drain(..).partition(is_needed);
        self.files = needed;
        let needless: Vec<Uuid> = needless;
        needless.into_iter().flat_map(chunk_files).collect()
    }
}

//! The model store: a folder of archives that this program exported itself.
//!
//! ```text
//! <store>/da3-small/record.json          what the archive is, its length and its SHA-256
//! <store>/da3-small/<sha256>.pt          the archive
//! <store>/.licenses/da3-large            that the operator agreed to its licence
//! <store>/.locks/da3-small               held by the one process that changes something there
//! <store>/.work/da3-small/               downloads and exports that are not finished
//! ```
//!
//! Archives are code. The store loads one only if the archive and its record agree, and if no other
//! user could have written either file.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pointstream_inference::ResolvedModel;

use super::error::ModelsError;
use super::files::write_json;
use super::files::{
    checksum, create_folder, is_folder, keep_only, now, open, persist, read_json, remove,
};
use super::licenses;
use super::lock::Lock;
use super::options::StoreOptions;
use super::record::{ArchiveFile, FORMAT, Record, Source};
use super::registry::ModelId;
use crate::base_dirs::base_dir;

const RECORD: &str = "record.json";
const LICENSES: &str = ".licenses";
const LOCKS: &str = ".locks";
const WORK: &str = ".work";
/// Of the unfinished files, those that a later fetch resumes.
const DOWNLOADS: &str = "downloads";

/// A folder of archives. All functions but [`Store::lock`] block on the file system.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    lock_timeout: Duration,
}

/// The folder for the unfinished files of one archive.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
}

impl Workspace {
    /// Where the exporter writes the archive.
    pub fn archive(&self) -> PathBuf {
        self.folder.join("archive.pt")
    }

    /// The folder to download the checkpoint to.
    pub fn downloads(&self) -> PathBuf {
        self.folder.join(DOWNLOADS)
    }
}

impl Drop for Workspace {
    /// Removes all but downloads, which a later fetch resumes.
    fn drop(&mut self) {
        if self.folder.is_dir()
            && let Err(error) = keep_only(&self.folder, &[DOWNLOADS])
        {
            tracing::warn!(%error, "cannot remove the files of a fetch; the next fetch tries again");
        }
    }
}

impl Store {
    /// The store that the options name. It need not exist yet.
    pub fn new(options: &StoreOptions) -> Result<Self, ModelsError> {
        let root = match &options.model_store {
            // The exporter runs in another current folder.
            Some(folder) => std::path::absolute(folder)?,
            None => base_dir("XDG_CACHE_HOME", ".cache")
                .ok_or(ModelsError::NoFolder)?
                .join("pointstream/models"),
        };
        Ok(Self {
            root,
            lock_timeout: options.model_lock_timeout,
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn folder(&self, id: ModelId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// The record of an archive; none if the store does not have it.
    pub fn record(&self, id: ModelId) -> Result<Option<Record>, ModelsError> {
        let folder = self.folder(id);
        if !is_folder(&folder)? {
            return Ok(None);
        }
        let json = read_json(&folder.join(RECORD))?;
        let record = json.map(|json| Record::parse(&json, id)).transpose();
        record.map_err(|reason| ModelsError::Damaged {
            id,
            reason: format!("its record is wrong ({reason})"),
        })
    }

    /// The path of the archive that a record describes.
    pub fn path(&self, id: ModelId, record: &Record) -> PathBuf {
        self.folder(id).join(&record.archive.file)
    }

    /// Reads and checks an archive; none if the store does not have it.
    pub fn load(&self, id: ModelId) -> Result<Option<ResolvedModel>, ModelsError> {
        let Some(record) = self.record(id)? else {
            return Ok(None);
        };
        match self.load_recorded(id, &record) {
            // Another process may have replaced the archive since its record was read.
            Err(error) => match self.record(id)? {
                Some(newer) if newer != record => self.load_recorded(id, &newer).map(Some),
                _ => Err(error),
            },
            loaded => loaded.map(Some),
        }
    }

    fn load_recorded(&self, id: ModelId, record: &Record) -> Result<ResolvedModel, ModelsError> {
        let damaged = |reason: String| ModelsError::Damaged { id, reason };
        let path = self.path(id, record).display().to_string();
        let Some(archive) = open(path.as_ref())? else {
            return Err(damaged(format!("there is no {path}")));
        };
        let ArchiveFile { bytes, sha256, .. } = &record.archive;
        // One byte more shows that the file is longer.
        let (read, found) = checksum(archive.file().take(bytes.saturating_add(1)))?;
        if read > *bytes {
            return Err(damaged(format!("{path} is longer than {bytes} bytes")));
        }
        if read < *bytes {
            return Err(damaged(format!("{path} has {read} of {bytes} bytes")));
        }
        if found != *sha256 {
            return Err(damaged(format!(
                "{path} has the SHA-256 {found}, recorded is {sha256}"
            )));
        }
        let model = ResolvedModel::from_verified_file(archive.into_file(), path)?;
        record.agrees(&model.metadata).map_err(damaged)?;
        Ok(model)
    }

    /// Waits until no other process changes what the store has of an archive. `task` tells a
    /// waiting process what the lock is held for.
    pub async fn lock(&self, id: ModelId, task: &str) -> Result<Lock, ModelsError> {
        let locks = self.root.join(LOCKS);
        create_folder(&locks, 0o755)?;
        Lock::acquire(&locks.join(id.to_string()), id, task, self.lock_timeout).await
    }

    /// Whether the operator agreed to the licence of a model, in any precision.
    pub fn accepted(&self, id: ModelId) -> bool {
        let accepted = licenses::accepted(&self.root.join(LICENSES), id.known);
        accepted.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read whether its licence was agreed to");
            false
        })
    }

    /// Remembers that the operator agrees to the licence of a model.
    pub fn accept(&self, id: ModelId) -> Result<(), ModelsError> {
        licenses::accept(&self.root.join(LICENSES), id.known)
    }

    /// A folder for the files of a fetch. It holds nothing but downloads to resume.
    pub fn workspace(&self, id: ModelId, _lock: &Lock) -> Result<Workspace, ModelsError> {
        let folder = self.work(id);
        let workspace = Workspace { folder };
        create_folder(&workspace.downloads(), 0o700)?;
        keep_only(&workspace.folder, &[DOWNLOADS])?;
        Ok(workspace)
    }

    /// Checks the archive of a workspace and stores it in place of an older one.
    ///
    /// Renaming the record is what stores it; until then, the store is as it was.
    pub fn install(
        &self,
        id: ModelId,
        source: Source,
        workspace: Workspace,
        _lock: &Lock,
    ) -> Result<ResolvedModel, ModelsError> {
        let exported = workspace.archive();
        let other = |reason: String| ModelsError::OtherModel { id, reason };
        let archive =
            open(&exported)?.ok_or_else(|| other("the exporter wrote no archive".to_owned()))?;
        let (bytes, sha256) = checksum(archive.file())?;
        let folder = self.folder(id);
        let file = format!("{sha256}.pt");
        let path = folder.join(&file);
        let model = ResolvedModel::from_file(archive.into_file(), path.display().to_string())?;
        let record = Record {
            format: FORMAT,
            name: id.known.name.clone(),
            precision: id.precision,
            license: id.known.license.clone(),
            source: Source {
                digest: model.metadata.source_digest.clone(),
                ..source
            },
            exporter: model.metadata.version.clone(),
            archive: ArchiveFile {
                file,
                bytes,
                sha256,
            },
            stored_at: now(),
        };
        record.agrees(&model.metadata).map_err(other)?;

        create_folder(&folder, 0o755)?;
        persist(&exported, &path)?;
        write_json(&folder.join(RECORD), &record, &workspace.folder)?;
        // The model is stored, so a failure from here on must not fail the fetch.
        if let Err(error) = keep_only(&folder, &[RECORD, &record.archive.file]) {
            tracing::warn!(
                %error,
                "stored {id}, but cannot remove its older archive; the next fetch tries again"
            );
        }
        if let Err(error) = remove(&workspace.folder) {
            tracing::warn!(
                %error,
                "stored {id}, but cannot remove its unfinished files; the next fetch tries again"
            );
        }
        Ok(model)
    }

    /// Removes an archive in any state, but not the agreement to its licence. Returns whether there
    /// was one.
    pub fn remove(&self, id: ModelId, _lock: &Lock) -> io::Result<bool> {
        remove(&self.folder(id))
    }

    /// Removes what unfinished fetches left. Returns whether there was anything.
    pub fn remove_unfinished(&self, id: ModelId, _lock: &Lock) -> io::Result<bool> {
        remove(&self.work(id))
    }

    fn work(&self, id: ModelId) -> PathBuf {
        self.root.join(WORK).join(id.to_string())
    }
}

//! The model store: a folder of archives that this program exported itself.
//!
//! ```text
//! <store>/da3-small/record.json          what the archive is, its length and its SHA-256
//! <store>/da3-small/<sha256>.pt          the archive
//! <store>/.locks/da3-small               held while something there is changed
//! ```
//!
//! Archives are code. One is loaded only if its record and it agree, and both are files that nobody
//! else could have written.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pointstream_reconstruction::model::ResolvedModel;
use sha2::{Digest, Sha256};

use super::error::ModelsError;
use super::lock::Lock;
use super::record::Record;
use super::registry::ModelId;
use super::trusted;
use crate::base_dirs::base_dir;
use crate::options::seconds;

/// The record's name in an archive's folder.
const RECORD: &str = "record.json";
/// The folder for locks; no archive is called so.
const LOCKS: &str = ".locks";
/// A record is a few hundred bytes.
const MAX_RECORD_BYTES: u64 = 64 * 1024;

/// Where the store is, and how it is shared.
#[derive(Debug, Clone, Args)]
pub struct StoreOptions {
    /// Folder of the models that were fetched. Default: $XDG_CACHE_HOME/pointstream/models or
    /// ~/.cache/pointstream/models.
    #[arg(long, env = "POINTSTREAM_MODEL_STORE", value_name = "FOLDER")]
    pub model_store: Option<PathBuf>,

    /// How many seconds to wait for another process that works on the same model.
    #[arg(long, env = "POINTSTREAM_MODEL_LOCK_TIMEOUT", value_name = "SECONDS",
          default_value = "1800", value_parser = seconds)]
    pub model_lock_timeout: Duration,
}

impl StoreOptions {
    /// The store, which need not exist yet.
    ///
    /// # Errors
    /// [`ModelsError::NoFolder`].
    pub fn store(&self) -> Result<Store, ModelsError> {
        let root = match &self.model_store {
            Some(folder) => folder.clone(),
            None => base_dir("XDG_CACHE_HOME", ".cache")
                .ok_or(ModelsError::NoFolder)?
                .join("pointstream/models"),
        };
        Ok(Store {
            root,
            patience: self.model_lock_timeout,
        })
    }
}

/// A folder of archives. All functions block on the file system.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// How long to wait for a lock.
    patience: Duration,
}

impl Store {
    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn folder(&self, id: ModelId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// What the store remembers of an archive, if it has it.
    ///
    /// # Errors
    /// [`ModelsError::Damaged`], [`ModelsError::Untrusted`] or [`ModelsError::File`].
    pub fn record(&self, id: ModelId) -> Result<Option<Record>, ModelsError> {
        let folder = self.folder(id);
        match fs::symlink_metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return Err(ModelsError::Untrusted {
                    path: folder,
                    reason: "it is no folder".to_owned(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ModelsError::file("read", &folder, error)),
        }
        let Some(json) = trusted::read(&folder.join(RECORD), MAX_RECORD_BYTES)? else {
            return Ok(None);
        };
        let record = Record::parse(&json, id).map_err(|reason| ModelsError::Damaged {
            id,
            reason: format!("its record is wrong ({reason})"),
        })?;
        Ok(Some(record))
    }

    /// Where the archive of a record is.
    pub fn path(&self, id: ModelId, record: &Record) -> PathBuf {
        self.folder(id).join(&record.archive.file)
    }

    /// Reads and checks an archive, if the store has it.
    ///
    /// # Errors
    /// [`ModelsError::Damaged`], [`ModelsError::Untrusted`], [`ModelsError::Model`] or
    /// [`ModelsError::File`].
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
        let path = self.path(id, record);
        let expected = &record.archive;
        let archive = trusted::read(&path, expected.bytes)?
            .ok_or_else(|| damaged(format!("there is no {}", path.display())))?;
        if archive.len() as u64 != expected.bytes {
            let found = archive.len();
            return Err(damaged(format!(
                "{} has {found} of {} bytes",
                path.display(),
                expected.bytes
            )));
        }
        let found = sha256(&archive);
        if found != expected.sha256 {
            return Err(damaged(format!(
                "{} has the SHA-256 {found}, recorded is {}",
                path.display(),
                expected.sha256
            )));
        }
        let model = ResolvedModel::from_bytes(archive, path.display().to_string())?;
        record.agrees(&model.metadata).map_err(damaged)?;
        Ok(model)
    }

    /// Waits until this process alone may change what the store has of an archive.
    ///
    /// # Errors
    /// [`ModelsError::Busy`] or [`ModelsError::File`].
    pub async fn lock(&self, id: ModelId, task: &str) -> Result<Lock, ModelsError> {
        let locks = self.root.join(LOCKS);
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&locks)
            .map_err(|error| ModelsError::file("create", &locks, error))?;
        Lock::acquire(&locks.join(id.to_string()), id, task, self.patience).await
    }

    /// Removes an archive with all that belongs to it, whatever state it is in; whether there was
    /// anything.
    ///
    /// # Errors
    /// [`ModelsError::File`].
    pub fn remove(&self, id: ModelId, _lock: &Lock) -> Result<bool, ModelsError> {
        let folder = self.folder(id);
        let removed = match fs::symlink_metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&folder),
            Ok(_) => fs::remove_file(&folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => Ok(true),
            Err(error) => Err(ModelsError::file("remove", &folder, error)),
        }
    }
}

/// The SHA-256 of some bytes, hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

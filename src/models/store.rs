//! The model store: a folder of archives that this program exported itself.
//!
//! ```text
//! <store>/da3-small/record.json          what the archive is, its length and its SHA-256
//! <store>/da3-small/<sha256>.pt          the archive
//! <store>/.licenses/da3-large            that the operator agreed to its licence
//! <store>/.locks/da3-small               held while something there is changed
//! <store>/.work/da3-small/               downloads and exports that are not finished
//! ```
//!
//! Archives are code. One is loaded only if its record and it agree, and both are files that nobody
//! else could have written.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pointstream_inference::ResolvedModel;
use sha2::{Digest, Sha256};

use super::error::ModelsError;
use super::files::{Workspace, create_folder, keep_only, now, persist, write};
use super::licenses;
use super::lock::Lock;
use super::record::{ArchiveFile, FORMAT, Record, Source};
use super::registry::ModelId;
use super::trusted;
use crate::base_dirs::base_dir;
use crate::options::seconds;

/// The record's name in an archive's folder.
const RECORD: &str = "record.json";
/// The folder of the licences that were agreed to; no archive is called so.
const LICENSES: &str = ".licenses";
/// The folder for locks.
const LOCKS: &str = ".locks";
/// The folder for what is not finished.
const WORK: &str = ".work";
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
            // The tools run in another folder.
            Some(folder) => std::path::absolute(folder)
                .map_err(|error| ModelsError::file("find", folder, error))?,
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

/// A folder of archives. All functions but [`Store::lock`] block on the file system.
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
        let mut archive = trusted::open(&path)?
            .ok_or_else(|| damaged(format!("there is no {}", path.display())))?;
        // Of a longer file it is enough to know that it is longer.
        let (bytes, found) = checksum(&mut archive, &path, expected.bytes.saturating_add(1))?;
        if bytes != expected.bytes {
            let (path, expected) = (path.display(), expected.bytes);
            return Err(damaged(match bytes > expected {
                true => format!("{path} is longer than {expected} bytes"),
                false => format!("{path} has {bytes} of {expected} bytes"),
            }));
        }
        if found != expected.sha256 {
            return Err(damaged(format!(
                "{} has the SHA-256 {found}, recorded is {}",
                path.display(),
                expected.sha256
            )));
        }
        let model = ResolvedModel::from_verified_file(archive, path.display().to_string())?;
        record.agrees(&model.metadata).map_err(damaged)?;
        Ok(model)
    }

    /// Waits until this process alone may change what the store has of an archive.
    ///
    /// # Errors
    /// [`ModelsError::Busy`] or [`ModelsError::File`].
    pub async fn lock(&self, id: ModelId, task: &str) -> Result<Lock, ModelsError> {
        let locks = self.root.join(LOCKS);
        create_folder(&locks, 0o755)?;
        Lock::acquire(&locks.join(id.to_string()), id, task, self.patience).await
    }

    /// Whether the operator agreed to the licence of a model, in whatever precision.
    pub fn accepted(&self, id: ModelId) -> bool {
        let remembered = licenses::accepted(&self.root.join(LICENSES), id.known);
        let remembered = remembered.unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known whether its licence was agreed to");
            false
        });
        // So does a copy of an archive that another store fetched.
        remembered
            || ModelId::all()
                .filter(|other| other.known == id.known)
                .filter_map(|other| self.record(other).ok().flatten())
                .any(|record| record.license_accepted)
    }

    /// Remembers that the operator agrees to the licence of a model.
    ///
    /// # Errors
    /// [`ModelsError::File`].
    pub fn accept(&self, id: ModelId) -> Result<(), ModelsError> {
        licenses::accept(&self.root.join(LICENSES), id.known)
    }

    /// A place for the files of a fetch, swept but for downloads that can be gone on with.
    ///
    /// # Errors
    /// [`ModelsError::File`].
    pub fn workspace(&self, id: ModelId, _lock: &Lock) -> Result<Workspace, ModelsError> {
        let workspace = Workspace {
            folder: self.work(id),
        };
        workspace.sweep()?;
        create_folder(&workspace.downloads(), 0o700)?;
        Ok(workspace)
    }

    fn work(&self, id: ModelId) -> PathBuf {
        self.root.join(WORK).join(id.to_string())
    }

    /// Checks the archive of a workspace and puts it into the store, in place of an older one.
    ///
    /// The record's renaming is the moment in which it is there; before, the store is as it was.
    ///
    /// # Errors
    /// [`ModelsError`].
    pub fn install(
        &self,
        id: ModelId,
        source: Source,
        license_accepted: bool,
        workspace: Workspace,
        _lock: &Lock,
    ) -> Result<ResolvedModel, ModelsError> {
        let made = workspace.archive();
        let wrong = |reason: String| ModelsError::Other { id, reason };
        let mut archive = trusted::open(&made)?
            .ok_or_else(|| wrong("the exporter wrote no archive".to_owned()))?;
        let (bytes, sha256) = checksum(&mut archive, &made, u64::MAX)?;
        let folder = self.folder(id);
        let file = format!("{sha256}.pt");
        let path = folder.join(&file);
        let model = ResolvedModel::from_file(archive, path.display().to_string())?;
        let record = Record {
            format: FORMAT,
            name: id.known.name.clone(),
            precision: id.precision,
            license: id.known.license.clone(),
            license_accepted,
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
        record.agrees(&model.metadata).map_err(wrong)?;
        let json = serde_json::to_vec_pretty(&record)
            .map_err(|error| ModelsError::Internal(error.to_string()))?;

        create_folder(&folder, 0o755)?;
        persist(&made, &path)?;
        let fresh = workspace.folder.join(RECORD);
        write(&fresh, &json)?;
        persist(&fresh, &folder.join(RECORD))?;
        keep_only(&folder, &[RECORD, &record.archive.file])?;
        workspace.remove();
        Ok(model)
    }

    /// Removes an archive with all that belongs to it, whatever state it is in. That its licence was
    /// agreed to stays remembered.
    ///
    /// # Errors
    /// [`ModelsError::File`].
    pub fn remove(&self, id: ModelId, _lock: &Lock) -> Result<Removed, ModelsError> {
        let work = Workspace {
            folder: self.work(id),
        };
        let begun = work.folder.is_dir();
        work.remove();
        let folder = self.folder(id);
        let removed = match fs::symlink_metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&folder),
            Ok(_) => fs::remove_file(&folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(match begun {
                    true => Removed::Unfinished,
                    false => Removed::Nothing,
                });
            }
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => Ok(Removed::Model),
            Err(error) => Err(ModelsError::file("remove", &folder, error)),
        }
    }
}

/// What there was to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// The model.
    Model,
    /// Only what is left of a fetch that did not end.
    Unfinished,
    /// Nothing.
    Nothing,
}

/// The length and the SHA-256, hexadecimal, of the first so many bytes of a file.
fn checksum(file: &mut File, path: &Path, limit: u64) -> Result<(u64, String), ModelsError> {
    let mut hasher = Sha256::new();
    let bytes = io::copy(&mut file.take(limit), &mut hasher)
        .map_err(|error| ModelsError::file("read", path, error))?;
    let digest = hasher.finalize();
    let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, hex))
}

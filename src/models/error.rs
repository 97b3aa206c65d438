//! What can go wrong with models by name.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pointstream_reconstruction::model::ModelError;
use thiserror::Error;

use super::registry::ModelId;

/// Why there is no model to run, or why the store refused.
#[derive(Debug, Error)]
pub enum ModelsError {
    /// The archive was refused.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// There is no default folder for the store.
    #[error(
        "there is no folder for models, as neither XDG_CACHE_HOME nor HOME is an absolute path; \
         choose one with --model-store"
    )]
    NoFolder,
    /// The file system refused.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that somebody else could have written.
    #[error(
        "{path} is not loaded, because {reason}; remove it, or name a file that you trust with --model PATH"
    )]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An archive or record that is not what was stored.
    #[error(
        "{id} in the model store is damaged: {reason}; `pointstream models remove {id}` removes it"
    )]
    Damaged {
        /// Which one.
        id: ModelId,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing of this name in the store.
    #[error("{id} is not in the model store {store}")]
    Missing {
        /// Which one.
        id: ModelId,
        /// Where it was looked for.
        store: PathBuf,
    },
    /// Another process works on the same archive.
    #[error(
        "{id} is in use by {holder}, also after waiting for {waited:?}; \
         --model-lock-timeout waits longer"
    )]
    Busy {
        /// Which one.
        id: ModelId,
        /// The other process, in words.
        holder: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// It could not be downloaded or exported.
    #[error(
        "cannot fetch {id}: {reason}. `pointstream models fetch {id} --from FOLDER` takes a \
         checkpoint that is there already; --model mvs needs none"
    )]
    Fetch {
        /// Which one.
        id: ModelId,
        /// What went wrong.
        reason: String,
    },
    /// It could not be downloaded, as the hub does not answer or must not be asked.
    #[error(
        "cannot fetch {id}: {reason}. `pointstream models fetch {id} --from FOLDER` takes a \
         checkpoint that is there already; --model mvs needs none"
    )]
    OutOfReach {
        /// Which one.
        id: ModelId,
        /// What it is that does not answer.
        reason: String,
    },
    /// A licence that was not agreed to.
    #[error(
        "{id} is licensed under {license}, which does not allow every use; read {url} and agree to \
         it with --accept-license",
        license = .id.known.license,
        url = .id.known.license_url()
    )]
    License {
        /// Which one.
        id: ModelId,
    },
    /// A model for GPUs on a processor.
    #[error(
        "{0} computes in half precision, which is for GPUs; on the processor use an archive in fp32"
    )]
    Precision(String),
    /// What the exporter made is not what was asked for.
    #[error("the checkpoint is not of {id}: {reason}")]
    Other {
        /// What was asked for.
        id: ModelId,
        /// What it is instead.
        reason: String,
    },
    /// A task of ours broke.
    #[error("models cannot be looked after: {0}")]
    Internal(String),
    /// Some of several archives are damaged; the report says which.
    #[error("{0} of the models in the store cannot be used")]
    SomeDamaged(usize),
}

impl ModelsError {
    /// A refusal of the file system.
    pub fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

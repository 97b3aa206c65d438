//! Errors of the choice of a model and of the store.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use pointstream_reconstruction::model::ModelError;
use thiserror::Error;

use super::registry::ModelId;
use super::tools::ToolError;

#[derive(Debug, Error)]
pub enum ModelsError {
    #[error(transparent)]
    Model(#[from] ModelError),

    /// The message names the file.
    #[error(transparent)]
    File(#[from] io::Error),

    #[error(
        "there is no folder for models, as neither XDG_CACHE_HOME nor HOME is an absolute path; \
         choose one with --model-store"
    )]
    NoFolder,

    /// A file that another user could have written.
    #[error(
        "{path} is not loaded, because {reason}; remove it, or name a file that you trust with \
         --model PATH"
    )]
    Untrusted { path: PathBuf, reason: String },

    /// An archive or record that differs from what was stored.
    #[error(
        "{id} in the model store is damaged: {reason}; `pointstream models remove {id}` removes it"
    )]
    Damaged { id: ModelId, reason: String },

    #[error("{id} is not in the model store {store}")]
    Missing { id: ModelId, store: PathBuf },

    /// Another process holds the lock.
    #[error(
        "{id} is in use by {holder}, also after waiting for {waited:?}; \
         --model-lock-timeout waits longer"
    )]
    Busy {
        id: ModelId,
        holder: String,
        waited: Duration,
    },

    #[error(
        "cannot fetch {id}: {cause}. `pointstream models fetch {id} --from FOLDER` takes a \
         checkpoint that you already have; --model mvs needs none"
    )]
    Fetch {
        id: ModelId,
        #[source]
        cause: ToolError,
    },

    /// The folder of `--from` lacks a file.
    #[error(
        "cannot fetch {id}: there is no {path}; --from takes a folder with config.json and \
         model.safetensors"
    )]
    NoCheckpoint { id: ModelId, path: PathBuf },

    #[error(
        "{0} is licensed under {license}, which does not allow every use; read {url} and agree to \
         it with --accept-license",
        license = .0.known.license,
        url = .0.known.license_url()
    )]
    License(ModelId),

    /// Half precision on a CPU; the value names the model.
    #[error("{0} computes in half precision, which needs a GPU; on the CPU use an archive in fp32")]
    Precision(String),

    /// The exporter made another model than the one asked for.
    #[error("the checkpoint is not of {id}: {reason}")]
    OtherModel { id: ModelId, reason: String },

    #[error("a background task failed: {0}")]
    Task(#[from] tokio::task::JoinError),

    /// The output of `verify` says which ones.
    #[error("{0} of the models in the store cannot be used")]
    SomeDamaged(usize),
}

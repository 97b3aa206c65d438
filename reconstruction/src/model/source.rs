//! Which archive to run.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use super::{Device, LoadModel, Metadata, Model, ModelError, TorchScriptModel};

/// The embedded default: multi-view stereo without learned weights, built by `weights/mvs`.
static MVS: &[u8] = include_bytes!("../../../weights/mvs/mvs.pt");

/// What the operator asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// The best archive at hand.
    Auto,
    /// The embedded multi-view stereo.
    Mvs,
    /// An archive of the operator's.
    Path(PathBuf),
}

/// A model source that is no word and no path.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the model is empty; use auto, mvs or the path of a TorchScript archive (.pt)")]
pub struct SourceError;

impl FromStr for ModelSource {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err(SourceError),
            "auto" => Ok(Self::Auto),
            "mvs" => Ok(Self::Mvs),
            path => Ok(Self::Path(path.into())),
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Mvs => formatter.write_str("mvs"),
            Self::Path(path) => path.display().fmt(formatter),
        }
    }
}

/// An archive whose metadata and digest have been checked, ready to be loaded.
#[derive(Debug)]
pub struct ResolvedModel {
    /// What the archive says about itself.
    pub metadata: Metadata,
    /// Its path, or its name if it is embedded; for messages.
    pub path: String,
    /// The archive.
    pub(super) archive: Cow<'static, [u8]>,
}

impl LoadModel for ResolvedModel {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn load(&self, device: Device) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(TorchScriptModel::load(self, device)?))
    }
}

impl ModelSource {
    /// Reads the archive and checks it without running any of its code.
    ///
    /// Blocks on the file system.
    ///
    /// # Errors
    /// [`ModelError::Read`] or [`ModelError::Archive`].
    pub fn resolve(&self) -> Result<ResolvedModel, ModelError> {
        let (path, archive) = match self {
            Self::Auto | Self::Mvs => ("the embedded mvs".to_owned(), Cow::Borrowed(MVS)),
            Self::Path(path) => {
                let name = path.display().to_string();
                let archive = std::fs::read(path).map_err(|source| ModelError::Read {
                    path: name.clone(),
                    source,
                })?;
                (name, Cow::Owned(archive))
            }
        };
        Ok(ResolvedModel {
            metadata: Metadata::read(&archive, &path)?,
            path,
            archive,
        })
    }
}

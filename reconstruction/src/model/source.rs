//! Archives that have been read and checked.

use std::borrow::Cow;
use std::path::Path;

use super::{Device, LoadModel, Metadata, Model, ModelError, TorchScriptModel};

/// The embedded default: multi-view stereo without learned weights, built by `weights/mvs`.
static MVS: &[u8] = include_bytes!("../../../weights/mvs/mvs.pt");

/// An archive whose metadata and digest have been checked, ready to be loaded.
///
/// None of its code has run yet.
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

    fn load(&self, device: Device, frames_per_call: usize) -> Result<Box<dyn Model>, ModelError> {
        let model = TorchScriptModel::load(self, device, frames_per_call)?;
        Ok(Box::new(model))
    }
}

impl ResolvedModel {
    /// The embedded multi-view stereo.
    ///
    /// # Errors
    /// [`ModelError::Archive`] if the program was built with a broken archive.
    pub fn embedded() -> Result<Self, ModelError> {
        Self::check(Cow::Borrowed(MVS), "the embedded mvs".to_owned())
    }

    /// An archive from the file system. Blocks on it.
    ///
    /// # Errors
    /// [`ModelError::Read`] or [`ModelError::Archive`].
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(archive) => Self::from_bytes(archive, name),
            Err(source) => Err(ModelError::Read { path: name, source }),
        }
    }

    /// An archive that was read before; `path` names it in messages.
    ///
    /// # Errors
    /// [`ModelError::Archive`].
    pub fn from_bytes(archive: Vec<u8>, path: String) -> Result<Self, ModelError> {
        Self::check(Cow::Owned(archive), path)
    }

    fn check(archive: Cow<'static, [u8]>, path: String) -> Result<Self, ModelError> {
        Ok(Self {
            metadata: Metadata::read(&archive, &path)?,
            path,
            archive,
        })
    }
}

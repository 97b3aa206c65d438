//! The licences that the operator agreed to.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::ModelsError;
use super::files::{create_folder, now, persist};
use super::registry::KnownModel;
use super::trusted;

/// An agreement is a hundred bytes.
const MAX_BYTES: u64 = 4096;

/// That the operator agreed to a licence: a file that is called as the model.
#[derive(Serialize, Deserialize)]
struct Agreement {
    /// SPDX identifier of the licence.
    license: String,
    /// When, by RFC 3339.
    accepted_at: String,
}

/// Whether the operator agreed to the licence of a model; not to another that it had before.
///
/// # Errors
/// [`ModelsError::Untrusted`] or [`ModelsError::File`].
pub fn accepted(folder: &Path, known: &KnownModel) -> Result<bool, ModelsError> {
    let path = folder.join(&known.name);
    let Some(json) = trusted::read(&path, MAX_BYTES)? else {
        return Ok(false);
    };
    let agreement: Agreement =
        serde_json::from_slice(&json).map_err(|error| ModelsError::Untrusted {
            path,
            reason: format!("it is no agreement to a licence ({error})"),
        })?;
    Ok(agreement.license == known.license)
}

/// Remembers that the operator agrees to the licence of a model.
///
/// # Errors
/// [`ModelsError::File`].
pub fn accept(folder: &Path, known: &KnownModel) -> Result<(), ModelsError> {
    let path = folder.join(&known.name);
    let agreement = Agreement {
        license: known.license.clone(),
        accepted_at: now(),
    };
    let json = serde_json::to_vec_pretty(&agreement)
        .map_err(|error| ModelsError::Internal(error.to_string()))?;
    create_folder(folder, 0o755)?;
    // Two processes may do this at once, each with a file of its own.
    let fail = |error| ModelsError::file("write", &path, error);
    let fresh = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(fail)?;
    fs::write(fresh.path(), json).map_err(fail)?;
    persist(fresh.path(), &path)
}

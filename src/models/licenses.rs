//! The licences that the operator agreed to: one file for each model.

use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::error::ModelsError;
use super::files::{create_folder, now, read_json, write_json};
use super::registry::KnownModel;

#[derive(Serialize, Deserialize)]
struct Agreement {
    /// SPDX identifier of the licence.
    license: String,
    #[serde(with = "time::serde::rfc3339")]
    accepted_at: OffsetDateTime,
}

/// Whether the operator agreed to the licence that the model has now.
pub fn accepted(folder: &Path, known: &KnownModel) -> Result<bool, ModelsError> {
    let path = folder.join(&known.name);
    let Some(json) = read_json(&path)? else {
        return Ok(false);
    };
    match serde_json::from_slice::<Agreement>(&json) {
        Ok(agreement) => Ok(agreement.license == known.license),
        Err(error) => Err(ModelsError::Untrusted {
            path,
            reason: format!("it is not an agreement to a licence ({error})"),
        }),
    }
}

/// Remembers that the operator agrees to the licence of a model.
pub fn accept(folder: &Path, known: &KnownModel) -> Result<(), ModelsError> {
    let agreement = Agreement {
        license: known.license.clone(),
        accepted_at: now(),
    };
    create_folder(folder, 0o755)?;
    Ok(write_json(&folder.join(&known.name), &agreement, folder)?)
}

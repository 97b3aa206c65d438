//! The store's record of an archive: `record.json`.

use pointstream_reconstruction::model::{Metadata, Precision};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::registry::ModelId;

/// The layout of records that this program writes and reads.
pub const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this layout.
    pub format: u32,
    /// Name of the model, without its precision.
    pub name: String,
    pub precision: Precision,
    /// SPDX identifier of the checkpoint's licence.
    pub license: String,
    pub source: Source,
    /// Version of the exporter, which is that of the model.
    pub exporter: String,
    pub archive: ArchiveFile,
    #[serde(with = "time::serde::rfc3339")]
    pub stored_at: OffsetDateTime,
}

/// Where a checkpoint came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Repository on the hub; none if it came from a folder.
    pub repository: Option<String>,
    /// Commit of the repository.
    pub revision: Option<String>,
    /// Folder that the operator named.
    pub folder: Option<String>,
    /// `sha256:` and the hexadecimal digest of the checkpoint's file of weights.
    pub digest: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFile {
    /// Name in the record's folder.
    pub file: String,
    /// Length.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl Record {
    /// Reads a record of this archive. The error states why it is invalid.
    pub fn parse(json: &[u8], id: ModelId) -> Result<Self, String> {
        let value: serde_json::Value =
            serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if value["format"] != FORMAT {
            return Err(format!(
                "it has the layout {}, expected {FORMAT}",
                value["format"]
            ));
        }
        let record: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if (&record.name, record.precision) != (&id.known.name, id.precision) {
            return Err(format!("it is of {} in {}", record.name, record.precision));
        }
        // A record must not name a file outside its folder.
        let file = &record.archive.file;
        if file.is_empty() || file.starts_with('.') || file.contains('/') {
            return Err(format!("{file:?} is no name of an archive"));
        }
        Ok(record)
    }

    /// Compares the record with what the archive says about itself. The error is the first
    /// difference.
    pub fn agrees(&self, metadata: &Metadata) -> Result<(), String> {
        for (what, recorded, found) in [
            ("model", &*self.name, &*metadata.name),
            ("licence", &self.license, &metadata.license),
            ("version", &self.exporter, &metadata.version),
            (
                "precision",
                self.precision.into(),
                metadata.precision.into(),
            ),
        ] {
            if recorded != found {
                return Err(format!("its {what} is {found:?}, recorded is {recorded:?}"));
            }
        }
        Ok(())
    }

    /// Where the checkpoint came from, for `pointstream models list`.
    pub fn origin(&self) -> String {
        let source = &self.source;
        let place = source.repository.as_ref().or(source.folder.as_ref());
        let place = place.map_or("unknown", String::as_str);
        match &source.revision {
            Some(commit) => format!("{place}@{}", commit.get(..12).unwrap_or(commit)),
            None => place.to_owned(),
        }
    }
}

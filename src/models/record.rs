//! What the store remembers of an archive.

use pointstream_reconstruction::model::{Metadata, Precision};
use serde::{Deserialize, Serialize};

use super::registry::ModelId;

/// The layout of records that this program writes and reads.
pub const FORMAT: u32 = 1;

/// What the store remembers of an archive: `record.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this layout.
    pub format: u32,
    /// Name of the model.
    pub name: String,
    /// Number format of its computation.
    pub precision: Precision,
    /// SPDX identifier of the checkpoint's licence.
    pub license: String,
    /// Whether the operator agreed to that licence.
    pub license_accepted: bool,
    /// Where the checkpoint came from.
    pub source: Source,
    /// Version of the exporter, and so of the model.
    pub exporter: String,
    /// The archive beside the record.
    pub archive: ArchiveFile,
    /// When it came into the store, by RFC 3339.
    pub stored_at: String,
}

/// Where a checkpoint came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The repository on the hub; none if it came from a folder.
    pub repository: Option<String>,
    /// The commit of the repository.
    pub revision: Option<String>,
    /// The folder of the operator's.
    pub folder: Option<String>,
    /// `sha256:` and the hexadecimal digest of the checkpoint's file of weights.
    pub digest: Option<String>,
}

/// The archive's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFile {
    /// Its name in the record's folder.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

impl Record {
    /// Reads a record of this archive.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(json: &[u8], id: ModelId) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let found: Format = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if found.format != FORMAT {
            return Err(format!(
                "it has the layout {}, expected {FORMAT}",
                found.format
            ));
        }
        let record: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if (record.name.as_str(), record.precision) != (id.known.name.as_str(), id.precision) {
            return Err(format!(
                "it is of {} in {:?}",
                record.name, record.precision
            ));
        }
        // A record never points out of its folder.
        let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains('/');
        if !plain(&record.archive.file) {
            return Err(format!(
                "{:?} is no name of an archive",
                record.archive.file
            ));
        }
        Ok(record)
    }

    /// Compares what the record and the archive say of the same.
    ///
    /// # Errors
    /// The first difference.
    pub fn agrees(&self, metadata: &Metadata) -> Result<(), String> {
        for (what, recorded, found) in [
            ("model", &self.name, &metadata.name),
            ("licence", &self.license, &metadata.license),
            ("version", &self.exporter, &metadata.version),
        ] {
            if recorded != found {
                return Err(format!("its {what} is {found:?}, recorded is {recorded:?}"));
            }
        }
        if self.precision != metadata.precision {
            let (found, recorded) = (metadata.precision, self.precision);
            return Err(format!(
                "its precision is {found:?}, recorded is {recorded:?}"
            ));
        }
        Ok(())
    }

    /// Where the checkpoint came from, in a few words.
    pub fn origin(&self) -> String {
        match (
            &self.source.repository,
            &self.source.revision,
            &self.source.folder,
        ) {
            (Some(repository), Some(revision), _) => {
                format!("{repository}@{}", revision.get(..12).unwrap_or(revision))
            }
            (Some(repository), None, _) => repository.clone(),
            (None, _, Some(folder)) => folder.clone(),
            (None, _, None) => "unknown".to_owned(),
        }
    }
}

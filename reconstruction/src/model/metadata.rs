//! Metadata of a model archive: `extra/pointstream.json` in the zip file.

use std::io::{Read, Seek};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strum::{Display, IntoStaticStr, VariantArray};
use utoipa::ToSchema;
use zip::ZipArchive;

use super::error::ModelError;
use super::memory::Memory;

/// The version of the contract between archive and service that this service implements.
pub const CONTRACT_VERSION: u32 = 1;

/// Name of the metadata's entry below the archive's top folder.
const ENTRY: &str = "extra/pointstream.json";
/// Longest metadata that are read. Exported ones have a few hundred bytes.
const MAX_METADATA_BYTES: u64 = 64 * 1024;

/// Unit of length of a model's predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Arbitrary, and different in each prediction.
    Relative,
    /// Metres.
    Metric,
}

/// Number format of a model's computation.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Display,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Fp32,
    /// 16-bit floats.
    Fp16,
    /// bfloat16.
    Bf16,
}

/// How the model normalises pixel values in 0..1: it subtracts the mean and divides by the standard
/// deviation, each for red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Normalisation {
    /// Mean of red, green and blue.
    pub mean: [f64; 3],
    /// Standard deviation of red, green and blue.
    pub deviation: [f64; 3],
}

/// Metadata of a model archive (see `weights/README.md`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Metadata {
    /// Version of the contract between archive and service.
    pub contract_version: u32,
    /// Name of the model, for example `mvs`.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// SPDX identifier of its licence.
    pub license: String,
    /// Both sides of a frame are multiples of it, in pixels.
    pub patch_size: u32,
    /// Longest side of the frames that gives the best results, in pixels.
    pub default_process_res: u32,
    /// Longest side that it accepts, in pixels.
    pub max_process_res: u32,
    /// Unit of length of its predictions.
    pub scale: Scale,
    /// Number format of its computation.
    pub precision: Precision,
    /// Number format of the heads that compute dense maps, if it differs.
    #[serde(default)]
    pub head_precision: Precision,
    /// Whether the archive has the entry point `fuse`.
    pub fuse: bool,
    /// Whether the archive has the entry point `align`, which goes with `fuse`.
    #[serde(default)]
    pub align: bool,
    /// Whether the archive has the entry point `relate_posed`.
    #[serde(default)]
    pub poses: bool,
    /// Whether the archive has the entry point `report`.
    #[serde(default)]
    pub report: bool,
    /// Whether cameras have radial distortion: rows of 24 numbers.
    #[serde(default)]
    pub distortion: bool,
    /// Whether the archive has the entry point `relate_hinted`.
    #[serde(default)]
    pub hints: bool,
    /// Whether the archive has the entry point `relate_extended`.
    #[serde(default)]
    pub extend: bool,
    /// Whether the archive has the entry point `describe`.
    #[serde(default)]
    pub describe: bool,
    /// Whether the archive has the entry points `links` and `adjust`, which go with
    /// `relate_extended`.
    #[serde(default)]
    pub adjust: bool,
    /// Whether the archive has the entry point `watch`: its calls can be ended from outside.
    #[serde(default)]
    pub watch: bool,
    /// How the model normalises pixels, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<Normalisation>,
    /// `sha256:` and the hexadecimal digest of the file of weights that the archive was exported
    /// from, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<String>,
    /// Memory that predictions need, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// `sha256:` and the hexadecimal digest of the archive's content.
    pub digest: String,
}

impl Metadata {
    /// Reads the metadata of an archive without running any of its code. Does not compare the
    /// content with the digest: see [`Metadata::verify`]. `path` names the archive in errors.
    ///
    /// # Errors
    /// [`ModelError::Archive`] if the metadata are missing or invalid, or of another contract.
    pub fn read(archive: impl Read + Seek, path: &str) -> Result<Self, ModelError> {
        Self::parse(archive).map_err(|reason| refused(path, reason))
    }

    fn parse(archive: impl Read + Seek) -> Result<Self, String> {
        let mut entries = Entries::list(archive)?;
        let json = entries
            .read(ENTRY, MAX_METADATA_BYTES)?
            .ok_or_else(|| format!("it has no {ENTRY}; export it with the scripts in weights/"))?;
        let version = contract_version(&json)?;
        if version != CONTRACT_VERSION {
            return Err(format!(
                "it follows version {version} of the contract, this service version \
                 {CONTRACT_VERSION}; export it again"
            ));
        }
        let metadata: Self = serde_json::from_slice(&json)
            .map_err(|error| format!("its {ENTRY} is wrong ({error})"))?;
        metadata.check()?;
        Ok(metadata)
    }

    /// Reads the whole archive and compares its content with the digest.
    ///
    /// # Errors
    /// [`ModelError::Archive`] if the digest differs or the archive cannot be read.
    pub fn verify(&self, archive: impl Read + Seek, path: &str) -> Result<(), ModelError> {
        let digest = Entries::list(archive)
            .and_then(|mut entries| entries.digest())
            .map_err(|reason| refused(path, reason))?;
        if digest == self.digest {
            return Ok(());
        }
        Err(refused(
            path,
            format!(
                "its content was changed after the export (digest {digest}, but it says {})",
                self.digest
            ),
        ))
    }

    fn check(&self) -> Result<(), String> {
        if !(1..=256).contains(&self.patch_size) {
            return Err(format!("patch_size {} is not in 1..256", self.patch_size));
        }
        if self.max_process_res < self.patch_size {
            return Err(format!(
                "max_process_res {} is smaller than the patch size {}",
                self.max_process_res, self.patch_size
            ));
        }
        if !(self.patch_size..=self.max_process_res).contains(&self.default_process_res) {
            return Err(format!(
                "default_process_res {} is not in {}..{}",
                self.default_process_res, self.patch_size, self.max_process_res
            ));
        }
        if !self.memory.unwrap_or_default().is_valid() {
            return Err("its memory has numbers that are negative or not finite".to_owned());
        }
        if self.align && !self.fuse {
            return Err("it has align without fuse".to_owned());
        }
        Ok(())
    }
}

/// Reads the version alone: the other fields of another contract may not parse.
fn contract_version(json: &[u8]) -> Result<u32, String> {
    #[derive(Deserialize)]
    struct Version {
        contract_version: u32,
    }
    serde_json::from_slice::<Version>(json)
        .map(|version| version.contract_version)
        .map_err(|error| format!("its {ENTRY} is wrong ({error})"))
}

fn refused(path: &str, reason: String) -> ModelError {
    ModelError::Archive {
        path: path.to_owned(),
        reason,
    }
}

/// The entries of an archive: name below the top folder and index, sorted by name.
struct Entries<R> {
    zip: ZipArchive<R>,
    names: Vec<(String, usize)>,
}

impl<R: Read + Seek> Entries<R> {
    fn list(archive: R) -> Result<Self, String> {
        let zip = ZipArchive::new(archive)
            .map_err(|error| format!("it is not a TorchScript archive ({error})"))?;
        let mut names: Vec<_> = (0..zip.len())
            .filter_map(|index| {
                let (_, name) = zip.name_for_index(index)?.split_once('/')?;
                (!name.is_empty()).then(|| (name.to_owned(), index))
            })
            .collect();
        names.sort();
        Ok(Self { zip, names })
    }

    fn read(&mut self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, String> {
        let Some((_, index)) = self.names.iter().find(|(entry, _)| entry == name) else {
            return Ok(None);
        };
        let entry = self
            .zip
            .by_index(*index)
            .map_err(|error| error.to_string())?;
        let mut content = Vec::new();
        entry
            .take(limit + 1)
            .read_to_end(&mut content)
            .map_err(|error| format!("its {name} cannot be read ({error})"))?;
        if content.len() as u64 > limit {
            return Err(format!("its {name} is longer than {limit} bytes"));
        }
        Ok(Some(content))
    }

    fn digest(&mut self) -> Result<String, String> {
        let mut hasher = Sha256::new();
        for (name, index) in &self.names {
            if is_not_digested(name) {
                continue;
            }
            let mut entry = self
                .zip
                .by_index(*index)
                .map_err(|error| error.to_string())?;
            hasher.update(name.as_bytes());
            hasher.update([0]);
            hasher.update(entry.size().to_le_bytes());
            std::io::copy(&mut entry, &mut hasher)
                .map_err(|error| format!("its {name} cannot be read ({error})"))?;
        }
        let digest = hasher.finalize();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("sha256:{hex}"))
    }
}

fn is_not_digested(name: &str) -> bool {
    name.starts_with("extra/") || name.ends_with(".debug_pkl") || name == ".data/serialization_id"
}

//! The models that can be fetched by name.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use pointstream_reconstruction::model::Precision;
use serde::Deserialize;

/// One model with an official checkpoint; the exporter in `weights/da3` reads the same file.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownModel {
    /// Its name here and in the checkpoint's `config.json`.
    pub name: String,
    /// The official repository on the hub.
    pub repository: String,
    /// SPDX identifier of the checkpoint's licence.
    pub license: String,
    /// Whether the licence restricts the use so much that the operator has to agree to it first.
    pub needs_acceptance: bool,
    /// Whether `auto` may take it: it reconstructs scenes from photos alone.
    pub automatic: bool,
}

impl KnownModel {
    /// Where the licence can be read.
    pub fn license_url(&self) -> String {
        format!("https://spdx.org/licenses/{}.html", self.license)
    }
}

/// Every model, the best first.
static KNOWN: LazyLock<Vec<KnownModel>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../weights/da3/registry.json"))
        .expect("the registry is part of the program, and tested")
});

/// Every model, the best first.
pub fn known() -> &'static [KnownModel] {
    &KNOWN
}

/// One archive of the store: a model in one precision, written `da3-small` or `da3-small-fp16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelId {
    /// The model.
    pub known: &'static KnownModel,
    /// Number format of its computation.
    pub precision: Precision,
}

/// Half precisions and how they are written behind a name.
const SUFFIXES: [(&str, Precision); 2] = [("-fp16", Precision::Fp16), ("-bf16", Precision::Bf16)];

impl ModelId {
    /// Every archive that there can be, the best model first.
    pub fn all() -> impl Iterator<Item = Self> {
        let precisions = [Precision::Fp32, Precision::Fp16, Precision::Bf16];
        known()
            .iter()
            .flat_map(move |known| precisions.map(|precision| Self { known, precision }))
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = SUFFIXES
            .iter()
            .find(|(_, precision)| *precision == self.precision)
            .map_or("", |(suffix, _)| suffix);
        write!(formatter, "{}{suffix}", self.known.name)
    }
}

/// A name that is none of the registry's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no model {0:?}; use one of {names}, with -fp16 or -bf16 behind it for GPUs",
    names = names()
)]
pub struct UnknownModel(pub String);

impl FromStr for ModelId {
    type Err = UnknownModel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::all()
            .find(|id| id.to_string() == text)
            .ok_or_else(|| UnknownModel(text.to_owned()))
    }
}

/// The names of all models, for messages.
pub fn names() -> String {
    let names: Vec<&str> = known().iter().map(|known| known.name.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        assert!(known().len() > 1);
        for known in known() {
            assert!(known.name.starts_with("da3"), "{known:?}");
            assert!(known.repository.contains('/'), "{known:?}");
            let restricted = known.license.contains("-NC-");
            assert_eq!(known.needs_acceptance, restricted, "{known:?}");
        }
    }

    #[test]
    fn names_say_the_precision() {
        let id: ModelId = "da3-small".parse().expect("known");
        assert_eq!(id.precision, Precision::Fp32);
        let id: ModelId = "da3-small-fp16".parse().expect("known");
        assert_eq!(
            (id.known.name.as_str(), id.precision),
            ("da3-small", Precision::Fp16)
        );
        assert_eq!(id.to_string(), "da3-small-fp16");
        let error = "da3-tiny".parse::<ModelId>().expect_err("unknown");
        assert!(error.to_string().contains("da3-small"), "{error}");
    }
}

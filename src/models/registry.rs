//! The models that can be fetched by name.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use pointstream_reconstruction::model::Precision;
use serde::Deserialize;
use strum::VariantArray;

/// A model with an official checkpoint, as `weights/da3/registry.json` describes it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownModel {
    /// Name here and in the checkpoint's `config.json`.
    pub name: String,
    /// Official repository on the hub.
    pub repository: String,
    /// SPDX identifier of the checkpoint's licence.
    pub license: String,
    /// Whether the licence restricts the use, so that the operator has to agree to it first.
    pub needs_acceptance: bool,
    /// Whether `--model auto` may take it: it reconstructs scenes from photos alone.
    pub automatic: bool,
}

impl KnownModel {
    pub fn license_url(&self) -> String {
        format!("https://spdx.org/licenses/{}.html", self.license)
    }
}

static KNOWN: LazyLock<Vec<KnownModel>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../weights/da3/registry.json"))
        .expect("the registry is part of the program, and tested")
});

/// Every model, the best first.
pub fn known() -> &'static [KnownModel] {
    &KNOWN
}

/// A model in one precision, which is one archive: `da3-small` or `da3-small-fp16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelId {
    pub known: &'static KnownModel,
    /// Number format in which the backbone computes.
    pub precision: Precision,
}

impl ModelId {
    /// Every possible archive, the best model first.
    pub fn all() -> impl Iterator<Item = Self> {
        known().iter().flat_map(|known| {
            let precisions = Precision::VARIANTS.iter().copied();
            precisions.map(move |precision| Self { known, precision })
        })
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.known.name)?;
        match self.precision {
            Precision::Fp32 => Ok(()),
            half => write!(formatter, "-{half}"),
        }
    }
}

/// A name that the registry does not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no model {0:?}; use one of {names}, with -fp16 or -bf16 behind it for GPUs",
    names = names()
)]
pub struct UnknownModel(String);

fn names() -> String {
    let names: Vec<&str> = known().iter().map(|known| known.name.as_str()).collect();
    names.join(", ")
}

impl FromStr for ModelId {
    type Err = UnknownModel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::all()
            .find(|id| id.to_string() == text)
            .ok_or_else(|| UnknownModel(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_commercial_licences_need_acceptance() {
        assert!(known().len() > 1);
        for known in known() {
            assert!(known.name.starts_with("da3"), "{known:?}");
            assert!(known.repository.contains('/'), "{known:?}");
            let restricted = known.license.contains("-NC-");
            assert_eq!(known.needs_acceptance, restricted, "{known:?}");
        }
    }

    #[test]
    fn names_end_in_the_precision() {
        for (name, precision) in [
            ("da3-small", Precision::Fp32),
            ("da3-small-fp16", Precision::Fp16),
        ] {
            let id: ModelId = name.parse().expect("known");
            assert_eq!(
                (id.known.name.as_str(), id.precision),
                ("da3-small", precision)
            );
            assert_eq!(id.to_string(), name);
        }
        let error = "da3-tiny".parse::<ModelId>().expect_err("unknown");
        assert!(error.to_string().contains("da3-small"), "{error}");
    }
}

//! What the operator asked for.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use pointstream_inference::ResolvedModel;
use pointstream_reconstruction::model::{Device, Precision};
use thiserror::Error;

use super::error::ModelsError;
use super::registry::{ModelId, UnknownModel, known};
use super::store::Store;

/// What the operator asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelChoice {
    /// The best archive in the store, else the embedded one.
    Auto,
    /// The embedded multi-view stereo.
    Mvs,
    /// An archive of the store.
    Named(ModelId),
    /// An archive of the operator's.
    Path(PathBuf),
}

/// What runs in place of a model of the hub's while that is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModelFallback {
    /// The embedded multi-view stereo.
    Mvs,
    /// Nothing: the start is refused.
    Never,
}

/// A choice that is no word, no name and no path.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ChoiceError {
    /// Nothing at all.
    #[error(
        "the model is empty; use auto, mvs, the name of a model or the path of a TorchScript \
         archive (.pt)"
    )]
    Empty,
    /// Neither a name nor clearly a path.
    #[error("{0}; or auto, mvs or the path of an archive, which has a / or a . in it")]
    Unknown(#[from] UnknownModel),
}

impl FromStr for ModelChoice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err(ChoiceError::Empty),
            "auto" => Ok(Self::Auto),
            "mvs" => Ok(Self::Mvs),
            path if path.contains(['/', '.']) => Ok(Self::Path(path.into())),
            name => Ok(Self::Named(name.parse()?)),
        }
    }
}

impl fmt::Display for ModelChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Mvs => formatter.write_str("mvs"),
            Self::Named(id) => id.fmt(formatter),
            Self::Path(path) => path.display().fmt(formatter),
        }
    }
}

/// The best archive in the store that runs on these devices, else the embedded one.
///
/// An archive that is damaged is passed over with a warning. Blocks on the file system.
pub(super) fn best(
    store: Option<&Store>,
    devices: &[Device],
) -> Result<ResolvedModel, ModelsError> {
    for id in candidates(!devices.contains(&Device::Cpu)) {
        match store.map_or(Ok(None), |store| store.load(id)) {
            Ok(Some(model)) => {
                tracing::info!(model = %id, "the best model in the store");
                return Ok(model);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a model in the store is passed over"),
        }
    }
    tracing::info!(
        "the embedded model mvs runs; `pointstream models fetch da3-small` or --model da3-small \
         gets Depth Anything 3"
    );
    Ok(ResolvedModel::embedded()?)
}

/// What `auto` may take, the best first: larger networks, and of one network half precision, which
/// is for GPUs only.
fn candidates(on_gpus: bool) -> Vec<ModelId> {
    let automatic = known().iter().filter(|known| known.automatic);
    let precisions: &[Precision] = match on_gpus {
        true => &[Precision::Fp16, Precision::Bf16, Precision::Fp32],
        false => &[Precision::Fp32],
    };
    automatic
        .flat_map(|known| {
            let of = |&precision| ModelId { known, precision };
            precisions.iter().map(of)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_networks_are_better_and_half_precision_is_for_gpus() {
        let names = |on_gpus| -> Vec<String> {
            let ids = candidates(on_gpus);
            ids.iter().map(ModelId::to_string).collect()
        };
        assert_eq!(
            names(false),
            [
                "da3nested-giant-large",
                "da3-giant",
                "da3-large",
                "da3-base",
                "da3-small"
            ]
        );
        let on_gpus = names(true);
        assert_eq!(on_gpus.len(), 15);
        assert_eq!(
            on_gpus[12..],
            ["da3-small-fp16", "da3-small-bf16", "da3-small"]
        );
    }

    #[test]
    fn words_names_and_paths() {
        let parse = |text: &str| text.parse::<ModelChoice>();
        assert_eq!(parse("auto"), Ok(ModelChoice::Auto));
        assert_eq!(parse("mvs"), Ok(ModelChoice::Mvs));
        assert!(matches!(parse("da3-small"), Ok(ModelChoice::Named(_))));
        assert!(matches!(parse("da3-large-bf16"), Ok(ModelChoice::Named(_))));
        for path in ["model.pt", "./da3-small", "/models/mine", "folder/mvs"] {
            assert_eq!(parse(path), Ok(ModelChoice::Path(path.into())));
        }
        for wrong in ["", "da3-smal", "DA3-SMALL", "mine"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

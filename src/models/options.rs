//! The options that choose a model, its store and how it is fetched.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use pointstream_reconstruction::model::DeviceChoice;
use thiserror::Error;

use super::registry::{ModelId, UnknownModel};
use crate::values::seconds;

/// Which model runs, and where.
#[derive(Debug, Clone, Args)]
pub struct ModelOptions {
    /// The model: auto (the best one in the store, else mvs), mvs (embedded), a name that
    /// `pointstream models list` shows, which is fetched if the store does not have it, or the path
    /// of a TorchScript archive.
    #[arg(long, env = "POINTSTREAM_MODEL", default_value = "auto")]
    pub model: ModelChoice,

    /// What runs instead of a named model that is not in the store while the hub cannot be reached
    /// or --offline forbids it.
    #[arg(long, env = "POINTSTREAM_MODEL_FALLBACK", default_value = "mvs")]
    pub model_fallback: ModelFallback,

    /// Where the model runs: auto (every GPU, else the CPU), cpu, cuda, or a list such as
    /// cuda:0,cuda:1.
    #[arg(long, env = "POINTSTREAM_DEVICE", default_value = "auto")]
    pub device: DeviceChoice,

    #[command(flatten)]
    pub store: StoreOptions,

    #[command(flatten)]
    pub fetch: FetchOptions,
}

/// The value of `--model`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelChoice {
    /// The best archive in the store, else the embedded one.
    Auto,
    /// The embedded multi-view stereo.
    Mvs,
    /// An archive of the store.
    Named(ModelId),
    /// An archive outside the store.
    Path(PathBuf),
}

/// The value of `--model-fallback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModelFallback {
    /// The embedded multi-view stereo.
    Mvs,
    /// Nothing: the program refuses to start.
    Never,
}

/// Where the store is, and how it is shared.
#[derive(Debug, Clone, Args)]
pub struct StoreOptions {
    /// Folder of the fetched models. Default: $XDG_CACHE_HOME/pointstream/models or
    /// ~/.cache/pointstream/models.
    #[arg(long, env = "POINTSTREAM_MODEL_STORE", value_name = "FOLDER")]
    pub model_store: Option<PathBuf>,

    /// How many seconds to wait for another process that works on the same model.
    #[arg(long, env = "POINTSTREAM_MODEL_LOCK_TIMEOUT", value_name = "SECONDS",
          default_value = "1800", value_parser = seconds)]
    pub model_lock_timeout: Duration,
}

/// How models are fetched.
#[derive(Debug, Clone, Args)]
pub struct FetchOptions {
    /// Agree to the licence of a model that restricts its use. The store remembers it.
    #[arg(long, env = "POINTSTREAM_ACCEPT_LICENSE", value_parser = BoolishValueParser::new())]
    pub accept_license: bool,

    /// Never use the network. HF_HUB_OFFLINE does the same.
    #[arg(long, env = "POINTSTREAM_OFFLINE", value_parser = BoolishValueParser::new())]
    pub offline: bool,

    /// Python with the tools that download and export checkpoints. Default: .venv/bin/python of the
    /// checkout that contains the program.
    #[arg(long, env = "POINTSTREAM_PYTHON", value_name = "PROGRAM")]
    pub python: Option<PathBuf>,
}

/// A value of `--model` that is not a keyword, name or path.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}; or auto, mvs or the path of an archive, which has a / or a . in it")]
pub struct UnknownChoice(#[from] UnknownModel);

impl FromStr for ModelChoice {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "mvs" => Ok(Self::Mvs),
            path if path.contains(['/', '.']) => Ok(Self::Path(path.into())),
            name => Ok(Self::Named(name.parse()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_keywords_names_or_paths() {
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

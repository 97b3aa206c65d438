//! The command line: the server by default, or one of its subcommands.

use clap::{Args, Parser, Subcommand};
use pointstream_reconstruction::model::DeviceChoice;

use crate::logging::{LogFormat, LogLevel};
use crate::models::{FetchOptions, ModelChoice, ModelFallback, ModelsCommand, StoreOptions};
use crate::options::Options;
use crate::reconstruct::ReconstructOptions;

/// Turns a live stream of photos into a 3D point cloud.
///
/// Without a subcommand it serves the protocol of docs/protocol.md. Each option can also be given
/// as the environment variable behind it.
#[derive(Debug, Parser)]
#[command(
    name = "pointstream",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    pub serve: Options,
}

/// What the program does beside serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes a point cloud of photos or a video, without a server.
    #[command(mut_arg("log_level", |option| option.default_value("WARNING")))]
    Reconstruct(ReconstructOptions),
    /// Lists, fetches, verifies and removes the models in the store.
    Models(ModelsOptions),
}

/// The options of `pointstream models`.
#[derive(Debug, Args)]
pub struct ModelsOptions {
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// Which model runs, and where.
#[derive(Debug, Clone, Args)]
pub struct ModelOptions {
    /// The model: auto (the best one in the store, else mvs), mvs (embedded), a name that
    /// `pointstream models list` shows, which is fetched if need be, or the path of a TorchScript
    /// archive.
    #[arg(long, env = "POINTSTREAM_MODEL", default_value = "auto")]
    pub model: ModelChoice,

    /// What runs instead of a named model that is not in the store, while the hub cannot be reached
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

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub struct LogOptions {
    /// What is logged: ERROR, WARNING, INFO, DEBUG, TRACE, or a filter such as
    /// info,pointstream_actors=debug.
    #[arg(
        id = "log_level",
        long = "log-level",
        env = "LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "INFO"
    )]
    pub level: LogLevel,

    /// How it is logged: text for people, json for machines.
    #[arg(
        id = "log_format",
        long = "log-format",
        env = "POINTSTREAM_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub format: LogFormat,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_of_the_server_is_an_environment_variable() {
        for option in Cli::command().get_arguments() {
            let variable = option
                .get_env()
                .map(|name| name.to_string_lossy().into_owned());
            let expected = match option.get_id().as_str() {
                "log_level" => "LOG_LEVEL".to_owned(),
                id => format!("POINTSTREAM_{}", id.to_uppercase()),
            };
            assert_eq!(variable, Some(expected));
        }
    }

    #[test]
    fn a_subcommand_stands_alone() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("pointstream models list").is_ok());
        assert!(parse("pointstream --port 9000").is_ok());
        assert!(parse("pointstream --port 9000 models list").is_err());
        assert!(parse("pointstream modles").is_err());
    }
}

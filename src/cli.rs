//! The command line: the server by default, or one of its subcommands.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::auth::TokenOptions;
use crate::data_commands::DataOptions;
use crate::models::{FetchRequest, ModelsOptions, StoreOptions};
use crate::options::ServeOptions;
use crate::reconstruct::ReconstructOptions;
use crate::worker::WorkerOptions;

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
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    pub serve: ServeOptions,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes a point cloud from photos or a video, without a server.
    #[command(mut_arg("log_level", |option| option.default_value("WARNING")))]
    Reconstruct(ReconstructOptions),
    /// Runs jobs of servers on other machines, which it reaches through NATS.
    Worker(WorkerOptions),
    /// Lists, fetches, verifies and removes the models in the store.
    Models(ModelsOptions),
    /// Checks, exports and imports the sessions of a data directory that no server uses.
    Data(DataOptions),
    /// Makes, lists and revokes tokens for --auth tokens.
    Token(TokenOptions),
    /// For scripts: whether a command line of this program needs the Python tools of the checkout.
    ///
    /// The exit status is 0 if it fetches a model with them and nothing known prevents that, else 1.
    #[command(hide = true)]
    NeedsModelTools {
        /// The command line, without the program's name.
        #[arg(last = true, value_name = "ARGUMENT")]
        arguments: Vec<OsString>,
    },
}

impl Cli {
    /// The fetch that this command line may do, and the store for it.
    pub fn fetch_request(&self) -> Option<(StoreOptions, FetchRequest)> {
        let (store, request) = match &self.command {
            None => (
                &self.serve.pool.model.store,
                self.serve.pool.model.fetch_request(),
            ),
            Some(Command::Reconstruct(options)) => {
                (&options.model.store, options.model.fetch_request())
            }
            Some(Command::Worker(options)) => {
                let model = &options.pool.model;
                (&model.store, model.fetch_request())
            }
            Some(Command::Models(options)) => (&options.store, options.fetch_request()),
            Some(Command::Data(_) | Command::Token(_) | Command::NeedsModelTools { .. }) => {
                return None;
            }
        };
        Some((store.clone(), request?))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

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
    fn options_of_the_server_and_subcommands_exclude_each_other() {
        assert!(parse("pointstream models list").is_ok());
        assert!(parse("pointstream --port 9000").is_ok());
        assert!(parse("pointstream --port 9000 models list").is_err());
        assert!(parse("pointstream modles").is_err());
    }

    #[test]
    fn only_named_models_are_fetched() {
        let fetches = |line: &str| {
            let cli = parse(line).expect("valid");
            cli.fetch_request().is_some()
        };
        for line in [
            "pointstream --port 9000 --model=da3-small",
            "pointstream models fetch da3-small",
            "pointstream models --model-store here fetch da3-small --from folder",
            "pointstream reconstruct --model da3-small photos",
        ] {
            assert!(fetches(line), "{line}");
        }
        for line in [
            "pointstream --port 9000",
            "pointstream --model da3-small.pt",
            "pointstream models fetch da3-small --check",
            "pointstream models path da3-small",
            "pointstream needs-model-tools -- --model da3-small",
        ] {
            assert!(!fetches(line), "{line}");
        }
    }
}

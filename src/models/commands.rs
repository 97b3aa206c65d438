//! `pointstream models`: manages the store. Results are written to stdout.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use pointstream_reconstruction::model::Precision;
use tokio_util::sync::CancellationToken;

use super::error::ModelsError;
use super::fetch::{FetchRequest, Outlook, check, fetch};
use super::options::StoreOptions;
use super::registry::ModelId;
use super::store::Store;
use crate::logging::LogOptions;
use crate::signals::Signals;

/// The options of `pointstream models`. Each of its commands takes the store's and the log's.
#[derive(Debug, Args)]
#[command(mut_args(|option| option.global(true).help_heading("Store and log")))]
pub struct ModelsOptions {
    #[command(flatten)]
    pub store: StoreOptions,

    #[command(flatten)]
    pub log: LogOptions,

    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// Lists all models, and which of them are in the store.
    List,
    /// Downloads the official checkpoint of a model and exports it into the store.
    Fetch {
        #[command(flatten)]
        request: FetchRequest,
        /// Only say whether it is in the store or could be fetched: the licence is agreed to, and
        /// the hub answers.
        #[arg(long)]
        check: bool,
    },
    /// Reads the models in the store and compares them with their checksums.
    Verify {
        /// Names of the models; all models in the store if none is given.
        names: Vec<ModelId>,
    },
    /// Removes a model from the store.
    Remove {
        /// Name of the model.
        name: ModelId,
    },
    /// Prints the path of a model's archive in the store.
    Path {
        /// Name of the model.
        name: ModelId,
    },
}

impl ModelsOptions {
    /// What the command fetches, if it does.
    pub fn fetch_request(&self) -> Option<FetchRequest> {
        match &self.command {
            ModelsCommand::Fetch {
                request,
                check: false,
            } => Some(request.clone()),
            _ => None,
        }
    }
}

/// Runs a command.
pub async fn run(options: ModelsOptions) -> Result<(), ModelsError> {
    let store = Store::new(&options.store)?;
    match options.command {
        ModelsCommand::List => list(&store),
        ModelsCommand::Fetch {
            request,
            check: true,
        } => match check(&store, &request, &stop_on_signals()?).await? {
            Outlook::Stored => say(&format!("{}: in the store", request.name)),
            Outlook::Fetchable => say(&format!("{}: can be fetched", request.name)),
        },
        ModelsCommand::Fetch { request, .. } => {
            let model = fetch(&store, &request, &stop_on_signals()?).await?;
            let (name, license) = (request.name, &model.metadata.license);
            say(&format!(
                "{name} ({license}) is in the store: {}",
                model.path
            ));
        }
        ModelsCommand::Verify { names } => verify(&store, names)?,
        ModelsCommand::Remove { name } => {
            if !store.root().is_dir() {
                return Err(missing(&store, name));
            }
            let lock = store.lock(name, "pointstream models remove").await?;
            let unfinished = store.remove_unfinished(name, &lock)?;
            if store.remove(name, &lock)? {
                say(&format!("{name} is removed"));
            } else if unfinished {
                say(&format!("the unfinished fetch of {name} is removed"));
            } else {
                return Err(missing(&store, name));
            }
        }
        ModelsCommand::Path { name } => {
            let record = store.record(name)?.ok_or_else(|| missing(&store, name))?;
            say(&store.path(name, &record).display().to_string());
        }
    }
    Ok(())
}

/// A token that is cancelled when a signal asks the process to end.
fn stop_on_signals() -> io::Result<CancellationToken> {
    let mut signals = Signals::new()?;
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        cancel.cancel();
    });
    Ok(stop)
}

fn missing(store: &Store, id: ModelId) -> ModelsError {
    ModelsError::Missing {
        id,
        store: store.root().to_owned(),
    }
}

/// Writes a line to stdout. A closed pipe is not a failure.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn list(store: &Store) {
    say(&format!("the store is {}", store.root().display()));
    let row = |name: &str, state: &str, license: &str, from: &str| {
        say(&format!("{name:26}  {state:12}  {license:12}  {from}"));
    };
    row("NAME", "IN THE STORE", "LICENCE", "FROM");
    for id in ModelId::all() {
        let (state, from) = match store.record(id) {
            Ok(Some(record)) => {
                let megabytes = record.archive.bytes as f64 / 1e6;
                (format!("{megabytes:.1} MB"), record.origin())
            }
            // There are many half precisions: only those in the store are listed.
            Ok(None) if id.precision != Precision::Fp32 => continue,
            Ok(None) => ("no".to_owned(), id.known.repository.clone()),
            Err(error) => ("damaged".to_owned(), error.to_string()),
        };
        row(&id.to_string(), &state, &id.known.license, &from);
    }
}

fn verify(store: &Store, names: Vec<ModelId>) -> Result<(), ModelsError> {
    let all = names.is_empty();
    let ids = if all { ModelId::all().collect() } else { names };
    let mut damaged = 0;
    for id in ids {
        match store.load(id) {
            Ok(Some(model)) => say(&format!("{id}: intact, {}", model.metadata.digest)),
            Ok(None) if all => {}
            Ok(None) => return Err(missing(store, id)),
            Err(error) => {
                damaged += 1;
                say(&format!("{id}: {error}"));
            }
        }
    }
    match damaged {
        0 => Ok(()),
        damaged => Err(ModelsError::SomeDamaged(damaged)),
    }
}

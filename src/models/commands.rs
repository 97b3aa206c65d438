//! `pointstream models`: what is in the store, for people.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use super::error::ModelsError;
use super::fetch::{FetchOptions, Outlook, Request, check, fetch};
use super::registry::{ModelId, known};
use super::store::{Removed, Store, StoreOptions};
use crate::cli::LogOptions;
use crate::signals::Signals;

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Shows the models that there are, and which of them are in the store.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Downloads the official checkpoint of a model and exports it into the store.
    Fetch {
        /// Which one; with -fp16 or -bf16 behind the name in half precision, for GPUs.
        name: ModelId,
        /// Take the checkpoint from this folder, which has its config.json and model.safetensors.
        #[arg(long, value_name = "FOLDER")]
        from: Option<PathBuf>,
        /// Branch, tag or commit of the official repository.
        #[arg(
            long,
            value_name = "NAME",
            default_value = "main",
            conflicts_with = "from"
        )]
        revision: String,
        /// Fetch it also if the store has it, and replace that.
        #[arg(long)]
        force: bool,
        /// Only say whether it is in the store or could be fetched: the licence is agreed to, and
        /// the hub answers.
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        fetch: FetchOptions,
        #[command(flatten)]
        common: Common,
    },
    /// Reads the models in the store and compares them with their checksums.
    Verify {
        /// Which ones; all of the store if none is given.
        names: Vec<ModelId>,
        #[command(flatten)]
        common: Common,
    },
    /// Removes a model from the store.
    Remove {
        /// Which one.
        name: ModelId,
        #[command(flatten)]
        common: Common,
    },
    /// Prints the path of a model's archive in the store.
    Path {
        /// Which one.
        name: ModelId,
        #[command(flatten)]
        common: Common,
    },
}

/// What all commands take.
#[derive(Debug, Args)]
pub struct Common {
    #[command(flatten)]
    store: StoreOptions,
    #[command(flatten)]
    log: LogOptions,
}

impl ModelsCommand {
    /// What is logged, and how.
    pub fn log(&self) -> &LogOptions {
        &self.common().log
    }

    fn common(&self) -> &Common {
        match self {
            Self::List { common }
            | Self::Fetch { common, .. }
            | Self::Verify { common, .. }
            | Self::Remove { common, .. }
            | Self::Path { common, .. } => common,
        }
    }
}

/// Runs a command. Its result goes to stdout.
///
/// # Errors
/// [`ModelsError`].
pub async fn run(command: ModelsCommand) -> Result<(), ModelsError> {
    let store = command.common().store.store()?;
    match command {
        ModelsCommand::List { .. } => list(&store),
        ModelsCommand::Fetch {
            name,
            from,
            revision,
            force,
            check: only_check,
            fetch: options,
            ..
        } => {
            let request = Request {
                id: name,
                folder: from,
                revision,
                again: force,
            };
            let stop = stop_on_signals()?;
            if only_check {
                say(&match check(&store, &options, &request, &stop).await? {
                    Outlook::Stored => format!("{name}: in the store"),
                    Outlook::Fetchable => format!("{name}: can be fetched"),
                });
                return Ok(());
            }
            let model = fetch(&store, &options, request, &stop).await?;
            let license = &model.metadata.license;
            say(&format!(
                "{name} ({license}) is in the store: {}",
                model.path
            ));
        }
        ModelsCommand::Verify { names, .. } => return verify(&store, names),
        ModelsCommand::Remove { name, .. } => {
            if !store.root().is_dir() {
                return Err(missing(&store, name));
            }
            let lock = store.lock(name, "pointstream models remove").await?;
            match store.remove(name, &lock)? {
                Removed::Model => say(&format!("{name} is removed")),
                Removed::Unfinished => say(&format!("the unfinished fetch of {name} is removed")),
                Removed::Nothing => return Err(missing(&store, name)),
            }
        }
        ModelsCommand::Path { name, .. } => {
            let record = store.record(name)?.ok_or_else(|| missing(&store, name))?;
            say(&store.path(name, &record).display().to_string());
        }
    }
    Ok(())
}

/// Cancelled once a signal asks us to end.
fn stop_on_signals() -> Result<CancellationToken, ModelsError> {
    let mut signals = Signals::new().map_err(|error| ModelsError::Internal(error.to_string()))?;
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

/// One line on stdout. Nobody may be reading, which is no failure.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn list(store: &Store) {
    say(&format!("the store is {}", store.root().display()));
    let mut rows = vec![["NAME", "IN THE STORE", "LICENCE", "FROM"].map(str::to_owned)];
    for id in ModelId::all() {
        let license = id.known.license.clone();
        match store.record(id) {
            Ok(Some(record)) => {
                let size = megabytes(record.archive.bytes);
                rows.push([id.to_string(), size, license, record.origin()]);
            }
            // Half precisions are shown once there is one: they are many.
            Ok(None) if known().iter().any(|known| id.to_string() == known.name) => {
                let from = id.known.repository.clone();
                rows.push([id.to_string(), "no".to_owned(), license, from]);
            }
            Ok(None) => {}
            Err(error) => {
                rows.push([
                    id.to_string(),
                    "damaged".to_owned(),
                    license,
                    error.to_string(),
                ]);
            }
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (name, state, license) = (width(0), width(1), width(2));
    for row in &rows {
        say(&format!(
            "{:name$}  {:state$}  {:license$}  {}",
            row[0], row[1], row[2], row[3]
        ));
    }
}

fn verify(store: &Store, names: Vec<ModelId>) -> Result<(), ModelsError> {
    let all = names.is_empty();
    let ids = if all { ModelId::all().collect() } else { names };
    let mut damaged = 0;
    for id in ids {
        match store.load(id) {
            Ok(Some(model)) => say(&format!("{id}: sound, {}", model.metadata.digest)),
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

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

//! Which model to run: the embedded one, an archive of the operator's, or one in the store.

mod choice;
mod commands;
mod error;
mod lock;
mod record;
mod registry;
mod store;
mod trusted;

pub use choice::ModelChoice;
pub use commands::{ModelsCommand, run};
pub use error::ModelsError;
pub use store::StoreOptions;

use pointstream_reconstruction::model::{Device, ResolvedModel};

use crate::cli::ModelOptions;

/// Reads and checks the model that was asked for. Blocks on the file system.
///
/// # Errors
/// [`ModelsError`] if there is none or it is refused.
pub fn resolve(options: &ModelOptions, devices: &[Device]) -> Result<ResolvedModel, ModelsError> {
    match &options.model {
        ModelChoice::Auto => {
            // Without a place for a store, there is nothing in it.
            let store = options.store.store().ok();
            choice::best(store.as_ref(), devices)
        }
        ModelChoice::Mvs => Ok(ResolvedModel::embedded()?),
        ModelChoice::Path(path) => Ok(ResolvedModel::open(path)?),
        ModelChoice::Named(id) => {
            let store = options.store.store()?;
            store.load(*id)?.ok_or_else(|| ModelsError::Missing {
                id: *id,
                store: store.root().to_owned(),
            })
        }
    }
}

//! Which model to run: the embedded one, an archive of the operator's, or one in the store.

mod choice;
mod commands;
mod error;
mod fetch;
mod files;
mod licenses;
mod lock;
mod record;
mod registry;
mod store;
mod tools;
mod trusted;

use pointstream_inference::ResolvedModel;
use pointstream_reconstruction::model::{Device, Precision};
use tokio_util::sync::CancellationToken;

pub use choice::{ModelChoice, ModelFallback};
pub use commands::{ModelsCommand, run};
pub use error::ModelsError;
pub use fetch::FetchOptions;
pub use store::StoreOptions;

use crate::cli::ModelOptions;

/// Reads and checks the model that was asked for; one of a name that is not in the store is
/// fetched first, or stood in for while the hub is out of reach, if the operator allows it.
///
/// # Errors
/// [`ModelsError`] if there is none or it is refused, or once `stop` is cancelled.
pub async fn resolve(
    options: &ModelOptions,
    devices: &[Device],
    stop: &CancellationToken,
) -> Result<ResolvedModel, ModelsError> {
    if let ModelChoice::Named(id) = &options.model {
        runs_on(id.precision, devices, &id.to_string())?;
    }
    let model = find(options, devices, stop).await?;
    for precision in [model.metadata.precision, model.metadata.head_precision] {
        runs_on(precision, devices, &model.path)?;
    }
    Ok(model)
}

/// Refuses half precision on processors: many lack its instructions, which would end the process.
fn runs_on(precision: Precision, devices: &[Device], model: &str) -> Result<(), ModelsError> {
    match precision == Precision::Fp32 || !devices.contains(&Device::Cpu) {
        true => Ok(()),
        false => Err(ModelsError::Precision(model.to_owned())),
    }
}

async fn find(
    options: &ModelOptions,
    devices: &[Device],
    stop: &CancellationToken,
) -> Result<ResolvedModel, ModelsError> {
    match &options.model {
        ModelChoice::Auto => {
            // Without a place for a store, there is nothing in it.
            let store = options.store.store().ok();
            let devices = devices.to_vec();
            fetch::blocking(move || choice::best(store.as_ref(), &devices)).await
        }
        ModelChoice::Mvs => Ok(ResolvedModel::embedded()?),
        ModelChoice::Path(path) => {
            let path = path.clone();
            fetch::blocking(move || Ok(ResolvedModel::open(&path)?)).await
        }
        ModelChoice::Named(id) => {
            let store = options.store.store()?;
            match fetch::in_store(&store, *id).await? {
                Some(model) => Ok(model),
                None => {
                    let request = fetch::Request::official(*id);
                    let fetched = fetch::fetch(&store, &options.fetch, request, stop).await;
                    or_fallback(fetched, options.model_fallback)
                }
            }
        }
    }
}

/// Another model in place of one that is out of reach. All that is wrong with a model itself, or
/// with what was asked for, remains an error.
fn or_fallback(
    fetched: Result<ResolvedModel, ModelsError>,
    fallback: ModelFallback,
) -> Result<ResolvedModel, ModelsError> {
    match (fetched, fallback) {
        (Err(ModelsError::OutOfReach { id, reason }), ModelFallback::Mvs) => {
            tracing::warn!(
                "the embedded model mvs runs in place of {id}, which cannot be fetched: {reason}. \
                 The next start tries again, as does `pointstream models fetch {id}`; with \
                 --from FOLDER that takes a checkpoint that is there already. --model-fallback \
                 never refuses to start instead"
            );
            Ok(ResolvedModel::embedded()?)
        }
        (fetched, _) => fetched,
    }
}

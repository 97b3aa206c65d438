//! Resolves the operator's choice to a checked archive.

use pointstream_inference::ResolvedModel;
use pointstream_reconstruction::model::{Device, Precision};
use tokio_util::sync::CancellationToken;

use super::error::ModelsError;
use super::fetch::{FetchRequest, fetch, load};
use super::options::{ModelChoice, ModelFallback, ModelOptions};
use super::registry::{ModelId, known};
use super::store::Store;
use super::tools::ToolError;

impl ModelOptions {
    /// The fetch that a start with these options needs, unless the store has the model.
    pub fn fetch_request(&self) -> Option<FetchRequest> {
        match &self.model {
            ModelChoice::Named(id) => Some(FetchRequest::official(*id, self.fetch.clone())),
            _ => None,
        }
    }
}

/// Reads and checks the model that the options choose. Fetches a named model that is not in the
/// store; if the hub is out of reach, the fallback takes its place.
pub async fn resolve(
    options: &ModelOptions,
    devices: &[Device],
    stop: &CancellationToken,
) -> Result<ResolvedModel, ModelsError> {
    if let ModelChoice::Named(id) = &options.model {
        check_precision(id.precision, devices, &id.to_string())?;
    }
    let model = find(options, devices, stop).await?;
    for precision in [model.metadata.precision, model.metadata.head_precision] {
        check_precision(precision, devices, &model.path)?;
    }
    Ok(model)
}

/// Refuses half precision on CPUs: many lack its instructions, which would end the process.
fn check_precision(
    precision: Precision,
    devices: &[Device],
    model: &str,
) -> Result<(), ModelsError> {
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
        ModelChoice::Auto => best(options, devices).await,
        ModelChoice::Mvs => Ok(ResolvedModel::embedded()?),
        ModelChoice::Path(path) => {
            let path = path.clone();
            Ok(tokio::task::spawn_blocking(move || ResolvedModel::open(&path)).await??)
        }
        ModelChoice::Named(id) => {
            let store = Store::new(&options.store)?;
            if let Some(model) = load(&store, *id).await? {
                return Ok(model);
            }
            let request = FetchRequest::official(*id, options.fetch.clone());
            match fetch(&store, &request, stop).await {
                Err(ModelsError::Fetch {
                    cause: ToolError::OutOfReach(reason),
                    ..
                }) if options.model_fallback == ModelFallback::Mvs => {
                    tracing::warn!(
                        "the embedded model mvs runs in place of {id}, which cannot be fetched: \
                         {reason}. The next start tries again, as does `pointstream models fetch \
                         {id}`; --from FOLDER takes a checkpoint that you already have. With \
                         --model-fallback never, the program refuses to start instead"
                    );
                    Ok(ResolvedModel::embedded()?)
                }
                fetched => fetched,
            }
        }
    }
}

/// The best archive in the store that runs on these devices, else the embedded one. Skips a damaged
/// archive with a warning.
async fn best(options: &ModelOptions, devices: &[Device]) -> Result<ResolvedModel, ModelsError> {
    // Without a folder for the store, nothing is in it.
    if let Ok(store) = Store::new(&options.store) {
        for id in candidates(!devices.contains(&Device::Cpu)) {
            match load(&store, id).await {
                Ok(Some(model)) => {
                    tracing::info!(model = %id, "using the best model in the store");
                    return Ok(model);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "skipped a model in the store"),
            }
        }
    }
    tracing::info!(
        "using the embedded model mvs; `pointstream models fetch da3-small` or --model da3-small \
         gets Depth Anything 3"
    );
    Ok(ResolvedModel::embedded()?)
}

/// What `auto` may take, the best first: larger networks first, and of one network half precision
/// first, which needs GPUs.
fn candidates(on_gpus: bool) -> Vec<ModelId> {
    let precisions: &[Precision] = match on_gpus {
        true => &[Precision::Fp16, Precision::Bf16, Precision::Fp32],
        false => &[Precision::Fp32],
    };
    let automatic = known().iter().filter(|known| known.automatic);
    automatic
        .flat_map(|known| {
            let id = |&precision| ModelId { known, precision };
            precisions.iter().map(id)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_prefers_large_networks_and_on_gpus_half_precision() {
        let names = |on_gpus| -> Vec<String> {
            let ids = candidates(on_gpus);
            ids.iter().map(ModelId::to_string).collect()
        };
        let networks = [
            "da3nested-giant-large",
            "da3-giant",
            "da3-large",
            "da3-base",
            "da3-small",
        ];
        assert_eq!(names(false), networks);
        let on_gpus = names(true);
        assert_eq!(on_gpus.len(), 15);
        assert_eq!(
            on_gpus[12..],
            ["da3-small-fp16", "da3-small-bf16", "da3-small"]
        );
    }
}

//! From a checkpoint, on the hub or in a folder, to an archive in the store.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use pointstream_inference::ResolvedModel;
use pointstream_reconstruction::model::Precision;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::ModelsError;
use super::files::Workspace;
use super::record::Source;
use super::registry::ModelId;
use super::store::Store;
use super::tools::{ToolError, Tools};

/// Time between two lines of progress in the log.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// The module that downloads.
const DOWNLOAD: &str = "weights.da3.download";
/// The files of a checkpoint.
const CHECKPOINT: [&str; 2] = ["config.json", "model.safetensors"];

/// How models are fetched.
#[derive(Debug, Clone, Args)]
pub struct FetchOptions {
    /// Agree to the licence of a model that is not free for every use. The store remembers it.
    #[arg(long, env = "POINTSTREAM_ACCEPT_LICENSE", value_parser = BoolishValueParser::new())]
    pub accept_license: bool,

    /// Never use the network. HF_HUB_OFFLINE does the same.
    #[arg(long, env = "POINTSTREAM_OFFLINE", value_parser = BoolishValueParser::new())]
    pub offline: bool,

    /// Python with the tools that download and export checkpoints. Default: .venv/bin/python of the
    /// checkout that the program lies in.
    #[arg(long, env = "POINTSTREAM_PYTHON", value_name = "PROGRAM")]
    pub python: Option<PathBuf>,
}

/// What is to be fetched.
#[derive(Debug)]
pub struct Request {
    /// The model in its precision.
    pub id: ModelId,
    /// A folder with the checkpoint; otherwise it comes from the hub.
    pub folder: Option<PathBuf>,
    /// Branch, tag or commit on the hub.
    pub revision: String,
    /// Whether to fetch it also if the store has it.
    pub again: bool,
}

impl Request {
    /// The official checkpoint, unless it is in the store.
    pub fn official(id: ModelId) -> Self {
        Self {
            id,
            folder: None,
            revision: "main".to_owned(),
            again: false,
        }
    }
}

/// Brings a model into the store, unless it is there. Tells its licence and its progress in the
/// log.
///
/// # Errors
/// [`ModelsError`]; the store is then as it was before.
pub async fn fetch(
    store: &Store,
    options: &FetchOptions,
    request: Request,
    stop: &CancellationToken,
) -> Result<ResolvedModel, ModelsError> {
    let id = request.id;
    let failed = |error| failed(id, error);
    let accepted = agree(store, options, id).await?;
    let lock = tokio::select! {
        lock = store.lock(id, "which fetches it") => lock?,
        () = stop.cancelled() => return Err(failed(ToolError::Interrupted)),
    };
    if !request.again {
        match in_store(store, id).await {
            Ok(Some(model)) => return Ok(model),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "fetching it again"),
        }
    }
    tracing::info!(
        model = %id,
        license = id.known.license,
        "fetching the model, under the licence {}",
        id.known.license_url()
    );
    let tools = Tools::find(options.python.as_deref()).map_err(failed)?;
    let workspace = store.workspace(id, &lock)?;
    let checkpoint = checkpoint(&tools, options, &request, &workspace, stop)
        .await
        .map_err(failed)?;
    export(&tools, id, &checkpoint.folder, &workspace, stop)
        .await
        .map_err(failed)?;
    let store = store.clone();
    let source = Source {
        folder: request
            .folder
            .map(|_| checkpoint.folder.display().to_string()),
        repository: checkpoint.repository,
        revision: checkpoint.revision,
        digest: None,
    };
    blocking(move || store.install(id, source, accepted, workspace, &lock)).await
}

/// What a fetch would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing, as the store has the model.
    Stored,
    /// Download or export it.
    Fetchable,
}

/// Whether a model could be fetched: its licence is agreed to, and the hub answers, or the folder
/// has a checkpoint. Changes nothing, and takes no packages of Python.
///
/// # Errors
/// What [`fetch`] would end with at once.
pub async fn check(
    store: &Store,
    options: &FetchOptions,
    request: &Request,
    stop: &CancellationToken,
) -> Result<Outlook, ModelsError> {
    let id = request.id;
    if !options.accept_license {
        agree(store, options, id).await?;
    }
    // One that is damaged is fetched again.
    if !request.again && matches!(in_store(store, id).await, Ok(Some(_))) {
        return Ok(Outlook::Stored);
    }
    if let Some(folder) = &request.folder {
        let missing = CHECKPOINT.map(|name| folder.join(name));
        return match missing.into_iter().find(|path| !path.is_file()) {
            None => Ok(Outlook::Fetchable),
            Some(path) => Err(ModelsError::Fetch {
                id,
                reason: format!("there is no {}", path.display()),
            }),
        };
    }
    let tools = Tools::find(options.python.as_deref()).map_err(|error| failed(id, error))?;
    let arguments: [&OsStr; 2] = [id.known.name.as_ref(), "--check".as_ref()];
    tools
        .run(DOWNLOAD, &arguments, options.offline, stop, |_| {})
        .await
        .map_err(|error| failed(id, error))?;
    Ok(Outlook::Fetchable)
}

/// Whether the operator agreed to the licence of a model, which is remembered if it is now.
///
/// # Errors
/// [`ModelsError::License`] if that is missing, [`ModelsError::File`].
async fn agree(store: &Store, options: &FetchOptions, id: ModelId) -> Result<bool, ModelsError> {
    if !id.known.needs_acceptance {
        return Ok(options.accept_license);
    }
    let (store, agrees) = (store.clone(), options.accept_license);
    blocking(move || match (store.accepted(id), agrees) {
        (true, _) => Ok(true),
        (false, true) => store.accept(id).map(|()| true),
        (false, false) => Err(ModelsError::License { id }),
    })
    .await
}

fn failed(id: ModelId, error: ToolError) -> ModelsError {
    let reason = error.to_string();
    match error {
        ToolError::OutOfReach(_) => ModelsError::OutOfReach { id, reason },
        _ => ModelsError::Fetch { id, reason },
    }
}

/// Reads and checks a model, if the store has it.
///
/// # Errors
/// As [`Store::load`].
pub async fn in_store(store: &Store, id: ModelId) -> Result<Option<ResolvedModel>, ModelsError> {
    let store = store.clone();
    blocking(move || store.load(id)).await
}

/// Does what blocks on the file system.
pub async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, ModelsError> + Send + 'static,
) -> Result<T, ModelsError> {
    match tokio::task::spawn_blocking(task).await {
        Ok(done) => done,
        Err(error) => Err(ModelsError::Internal(error.to_string())),
    }
}

/// Where a checkpoint lies, and where it came from.
#[derive(Deserialize)]
struct Checkpoint {
    folder: PathBuf,
    repository: Option<String>,
    revision: Option<String>,
}

async fn checkpoint(
    tools: &Tools,
    options: &FetchOptions,
    request: &Request,
    workspace: &Workspace,
    stop: &CancellationToken,
) -> Result<Checkpoint, ToolError> {
    if let Some(folder) = &request.folder {
        return Ok(Checkpoint {
            // The tools run in another folder.
            folder: std::path::absolute(folder).unwrap_or_else(|_| folder.clone()),
            repository: None,
            revision: None,
        });
    }
    let mut progress = Progress::new(request.id);
    let mut found = None;
    let downloads = workspace.downloads();
    let arguments: [&OsStr; 5] = [
        request.id.known.name.as_ref(),
        "--revision".as_ref(),
        request.revision.as_ref(),
        "--output".as_ref(),
        downloads.as_os_str(),
    ];
    tools
        .run(
            DOWNLOAD,
            &arguments,
            options.offline,
            stop,
            |line| match serde_json::from_str(line) {
                Ok(Said::Progress(part)) => progress.report(&part),
                Ok(Said::Downloaded(checkpoint)) => found = Some(checkpoint),
                Err(error) => tracing::debug!(%error, line, "unknown words of a tool"),
            },
        )
        .await?;
    found.ok_or_else(|| ToolError::Failed(format!("{DOWNLOAD} named no checkpoint")))
}

async fn export(
    tools: &Tools,
    id: ModelId,
    checkpoint: &Path,
    workspace: &Workspace,
    stop: &CancellationToken,
) -> Result<(), ToolError> {
    tracing::info!(model = %id, checkpoint = %checkpoint.display(), "exporting the checkpoint");
    let precision = match id.precision {
        Precision::Fp32 => "fp32",
        Precision::Fp16 => "fp16",
        Precision::Bf16 => "bf16",
    };
    let archive = workspace.archive();
    let arguments: [&OsStr; 6] = [
        "--checkpoint".as_ref(),
        checkpoint.as_os_str(),
        "--precision".as_ref(),
        precision.as_ref(),
        "--output".as_ref(),
        archive.as_os_str(),
    ];
    tools
        .run("weights.da3.export", &arguments, true, stop, |line| {
            tracing::debug!("{line}");
        })
        .await
}

/// A line of the download.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Progress(Part),
    Downloaded(Checkpoint),
}

#[derive(Deserialize)]
struct Part {
    file: String,
    done: u64,
    total: u64,
}

/// Tells the log how far a download is, now and then.
struct Progress {
    id: ModelId,
    told: Option<Instant>,
}

impl Progress {
    fn new(id: ModelId) -> Self {
        Self { id, told: None }
    }

    fn report(&mut self, part: &Part) {
        let due = self
            .told
            .is_none_or(|told| told.elapsed() >= REPORT_INTERVAL);
        if due || part.done == part.total {
            self.told = Some(Instant::now());
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            tracing::info!(
                model = %self.id,
                "downloading {}: {:.1} of {:.1} MB",
                part.file,
                megabytes(part.done),
                megabytes(part.total)
            );
        }
    }
}

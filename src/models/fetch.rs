//! Fetches a checkpoint from the hub or a folder, and exports it to an archive in the store.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pointstream_inference::ResolvedModel;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::ModelsError;
use super::options::{FetchOptions, StoreOptions};
use super::record::Source;
use super::registry::ModelId;
use super::store::Store;
use super::tools::{ToolError, Tools};

/// Time between two lines of progress in the log.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

const DOWNLOAD: &str = "weights.da3.download";
const EXPORT: &str = "weights.da3.export";
/// The files of a checkpoint.
const CHECKPOINT: [&str; 2] = ["config.json", "model.safetensors"];

/// What to fetch, and how: the arguments of `pointstream models fetch`.
#[derive(Debug, Clone, Args)]
pub struct FetchRequest {
    /// Name of the model; append -fp16 or -bf16 for half precision, which needs a GPU.
    pub name: ModelId,

    /// Take the checkpoint from this folder, which has its config.json and model.safetensors.
    #[arg(long, value_name = "FOLDER")]
    pub from: Option<PathBuf>,

    /// Branch, tag or commit of the official repository.
    #[arg(long, value_name = "NAME", default_value = MAIN, conflicts_with = "from")]
    pub revision: String,

    /// Fetch it also if the store has it, and replace that.
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    pub options: FetchOptions,
}

/// The branch of the current official checkpoint.
const MAIN: &str = "main";

impl FetchRequest {
    /// The official checkpoint, unless the store has it.
    pub fn official(name: ModelId, options: FetchOptions) -> Self {
        Self {
            name,
            from: None,
            revision: MAIN.to_owned(),
            force: false,
            options,
        }
    }
}

/// Fetches a model into the store, unless the store has it. Logs its licence and the progress. A
/// failed fetch leaves the store unchanged.
pub async fn fetch(
    store: &Store,
    request: &FetchRequest,
    stop: &CancellationToken,
) -> Result<ResolvedModel, ModelsError> {
    let id = request.name;
    let failed = |cause| ModelsError::Fetch { id, cause };
    agree(store, request)?;
    let lock = tokio::select! {
        lock = store.lock(id, "which fetches it") => lock?,
        () = stop.cancelled() => return Err(failed(ToolError::Interrupted)),
    };
    if !request.force {
        match load(store, id).await {
            Ok(Some(model)) => return Ok(model),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "fetching it again"),
        }
    }
    check_folder(request)?;
    tracing::info!(
        model = %id,
        license = id.known.license,
        "fetching the model, under the licence {}",
        id.known.license_url()
    );
    let mut tools = Tools::find(&request.options, stop).map_err(failed)?;
    let workspace = store.workspace(id, &lock)?;
    let (folder, source) = match &request.from {
        Some(folder) => {
            // The exporter runs in another current folder.
            let folder = std::path::absolute(folder)?;
            let source = Source {
                folder: Some(folder.display().to_string()),
                ..Source::default()
            };
            (folder, source)
        }
        None => {
            let downloaded = download(&tools, request, &workspace.downloads()).await;
            downloaded.map_err(failed)?
        }
    };
    tools.offline = true;
    let exported = export(&tools, id, &folder, &workspace.archive()).await;
    exported.map_err(failed)?;
    let store = store.clone();
    let install = move || store.install(id, source, workspace, &lock);
    tokio::task::spawn_blocking(install).await?
}

/// What a fetch would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing, because the store has the model.
    Stored,
    /// Download or export it.
    Fetchable,
}

/// Whether a model could be fetched: its licence is agreed to, and the hub answers or the folder
/// has a checkpoint. Changes nothing, and needs no Python packages. The error is the one with which
/// [`fetch`] would fail before it downloads or exports.
pub async fn check(
    store: &Store,
    request: &FetchRequest,
    stop: &CancellationToken,
) -> Result<Outlook, ModelsError> {
    let id = request.name;
    if !request.options.accept_license {
        agree(store, request)?;
    }
    // A damaged archive would be fetched again.
    if !request.force && matches!(load(store, id).await, Ok(Some(_))) {
        return Ok(Outlook::Stored);
    }
    check_folder(request)?;
    if request.from.is_none() {
        let failed = |cause| ModelsError::Fetch { id, cause };
        let tools = Tools::find(&request.options, stop).map_err(failed)?;
        let arguments = [id.known.name.as_ref(), "--check".as_ref()];
        let checked = tools.run(DOWNLOAD, &arguments, |_| {}).await;
        checked.map_err(failed)?;
    }
    Ok(Outlook::Fetchable)
}

/// Whether a fetch needs the Python tools of the checkout, so that their packages should be
/// installed. The error says why the fetch would fail before it used them.
pub async fn needs_tools(
    store: &StoreOptions,
    request: &FetchRequest,
) -> Result<bool, ModelsError> {
    if request.options.python.is_some() {
        return Ok(false);
    }
    let outlook = check(&Store::new(store)?, request, &CancellationToken::new()).await?;
    Ok(outlook == Outlook::Fetchable)
}

/// Checks that the operator agreed to the licence of the model, or agrees now, which the store
/// remembers.
fn agree(store: &Store, request: &FetchRequest) -> Result<(), ModelsError> {
    let id = request.name;
    if !id.known.needs_acceptance || store.accepted(id) {
        return Ok(());
    }
    match request.options.accept_license {
        true => store.accept(id),
        false => Err(ModelsError::License(id)),
    }
}

/// Checks that the folder of `--from`, if any, has the files of a checkpoint.
fn check_folder(request: &FetchRequest) -> Result<(), ModelsError> {
    let id = request.name;
    let folders = request.from.iter();
    let mut files = folders.flat_map(|folder| CHECKPOINT.map(|name| folder.join(name)));
    match files.find(|path| !path.is_file()) {
        None => Ok(()),
        Some(path) => Err(ModelsError::NoCheckpoint { id, path }),
    }
}

/// [`Store::load`] on a thread that may block.
pub async fn load(store: &Store, id: ModelId) -> Result<Option<ResolvedModel>, ModelsError> {
    let store = store.clone();
    tokio::task::spawn_blocking(move || store.load(id)).await?
}

/// A line that the download writes to stdout.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    /// Bytes of a file.
    Progress { file: String, done: u64, total: u64 },
    /// The last line.
    Checkpoint {
        folder: PathBuf,
        repository: String,
        revision: String,
    },
}

/// Downloads a checkpoint. Returns the folder that it lies in and where it came from.
async fn download(
    tools: &Tools<'_>,
    request: &FetchRequest,
    target: &Path,
) -> Result<(PathBuf, Source), ToolError> {
    let id = request.name;
    let arguments: [&OsStr; 5] = [
        id.known.name.as_ref(),
        "--revision".as_ref(),
        request.revision.as_ref(),
        "--output".as_ref(),
        target.as_ref(),
    ];
    let mut checkpoint = None;
    let mut next_report = Instant::now();
    let on_line = |line: &str| match serde_json::from_str(line) {
        Ok(Line::Checkpoint {
            folder,
            repository,
            revision,
        }) => {
            let source = Source {
                repository: Some(repository),
                revision: Some(revision),
                ..Source::default()
            };
            checkpoint = Some((folder, source));
        }
        Ok(Line::Progress { file, done, total }) => {
            let now = Instant::now();
            if now >= next_report || done == total {
                next_report = now + REPORT_INTERVAL;
                let (done, total) = (done as f64 / 1e6, total as f64 / 1e6);
                tracing::info!(model = %id, "downloading {file}: {done:.1} of {total:.1} MB");
            }
        }
        Err(error) => tracing::debug!(%error, line, "unknown line from {DOWNLOAD}"),
    };
    tools.run(DOWNLOAD, &arguments, on_line).await?;
    checkpoint.ok_or_else(|| ToolError::Failed(format!("{DOWNLOAD} named no checkpoint")))
}

async fn export(
    tools: &Tools<'_>,
    id: ModelId,
    checkpoint: &Path,
    archive: &Path,
) -> Result<(), ToolError> {
    tracing::info!(model = %id, checkpoint = %checkpoint.display(), "exporting the checkpoint");
    let arguments: [&OsStr; 6] = [
        "--checkpoint".as_ref(),
        checkpoint.as_ref(),
        "--precision".as_ref(),
        <&str>::from(id.precision).as_ref(),
        "--output".as_ref(),
        archive.as_ref(),
    ];
    let on_line = |line: &str| tracing::debug!("{line}");
    tools.run(EXPORT, &arguments, on_line).await
}

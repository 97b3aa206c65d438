//! `pointstream reconstruct`: the whole job without a server, on the same actors.

mod error;
mod inputs;
mod options;
mod output;
mod progress;
mod video;

pub use error::ReconstructError;
pub use options::ReconstructOptions;

use std::io::{self, Write};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use pointstream_actors::{ResultFile, ResultFormat, ResultMetadata, System};
use pointstream_inference::resolve_devices;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use self::inputs::Photo;
use self::output::Output;
use self::progress::Bar;
use crate::models;
use crate::one_shot::OneShot;
use crate::signals::Signals;

/// What an administrator looks for among temporary files.
const TEMPORARY: &str = "pointstream-";

/// Makes a point cloud of photos and writes it to a file.
///
/// # Errors
/// [`ReconstructError`]; nothing is left behind then.
pub async fn run(options: ReconstructOptions) -> Result<(), ReconstructError> {
    let mut signals = Signals::new()?;
    // Private, as photos are.
    let folder = TempDir::with_prefix(TEMPORARY)?;
    let stop = CancellationToken::new();
    let worked = {
        let mut working = pin!(work(options, folder.path(), &stop));
        tokio::select! {
            worked = &mut working => worked,
            () = signals.next() => {
                stop.cancel();
                // A model that is being fetched leaves nothing behind, and a file that is being
                // written is finished.
                tokio::select! {
                    worked = &mut working => worked.or(Err(ReconstructError::Interrupted)),
                    () = signals.next() => Err(ReconstructError::Interrupted),
                }
            }
        }
    };
    remove(folder);
    worked
}

/// Removes the temporary files. Work that was given up may still add one meanwhile.
fn remove(folder: TempDir) {
    let path = folder.keep();
    let removed = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_dir_all(&path));
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "temporary files are left");
    }
}

async fn work(
    options: ReconstructOptions,
    folder: &Path,
    stop: &CancellationToken,
) -> Result<(), ReconstructError> {
    let begin = Instant::now();
    // What is wrong with the paths is said before a model is loaded.
    let output = Output::new(options.output.clone(), options.format)?;
    let collected = inputs::collect(&options.inputs, options.num_frames, folder);
    let photos = unless(stop, collected).await?;

    let choice = options.model.device.clone();
    let devices = tokio::task::spawn_blocking(move || resolve_devices(&choice))
        .await
        .map_err(io::Error::other)??;
    let model = models::resolve(&options.model, &devices, stop).await?;
    let settings = options.settings(folder.join("data"), Arc::new(model), devices);
    let system = System::start(settings).await?;
    let format = output.format();
    let done = unless(stop, reconstruct(&system, &options, &photos, format)).await;
    if !stop.is_cancelled() {
        system.drain().await;
    }
    let (file, metadata) = done?;
    let path = output.save(file.bytes).await?;
    report(&path, &metadata, begin);
    Ok(())
}

/// Gives work up when it is to stop.
async fn unless<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, ReconstructError>>,
) -> Result<T, ReconstructError> {
    stop.run_until_cancelled(work)
        .await
        .unwrap_or(Err(ReconstructError::Interrupted))
}

/// Sends the photos to a session and waits for its result.
async fn reconstruct(
    system: &System,
    options: &ReconstructOptions,
    photos: &[Photo],
    format: ResultFormat,
) -> Result<(ResultFile, Arc<ResultMetadata>), ReconstructError> {
    let config = options
        .session
        .config(photos.len(), &system.config_limits())?;
    let mut work = OneShot::begin(system, config).await?;
    let mut bar = Bar::new(photos.len());
    for photo in photos {
        let bytes = tokio::fs::read(&photo.path)
            .await
            .map_err(|source| ReconstructError::unreadable(&photo.path, source))?;
        work.upload(Some(photo.name.clone()), bytes.into(), None)
            .await?;
        bar.uploaded();
    }
    work.start().await?;
    let (answer, session) = work.result(|progress| bar.show(progress)).await?;
    bar.done();
    let file = session.handle().file(format).await?;
    let file = file.ok_or(ReconstructError::NoResult)?;
    Ok((file, answer.metadata.clone()))
}

/// Says what there is now.
fn report(path: &Path, metadata: &ResultMetadata, begin: Instant) {
    for name in &metadata.unregistered_frames {
        let _ = writeln!(
            io::stderr(),
            "warning: {name} does not fit the other photos; nothing of it is in the point cloud"
        );
    }
    // Nobody may be reading, which is no reason to fail.
    let _ = writeln!(
        io::stdout(),
        "{}: {} points of {} photos, made by {} in {:.1} s",
        path.display(),
        metadata.num_points,
        metadata.num_frames - metadata.unregistered_frames.len(),
        metadata.model,
        begin.elapsed().as_secs_f64(),
    );
}

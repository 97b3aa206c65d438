//! `pointstream reconstruct`: a reconstruction without a server, by the same actors.

mod error;
mod inputs;
mod options;
mod output;
mod progress;
mod quality;
mod video;

pub use error::ReconstructError;
pub use options::ReconstructOptions;

use std::io::{self, Write};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use pointstream_actors::{ResultFile, ResultFormat, ResultMetadata, System, Verdict};
use pointstream_inference::resolve_devices;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use self::inputs::Photo;
use self::output::Output;
use self::progress::Bar;
use crate::models;
use crate::one_shot::OneShot;
use crate::signals::Signals;

/// The beginning of the temporary folder's name.
const TEMPORARY: &str = "pointstream-";

/// Makes a point cloud from photos and writes it to a file. Leaves no files if it fails, also if there
/// is a result without points: it would replace a better file.
pub async fn run(options: ReconstructOptions) -> Result<(), ReconstructError> {
    let mut signals = Signals::new()?;
    // The folder is private: other users must not see the photos.
    let folder = TempDir::with_prefix(TEMPORARY)?;
    let stop = CancellationToken::new();
    let finished = {
        let mut job = pin!(run_job(options, folder.path(), &stop));
        tokio::select! {
            finished = &mut job => finished,
            () = signals.next() => {
                stop.cancel();
                // Wait until a fetch has removed its files, or the output is written. A second
                // signal ends that, too.
                tokio::select! {
                    finished = &mut job => finished.or(Err(ReconstructError::Interrupted)),
                    () = signals.next() => Err(ReconstructError::Interrupted),
                }
            }
        }
    };
    remove(folder);
    finished
}

/// Removes the temporary files. Tries twice, because a cancelled job may add a file meanwhile.
fn remove(folder: TempDir) {
    let path = folder.keep();
    let removed = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_dir_all(&path));
    if let Err(error) = removed {
        tracing::warn!(
            path = %path.display(),
            %error,
            "cannot remove the temporary files; remove them by hand"
        );
    }
}

async fn run_job(
    options: ReconstructOptions,
    folder: &Path,
    stop: &CancellationToken,
) -> Result<(), ReconstructError> {
    let begin = Instant::now();
    // Check the paths first: fetching and loading the model takes long.
    let output = Output::new(options.output.clone(), options.format)?;
    let collected = inputs::collect(&options.inputs, options.num_frames, folder);
    let photos = until_stopped(stop, collected).await?;

    let choice = options.model.device.clone();
    let devices = tokio::task::spawn_blocking(move || resolve_devices(&choice))
        .await
        .map_err(io::Error::other)??;
    let model = models::resolve(&options.model, &devices, stop).await?;
    let settings = options.settings(folder.join("data"), Arc::new(model), devices);
    let system = System::start(settings).await?;
    let format = output.format();
    let done = until_stopped(stop, reconstruct(&system, &options, &photos, format)).await;
    if !stop.is_cancelled() {
        system.drain().await;
    }
    let (file, metadata) = done?;
    // A closed pipe is not a failure.
    let _ = quality::write(&mut io::stderr(), &metadata.quality);
    if metadata.quality.verdict == Verdict::Failed {
        return Err(ReconstructError::Failed(output.into_path()));
    }
    let path = output.save(file.bytes).await?;
    report(&path, &metadata, begin);
    Ok(())
}

/// Runs a task until it ends or `stop` is cancelled.
async fn until_stopped<T>(
    stop: &CancellationToken,
    task: impl Future<Output = Result<T, ReconstructError>>,
) -> Result<T, ReconstructError> {
    stop.run_until_cancelled(task)
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
    let mut one_shot = OneShot::begin(system, config, None).await?;
    let mut bar = Bar::new(photos.len());
    for photo in photos {
        let bytes = tokio::fs::read(&photo.path)
            .await
            .map_err(|source| ReconstructError::unreadable(&photo.path, source))?;
        one_shot
            .upload(Some(photo.name.clone()), bytes.into(), None)
            .await?;
        bar.uploaded();
    }
    one_shot.start().await?;
    let (answer, session) = one_shot.result(|progress| bar.show(progress)).await?;
    bar.done();
    let file = session.handle().file(format).await?;
    let file = file.ok_or(ReconstructError::NoResult)?;
    Ok((file, answer.metadata.clone()))
}

/// Writes what the file holds to stdout.
fn report(path: &Path, metadata: &ResultMetadata, begin: Instant) {
    // A closed pipe is not a failure.
    let _ = writeln!(
        io::stdout(),
        "{}: {} points of {} photos, quality {}, made by {} in {:.1} s",
        path.display(),
        metadata.num_points,
        metadata.quality.used(),
        metadata.quality.verdict,
        metadata.model,
        begin.elapsed().as_secs_f64(),
    );
}

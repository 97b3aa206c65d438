//! `pointstream reconstruct`: a reconstruction without a server, by the same actors.

mod error;
mod inputs;
mod options;
mod output;
mod progress;
mod quality;
mod report;

pub use error::ReconstructError;
pub use options::ReconstructOptions;

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use pointstream_actors::{ResultFile, ResultFormat, ResultMetadata, System, Verdict};
use pointstream_inference::resolve_devices;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use self::inputs::{Choice, Photo};
use self::output::Output;
use self::progress::Bar;
use self::report::Report;
use crate::models;
use crate::one_shot::{OneShot, OneShotError};
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
    let mut report = Report::new(&options);
    let done = make(&options, folder, stop, &mut report).await;
    report.write(done.as_ref().err());
    done
}

async fn make(
    options: &ReconstructOptions,
    folder: &Path,
    stop: &CancellationToken,
    report: &mut Report,
) -> Result<(), ReconstructError> {
    // Check the paths first: fetching and loading the model takes long.
    let output = Output::new(options.output.clone(), options.format, options.force)?;
    let choice = Choice {
        frames: options.frames(),
        recursive: options.recursive,
        strict: options.strict,
    };
    let collected = inputs::collect(&options.inputs, choice, folder, report);
    let photos = until_stopped(stop, collected).await?;

    let choice = options.model.device.clone();
    let devices = tokio::task::spawn_blocking(move || resolve_devices(&choice))
        .await
        .map_err(io::Error::other)??;
    let model = models::resolve(&options.model, &devices, stop).await?;
    let settings = options.settings(folder.join("data"), Arc::new(model), devices);
    let system = System::start(settings).await?;
    let format = output.format();
    let work = reconstruct(&system, options, &photos, format, report);
    let done = until_stopped(stop, work).await;
    if !stop.is_cancelled() {
        system.drain().await;
    }
    let (file, metadata) = done?;
    // A closed pipe is not a failure.
    let _ = quality::write(&mut io::stderr(), &metadata.quality);
    if metadata.quality.verdict == Verdict::Failed {
        return Err(ReconstructError::Failed(output.into_path()));
    }
    report.saved(format, file.bytes.len());
    output.save(file.bytes).await
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
    report: &mut Report,
) -> Result<(ResultFile, Arc<ResultMetadata>), ReconstructError> {
    let config = options
        .session
        .config(photos.len(), &system.config_limits())?;
    let mut one_shot = OneShot::begin(system, config, None)
        .await?
        .without_bad_images();
    let mut bar = Bar::new(photos.len());
    // Those that are sent, as the session counts them; `None` for one that it has refused.
    let mut sent: Vec<Option<&Photo>> = Vec::new();
    let mut skipping = Skipping {
        strict: options.strict,
        alone: photos.len() == 1,
        report,
    };
    for photo in photos {
        match inputs::read(photo).await {
            Ok(bytes) => {
                sent.push(Some(photo));
                let name = Some(photo.name.clone());
                one_shot.upload(name, bytes.into(), None).await?;
            }
            Err(error) => skipping.skip(photo, error)?,
        }
        skipping.refused(&mut one_shot, &mut sent)?;
        bar.uploaded();
    }
    let started = one_shot.start().await;
    skipping.refused(&mut one_shot, &mut sent)?;
    match started {
        Err(OneShotError::NoImages) => return Err(ReconstructError::NothingLeft),
        started => started?,
    }
    let (answer, session) = one_shot.result(|progress| bar.show(progress)).await?;
    bar.done();
    let file = session.handle().file(format).await?;
    let file = file.ok_or(ReconstructError::NoResult)?;
    report.made(sent.into_iter().flatten(), answer.metadata.clone());
    Ok((file, answer.metadata.clone()))
}

/// Photos that cannot be used.
struct Skipping<'a> {
    strict: bool,
    /// Whether there is one photo only: then what is wrong with it is the error.
    alone: bool,
    report: &'a mut Report,
}

impl Skipping<'_> {
    fn skip(&mut self, photo: &Photo, error: ReconstructError) -> Result<(), ReconstructError> {
        if self.strict || self.alone {
            return Err(error);
        }
        self.report.skip(&photo.path, &error);
        Ok(())
    }

    /// Skips those that the session has refused.
    fn refused(
        &mut self,
        one_shot: &mut OneShot,
        sent: &mut [Option<&Photo>],
    ) -> Result<(), ReconstructError> {
        for refused in one_shot.take_refused() {
            if let Some(photo) = sent.get_mut(refused.index).and_then(Option::take) {
                let error = ReconstructError::Photo {
                    path: photo.path.clone(),
                    reason: refused.message,
                };
                self.skip(photo, error)?;
            }
        }
        Ok(())
    }
}

//! What a run says about its files and its result.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use pointstream_actors::{ResultFormat, ResultMetadata};
use serde::Serialize;

use super::error::ReconstructError;
use super::inputs::Photo;
use super::options::ReconstructOptions;
use super::output::is_stdout;

/// Files of folders that are named as left out. The JSON report has all.
const NAMED: usize = 10;

/// The report of `--json`. Without it, its parts are told in sentences.
#[derive(Debug, Serialize)]
pub struct Report {
    /// As the user named it.
    output: PathBuf,
    format: Option<ResultFormat>,
    /// Of the result.
    bytes: Option<usize>,
    seconds: f64,
    /// What went to the model, in order.
    photos: Vec<ReportedPhoto>,
    /// Files that cannot be used.
    skipped: Vec<LeftOut>,
    /// Files of folders that are no photos.
    left_out: Vec<LeftOut>,
    metadata: Option<Arc<ResultMetadata>>,
    error: Option<ReportedError>,
    #[serde(skip)]
    begin: Instant,
    #[serde(skip)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct ReportedPhoto {
    /// That of the video for a frame.
    path: PathBuf,
    /// Its name in the metadata.
    name: String,
}

/// A file that is not used.
#[derive(Debug, Serialize)]
pub struct LeftOut {
    pub path: PathBuf,
    pub reason: String,
}

#[derive(Debug, Serialize)]
struct ReportedError {
    message: String,
    exit_code: i32,
}

impl Report {
    pub fn new(options: &ReconstructOptions) -> Self {
        Self {
            output: options.output.clone(),
            format: None,
            bytes: None,
            seconds: 0.0,
            photos: Vec::new(),
            skipped: Vec::new(),
            left_out: Vec::new(),
            metadata: None,
            error: None,
            begin: Instant::now(),
            json: options.json,
        }
    }

    /// A file is skipped, which the user or a folder named as a photo.
    pub fn skip(&mut self, path: &Path, error: &ReconstructError) {
        let reason = error.to_string();
        let shown = path.display().to_string();
        // Those of ffmpeg have several lines.
        let line = reason.replace('\n', "; ");
        tell(&match line.contains(&shown) {
            true => format!("warning: {line}; it is skipped"),
            false => format!("warning: {shown}: {line}; it is skipped"),
        });
        self.skipped.push(LeftOut {
            path: path.to_owned(),
            reason,
        });
    }

    /// Files of folders are no photos.
    pub fn leave_out(&mut self, files: Vec<LeftOut>) {
        for LeftOut { path, reason } in files.iter().take(NAMED) {
            tell(&format!("note: {} is left out: {reason}", path.display()));
        }
        if let Some(more @ 1..) = files.len().checked_sub(NAMED) {
            tell(&format!("note: {more} more are left out; --json lists all"));
        }
        self.left_out.extend(files);
    }

    /// There is a result of these photos.
    pub fn made<'a>(
        &mut self,
        photos: impl Iterator<Item = &'a Photo>,
        metadata: Arc<ResultMetadata>,
    ) {
        let reported = photos.map(|photo| ReportedPhoto {
            path: photo.path.clone(),
            name: photo.name.clone(),
        });
        self.photos = reported.collect();
        self.metadata = Some(metadata);
    }

    /// The result is about to be written.
    pub fn saved(&mut self, format: ResultFormat, bytes: usize) {
        self.format = Some(format);
        self.bytes = Some(bytes);
    }

    /// Tells the outcome: a result to stdout, unless the file itself goes there. Without `--json`, others tell
    /// an error.
    pub fn write(mut self, error: Option<&ReconstructError>) {
        self.seconds = self.begin.elapsed().as_secs_f64();
        self.error = error.map(|error| ReportedError {
            message: error.to_string(),
            exit_code: error.exit_code(),
        });
        let line = match (&self.metadata, error) {
            _ if self.json => match serde_json::to_string(&self) {
                Ok(json) => json,
                Err(error) => return tell(&format!("warning: there is no report: {error}")),
            },
            (Some(metadata), None) => self.sentence(metadata),
            _ => return,
        };
        // A closed pipe is not a failure.
        let _ = match is_stdout(&self.output) {
            true => writeln!(io::stderr(), "{line}"),
            false => writeln!(io::stdout(), "{line}"),
        };
    }

    fn sentence(&self, metadata: &ResultMetadata) -> String {
        format!(
            "{}: {} points of {} photos, quality {}, made by {} in {:.1} s",
            self.output.display(),
            metadata.num_points,
            metadata.quality.used(),
            metadata.quality.verdict,
            metadata.model,
            self.seconds,
        )
    }
}

/// Writes a line to stderr.
fn tell(line: &str) {
    // A closed pipe is not a failure.
    let _ = writeln!(io::stderr(), "{line}");
}

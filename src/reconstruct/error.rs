//! Why there is no point cloud.

use std::io;
use std::path::{Path, PathBuf};

use pointstream_actors::{ResultFileError, ResultFormat, StartError};
use pointstream_reconstruction::model::DeviceError;
use thiserror::Error;

use crate::models::ModelsError;
use crate::one_shot::OneShotError;

/// Why there is no point cloud.
#[derive(Debug, Error)]
pub enum ReconstructError {
    /// A signal asked us to end.
    #[error("interrupted")]
    Interrupted,
    /// A path leads nowhere, or to something that we may not read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder without photos.
    #[error("there are no photos (JPEG, PNG or WebP) in the folder {0}")]
    EmptyFolder(PathBuf),
    /// A file that only ffmpeg may understand, which is not there.
    #[error(
        "{0} is no JPEG, PNG or WebP image; if it is a video, install ffmpeg, which reads its \
         frames, and try again"
    )]
    NoFfmpeg(PathBuf),
    /// A file that ffmpeg does not understand either.
    #[error("{path} is no JPEG, PNG or WebP image, and ffmpeg cannot read it as a video: {reason}")]
    Video {
        /// The file.
        path: PathBuf,
        /// What ffmpeg said.
        reason: String,
    },
    /// Nobody knows what to write.
    #[error(
        "the name {0} does not tell the format; end it in {endings}, or choose one with --format",
        endings = endings()
    )]
    Format(PathBuf),
    /// The result cannot be written.
    #[error("cannot write {path}: {source}")]
    Output {
        /// Where it was to go.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An option of the session is wrong.
    #[error("{0}")]
    Parameter(String),
    /// The devices asked for are not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model was refused.
    #[error(transparent)]
    Model(#[from] ModelsError),
    /// The actors did not start.
    #[error(transparent)]
    Actors(#[from] StartError),
    /// The reconstruction failed.
    #[error(transparent)]
    OneShot(#[from] OneShotError),
    /// The result could not be brought into its format.
    #[error(transparent)]
    Export(#[from] ResultFileError),
    /// The session has forgotten its result.
    #[error("the session has no result")]
    NoResult,
    /// The system refused something that is always there.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl ReconstructError {
    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn output(path: &Path, source: io::Error) -> Self {
        Self::Output {
            path: path.to_owned(),
            source,
        }
    }
}

fn endings() -> String {
    ResultFormat::ALL
        .map(|format| format!(".{}", format.extension()))
        .join(", ")
}

//! Why `pointstream reconstruct` failed.

use std::io;
use std::path::{Path, PathBuf};

use pointstream_actors::{ResultFileError, ResultFormat, StartError};
use pointstream_reconstruction::model::DeviceError;
use thiserror::Error;

use crate::models::ModelsError;
use crate::one_shot::OneShotError;
use crate::video::VideoError;

#[derive(Debug, Error)]
pub enum ReconstructError {
    /// A signal asked the process to end.
    #[error("interrupted")]
    Interrupted,
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "there are no photos (JPEG, PNG, WebP or HEIC) in the folder {0}; --recursive looks into its folders, too"
    )]
    EmptyFolder(PathBuf),
    /// A photo cannot be used.
    #[error("{path}: {reason}")]
    Photo { path: PathBuf, reason: String },
    /// A still picture of a format that is not decoded. It must not be taken for a video: ffmpeg would read a part
    /// of some.
    #[error("{path} is {kind}, which is not read; export it as JPEG or PNG")]
    Still { path: PathBuf, kind: String },
    /// Nothing is left of the inputs. What is wrong with each was written already.
    #[error("none of the photos can be used")]
    NothingLeft,
    /// The file exists, and `--force` is not given.
    #[error("{0} exists already; --force replaces it, and --output FILE writes another one")]
    Exists(PathBuf),
    #[error(
        "the result is no text for a terminal; send it to a file or a program, or name one with --output"
    )]
    Terminal,
    /// The file may be a video, but ffmpeg is not installed.
    #[error(
        "{0} is no JPEG, PNG, WebP or HEIC image; if it is a video, install ffmpeg, which reads its \
         frames, and try again"
    )]
    NoFfmpeg(PathBuf),
    /// The file is neither an image nor a video that ffmpeg reads.
    #[error(
        "{path} is no JPEG, PNG, WebP or HEIC image, and ffmpeg cannot read it as a video: {reason}"
    )]
    Video {
        path: PathBuf,
        /// ffmpeg's message.
        reason: String,
    },
    /// ffmpeg cannot make sRGB of an HDR video.
    #[error(
        "{path} is an HDR video ({hdr}), and the installed ffmpeg cannot convert its colours: it lacks the \
         filters {filters}; install an ffmpeg with them (that of Debian, Ubuntu or Fedora has them), or \
         convert the video to SDR first"
    )]
    ToneMapping {
        path: PathBuf,
        /// The transfer function.
        hdr: &'static str,
        /// Those that are missing.
        filters: String,
    },
    /// Neither the file's name nor `--format` names a format.
    #[error(
        "the name {0} does not tell the format; end it in {endings}, or choose one with --format",
        endings = endings()
    )]
    Format(PathBuf),
    #[error("cannot write {path}: {source}")]
    Output { path: PathBuf, source: io::Error },
    /// A parameter of the session is wrong.
    #[error("{0}")]
    Parameter(String),
    /// The devices of `--device` do not exist.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelsError),
    #[error(transparent)]
    Actors(#[from] StartError),
    #[error(transparent)]
    OneShot(#[from] OneShotError),
    #[error(transparent)]
    ResultFile(#[from] ResultFileError),
    #[error("the session has no result")]
    NoResult,
    /// There is a result, but its verdict is `failed`. What is wrong was written already.
    #[error("these photos give no point cloud; {0} is not written")]
    Failed(PathBuf),
    /// The system refused signals, threads or temporary files.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl ReconstructError {
    /// The exit code of the program.
    pub fn exit_code(&self) -> i32 {
        match self {
            // The convention of shells: 128 plus the number of the signal.
            Self::Interrupted => 128 + libc::SIGINT,
            Self::Failed(_) => 3,
            _ => 1,
        }
    }

    pub(super) fn video(path: &Path, error: VideoError) -> Self {
        let path = path.to_owned();
        match error {
            VideoError::NoFfmpeg => Self::NoFfmpeg(path),
            VideoError::Still(kind) => Self::Still { path, kind },
            VideoError::ToneMapping { hdr, filters } => Self::ToneMapping { path, hdr, filters },
            VideoError::System(error) => Self::System(error),
            error => Self::Video {
                path,
                reason: error.to_string(),
            },
        }
    }

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
    let endings: Vec<_> = ResultFormat::endings().collect();
    endings.join(", ")
}

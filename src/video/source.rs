//! A video file, and how far ffmpeg may go with it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::bounds::{Bounds, THREADS};

/// Formats of files that hold videos and name no other files: MP4 and MOV, MKV and WebM, AVI, WMV, FLV, MPEG,
/// Ogg, MXF and IVF. A playlist could make ffmpeg read files of this machine, or of others.
const FORMATS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpegts,mpeg,ogg,mxf,ivf";
/// The file of a video that was sent, in its folder.
const SENT: &str = "video";

/// A video file.
#[derive(Debug, Clone)]
pub struct Source {
    /// As ffmpeg takes it.
    name: OsString,
    /// Where the programs run, and how far, for a file of a stranger.
    confined: Option<(PathBuf, Bounds)>,
}

impl Source {
    /// A file that the user names.
    ///
    /// # Errors
    /// If the current folder is unknown.
    pub fn own(path: &Path) -> io::Result<Self> {
        // Without the prefix, a name could be read as an option or as an address.
        let mut name = OsString::from("file:");
        name.push(std::path::absolute(path)?);
        Ok(Self {
            name,
            confined: None,
        })
    }

    /// The file [`Self::file_in`] a folder, which somebody has sent.
    pub fn sent(folder: &Path, bounds: Bounds) -> Self {
        Self {
            name: format!("file:{SENT}").into(),
            confined: Some((folder.to_owned(), bounds)),
        }
    }

    /// Where a video that is sent is to be written.
    pub fn file_in(folder: &Path) -> PathBuf {
        folder.join(SENT)
    }

    pub fn bounds(&self) -> Option<&Bounds> {
        self.confined.as_ref().map(|(_, bounds)| bounds)
    }

    /// One of ffmpeg's programs, without arguments.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        if let Some((folder, _)) = &self.confined {
            command.current_dir(folder).env_clear();
            if let Some(path) = std::env::var_os("PATH") {
                command.env("PATH", path);
            }
        }
        command
    }

    /// ffprobe with these options, on this file.
    pub fn ffprobe(&self, options: &[&str]) -> Command {
        let mut command = self.program("ffprobe");
        command.args(["-v", "error"]).args(options);
        self.restrict(&mut command);
        command.arg(&self.name);
        command
    }

    /// ffmpeg with this file as its input.
    pub fn ffmpeg(&self) -> Command {
        let mut command = self.program("ffmpeg");
        command.args(["-v", "error", "-nostdin"]);
        if self.confined.is_some() {
            command.args(["-filter_threads", "1"]);
            command.args(["-threads", &THREADS.to_string()]);
        }
        self.restrict(&mut command);
        command.arg("-i").arg(&self.name);
        command
    }

    fn restrict(&self, command: &mut Command) {
        if let Some((_, bounds)) = &self.confined {
            command.args(["-protocol_whitelist", "file"]);
            command.args(["-format_whitelist", FORMATS]);
            let most = bounds.pixels.min(i32::MAX as u64);
            command.args(["-max_pixels", &most.to_string()]);
        }
    }
}

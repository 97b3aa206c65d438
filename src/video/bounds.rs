//! What ffmpeg may take for a video of a stranger.

use std::io;
use std::path::Path;
use std::time::Duration;

use pointstream_actors::free_bytes;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::error::VideoError;
use super::frames::FRAME_ENDING;

/// Threads of a decoder. The machine is there for others, too.
pub const THREADS: u32 = 2;
/// Longest side of a frame in pixels.
pub const LONGEST_SIDE: u32 = 3840;
/// Address space of a program: enough for 4K video with all its reference frames.
const ADDRESS_SPACE: u64 = 4 << 30;
/// Time between two looks at what is written.
const LOOK: Duration = Duration::from_millis(200);

/// What ffmpeg may take for a video of a stranger.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Pixels of a frame as it is in the video.
    pub pixels: u64,
    /// Bytes of all frames together.
    pub frame_bytes: u64,
    /// Free bytes that are left on the disk.
    pub reserve: u64,
    /// The longest time of a run.
    pub time: Duration,
}

impl Bounds {
    /// Limits a program that has just started.
    ///
    /// # Errors
    /// If the system refuses that.
    pub fn limit(&self, process: u32) -> io::Result<()> {
        let process = i32::try_from(process).ok().and_then(Pid::from_raw);
        let process = process.ok_or_else(|| io::Error::other("a process without an identifier"))?;
        let seconds = self.time.as_secs().max(1);
        let limits = [
            (Resource::As, ADDRESS_SPACE),
            // Who waits for it goes by the clock; this ends one that nobody waits for any more.
            (
                Resource::Cpu,
                seconds.saturating_mul(u64::from(THREADS) + 1),
            ),
            (Resource::Fsize, self.frame_bytes),
            (Resource::Core, 0),
        ];
        for (resource, limit) in limits {
            let limit = Rlimit {
                current: Some(limit),
                maximum: Some(limit),
            };
            match prlimit(Some(process), resource, limit) {
                // It has ended already.
                Ok(_) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Returns when the frames in a folder take too much.
    pub async fn exceeded(&self, folder: &Path) -> VideoError {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = self.check(folder).await {
                return error;
            }
        }
    }

    /// Checks what the frames in a folder take.
    ///
    /// # Errors
    /// If that is too much, or too little is left.
    pub async fn check(&self, folder: &Path) -> Result<(), VideoError> {
        let (bounds, folder) = (*self, folder.to_owned());
        tokio::task::spawn_blocking(move || bounds.check_now(&folder))
            .await
            .map_err(io::Error::other)?
    }

    fn check_now(&self, folder: &Path) -> Result<(), VideoError> {
        let mut taken = 0_u64;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry
                .path()
                .extension()
                .is_some_and(|end| end == FRAME_ENDING)
            {
                taken = taken.saturating_add(entry.metadata()?.len());
            }
        }
        if taken > self.frame_bytes {
            return Err(VideoError::TooLarge(self.frame_bytes));
        }
        check_free(folder, self.reserve, 0)?;
        Ok(())
    }
}

/// Checks that `reserve` bytes of a disk are free when `more` are written. Blocks.
///
/// # Errors
/// [`io::ErrorKind::StorageFull`] if not; also if the system does not tell.
pub fn check_free(folder: &Path, reserve: u64, more: u64) -> io::Result<()> {
    match free_bytes(folder)? < reserve.saturating_add(more) {
        true => Err(io::Error::new(
            io::ErrorKind::StorageFull,
            "the disk of the server is nearly full; try again later",
        )),
        false => Ok(()),
    }
}

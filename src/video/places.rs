//! The server's videos: whether it reads any, and how many at a time.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bounds::check_free;
use super::options::VideoMode;
use super::scratch::{Scratch, remove_all};

/// Videos at the same time.
const ALL: usize = 2;
/// The folder for them in the data directory.
const FOLDER: &str = "videos";
/// ffmpeg's programs.
const PROGRAMS: [&str; 2] = ["ffmpeg", "ffprobe"];
/// Longest time for a program to tell its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(20);

/// The server does not start.
#[derive(Debug, Error)]
pub enum VideosError {
    #[error(
        "--videos on needs ffmpeg, and {0} cannot be started; install ffmpeg (Debian: apt install ffmpeg), or \
         start with --videos off"
    )]
    NoFfmpeg(&'static str),
    #[error(
        "the videos that an earlier server has left in {path} cannot be removed: {source}; remove them"
    )]
    LeftOver { path: PathBuf, source: io::Error },
    #[error("the videos that an earlier server has left cannot be removed: {0}")]
    Work(#[from] tokio::task::JoinError),
}

/// No video is read for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoVideo {
    #[error(
        "this server reads no videos, since it was started with --videos off; send images, or ask its operator"
    )]
    Off,
    #[error(
        "this server reads no videos, since other machines may reach it; send images, or ask its operator to \
         start it with --videos on"
    )]
    Exposed,
    #[error(
        "this server reads no videos, since ffmpeg is not installed; send images, or ask its operator to \
         install ffmpeg and start the server again"
    )]
    NoFfmpeg,
    #[error("the server reads another video of this client; try again when it is done")]
    OfClient,
    #[error("the server reads videos of others; try again later")]
    Full,
}

/// Whether the server reads videos.
#[derive(Debug)]
pub enum Reader {
    /// For all clients.
    On,
    /// For clients on this machine.
    Private,
    /// Why not.
    Off(NoVideo),
}

impl Reader {
    /// Looks whether it can. `is_private` tells whether only this machine reaches the server.
    ///
    /// # Errors
    /// [`VideosError`] if it must, and ffmpeg is not installed.
    pub async fn find(mode: VideoMode, is_private: bool) -> Result<Self, VideosError> {
        match mode {
            VideoMode::Off => return Ok(Self::Off(NoVideo::Off)),
            VideoMode::Auto if !is_private => return Ok(Self::Off(NoVideo::Exposed)),
            VideoMode::Auto | VideoMode::On => {}
        }
        let found = tokio::join!(is_installed(PROGRAMS[0]), is_installed(PROGRAMS[1]));
        let missing = match found {
            (true, true) if mode == VideoMode::On => return Ok(Self::On),
            (true, true) => return Ok(Self::Private),
            (false, _) => PROGRAMS[0],
            (true, false) => PROGRAMS[1],
        };
        match mode {
            VideoMode::On => Err(VideosError::NoFfmpeg(missing)),
            VideoMode::Auto | VideoMode::Off => Ok(Self::Off(NoVideo::NoFfmpeg)),
        }
    }
}

async fn is_installed(program: &str) -> bool {
    let mut version = Command::new(program);
    version.arg("-version").kill_on_drop(true);
    version.stdin(Stdio::null()).stdout(Stdio::null());
    let status = version.stderr(Stdio::null()).status();
    let status = tokio::time::timeout(VERSION_TIMEOUT, status).await;
    status.is_ok_and(|status| status.is_ok_and(|status| status.success()))
}

/// The server's videos.
#[derive(Debug)]
pub struct Videos {
    reader: Reader,
    folder: PathBuf,
    /// Bytes of the disk that stay free.
    reserve: u64,
    /// Cancelled when the server ends.
    stop: CancellationToken,
    clients: Arc<Mutex<HashSet<Arc<str>>>>,
    scratches: TaskTracker,
}

impl Videos {
    /// Removes what an earlier process has left in the data directory, which no other server uses. Blocks.
    ///
    /// # Errors
    /// [`VideosError::LeftOver`] if that cannot be removed.
    pub fn new(
        reader: Reader,
        data_dir: &Path,
        reserve: u64,
        stop: CancellationToken,
    ) -> Result<Self, VideosError> {
        let folder = data_dir.join(FOLDER);
        remove_all(&folder).map_err(|source| VideosError::LeftOver {
            path: folder.clone(),
            source,
        })?;
        Ok(Self {
            reader,
            folder,
            reserve,
            stop,
            clients: Arc::default(),
            scratches: TaskTracker::new(),
        })
    }

    pub fn are_read(&self) -> bool {
        matches!(self.reader, Reader::On | Reader::Private)
    }

    /// Whether videos of a client are read. `is_forwarded` tells whether a proxy has forwarded its request, also
    /// one that the operator has not told of.
    ///
    /// # Errors
    /// [`NoVideo`] that says why not.
    pub fn check(&self, is_forwarded: bool) -> Result<(), NoVideo> {
        match self.reader {
            Reader::Off(why) => Err(why),
            Reader::Private if is_forwarded => Err(NoVideo::Exposed),
            Reader::On | Reader::Private => Ok(()),
        }
    }

    /// Takes a place for a video of a client.
    ///
    /// # Errors
    /// [`NoVideo`] if none is free.
    pub fn admit(&self, client: Arc<str>) -> Result<Place, NoVideo> {
        let mut clients = lock(&self.clients);
        if clients.contains(&client) {
            return Err(NoVideo::OfClient);
        }
        if clients.len() >= ALL {
            return Err(NoVideo::Full);
        }
        clients.insert(client.clone());
        Ok(Place {
            client,
            clients: self.clients.clone(),
        })
    }

    /// A folder for a video.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn scratch(&self) -> io::Result<Scratch> {
        let (folder, token) = (self.folder.clone(), self.scratches.token());
        let created = tokio::task::spawn_blocking(move || Scratch::new(&folder, token));
        created.await.map_err(io::Error::other)?
    }

    /// Checks that the disk has room for so many bytes more.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] if not.
    pub async fn check_free(&self, scratch: &Scratch, more: u64) -> io::Result<()> {
        let (folder, reserve) = (scratch.path().to_owned(), self.reserve);
        let checked = tokio::task::spawn_blocking(move || check_free(&folder, reserve, more));
        checked.await.map_err(io::Error::other)?
    }

    /// Bytes of the disk that stay free.
    pub fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Waits until the files of all videos are removed.
    pub async fn removed(&self) {
        self.scratches.close();
        self.scratches.wait().await;
    }

    /// Waits until the server ends.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

/// A place for a video of a client, until it is dropped.
#[derive(Debug)]
pub struct Place {
    client: Arc<str>,
    clients: Arc<Mutex<HashSet<Arc<str>>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.clients).remove(&self.client);
    }
}

fn lock(clients: &Mutex<HashSet<Arc<str>>>) -> MutexGuard<'_, HashSet<Arc<str>>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn two_clients_have_a_video_each() {
        let data = tempfile::TempDir::new().expect("writable");
        let videos = Videos::new(Reader::On, data.path(), 0, CancellationToken::new());
        let videos = videos.expect("nothing is left");
        let take = |client: &str| videos.admit(client.into());
        let first = take("a").expect("free");
        assert_eq!(take("a").err(), Some(NoVideo::OfClient));
        let second = take("b").expect("free");
        assert_eq!(take("c").err(), Some(NoVideo::Full));
        drop(first);
        assert_eq!(take("b").err(), Some(NoVideo::OfClient));
        drop((take("c").expect("free"), second));
        take("b").expect("free");
    }

    #[test]
    fn a_proxy_that_nobody_told_of_is_noticed() {
        let data = tempfile::TempDir::new().expect("writable");
        let videos = |reader| {
            let videos = Videos::new(reader, data.path(), 0, CancellationToken::new());
            videos.expect("nothing is left")
        };
        assert_eq!(videos(Reader::On).check(true), Ok(()));
        assert_eq!(videos(Reader::Private).check(false), Ok(()));
        let private = videos(Reader::Private);
        assert_eq!(private.check(true), Err(NoVideo::Exposed));
        assert!(private.are_read());
    }

    #[test]
    fn what_an_earlier_process_has_left_is_removed() {
        let data = tempfile::TempDir::new().expect("writable");
        let left = data.path().join(FOLDER).join("video-1");
        fs::create_dir_all(&left).expect("writable");
        fs::write(left.join("video"), b"left").expect("writable");
        let off = Reader::Off(NoVideo::Off);
        let videos = Videos::new(off, data.path(), 0, CancellationToken::new());
        assert_eq!(videos.expect("removed").check(false), Err(NoVideo::Off));
        assert!(!data.path().join(FOLDER).exists());
    }
}

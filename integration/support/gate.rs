//! Blocks the server's file access until a test allows it.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::server::Server;

/// A named pipe in place of files: opening one of them blocks until the gate is open.
pub struct Gate {
    folder: TempDir,
}

impl Gate {
    pub fn new() -> Self {
        let gate = Self {
            folder: super::paths::new_data_dir(),
        };
        let path = CString::new(gate.pipe().as_os_str().as_bytes()).expect("a plain name");
        // SAFETY: the path is a valid NUL-terminated string.
        let made = unsafe { libc::mkfifo(path.as_ptr(), 0o600) };
        assert_eq!(made, 0, "the folder for temporary files has pipes");
        gate
    }

    fn pipe(&self) -> PathBuf {
        self.folder.path().join("gate")
    }

    /// Replaces this existing or future file by the gate.
    pub fn bar(&self, file: &Path) {
        // The file may not exist yet.
        let _ = std::fs::remove_file(file);
        std::os::unix::fs::symlink(self.pipe(), file).expect("writable");
    }

    /// Blocks storing the first images of a session.
    pub fn bar_images(&self, server: &Server, session: &str, images: u32) {
        let folder = server.session_folder(session);
        for number in 1..=images {
            self.bar(&folder.join(format!("{number}.image.part")));
        }
    }

    /// Unblocks current and future accesses while the returned file lives. Written data stay in the
    /// pipe, which has room for a few small images; readers wait until the file is dropped.
    pub fn open(&self) -> File {
        let mut options = File::options();
        // On Linux, opening a pipe for reading and writing never blocks.
        options.read(true).write(true);
        options.open(self.pipe()).expect("the pipe is there")
    }
}

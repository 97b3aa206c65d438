//! A place at which the server's work stands still for as long as a test wants.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::server::Server;

/// A named pipe in the place of files: who opens one of them waits until the gate is opened.
pub struct Gate {
    folder: TempDir,
}

impl Gate {
    pub fn new() -> Self {
        let gate = Self {
            folder: super::server::new_data_dir(),
        };
        let path = CString::new(gate.pipe().as_os_str().as_bytes()).expect("a plain name");
        // SAFETY: a plain system call with a string that ends.
        let made = unsafe { libc::mkfifo(path.as_ptr(), 0o600) };
        assert_eq!(made, 0, "the folder for temporary files has pipes");
        gate
    }

    fn pipe(&self) -> PathBuf {
        self.folder.path().join("gate")
    }

    /// Puts the gate where this file is or will be.
    pub fn bar(&self, file: &Path) {
        // It need not be there yet.
        let _ = std::fs::remove_file(file);
        std::os::unix::fs::symlink(self.pipe(), file).expect("writable");
    }

    /// Has the first images of a session wait before they are stored.
    pub fn bar_images(&self, server: &Server, session: &str, images: u32) {
        let folder = server.session_folder(session);
        for number in 1..=images {
            self.bar(&folder.join(format!("{number}.image")));
        }
    }

    /// Lets pass what waits, and what comes as long as the file is kept. What is written stays in
    /// the pipe, which has room for a few small pictures; who reads waits until the file is dropped.
    pub fn open(&self) -> File {
        let mut options = File::options();
        // Never waits on Linux, for it is its own other end.
        options.read(true).write(true);
        options.open(self.pipe()).expect("the pipe is there")
    }
}

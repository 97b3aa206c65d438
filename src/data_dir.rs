//! The folder for the sessions' files, if the operator chose none.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::base_dirs::base_dir;

/// A folder that exists. The actors lock it against other servers.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Whether we chose the folder, and so take it away again.
    ours: bool,
}

/// The folder cannot be made.
#[derive(Debug, Error)]
#[error("the data folder {path} cannot be used: {source}; choose another with --data-dir")]
pub struct DataDirError {
    path: PathBuf,
    source: io::Error,
}

impl DataDir {
    /// Makes the folder, or the default one for an address, if need be. Blocks on the file system.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn open(chosen: Option<&Path>, address: SocketAddr) -> Result<Self, DataDirError> {
        let ours = chosen.is_none();
        let path = chosen.map_or_else(|| default_path(address), Path::to_owned);
        // Photos are private.
        match DirBuilder::new().recursive(true).mode(0o700).create(&path) {
            Ok(()) => Ok(Self { path, ours }),
            Err(source) => Err(DataDirError { path, source }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the folder away if we chose it: the next server there may never come.
    pub fn close(self) {
        if !self.ours {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the data folder is left");
        }
    }
}

/// A folder of its own for each address, so that servers on several ports do not meet, and a later
/// server on the same one clears what a killed one left behind.
fn default_path(address: SocketAddr) -> PathBuf {
    base_dir("XDG_STATE_HOME", ".local/state")
        .unwrap_or_else(std::env::temp_dir)
        .join("pointstream")
        // Colons would be at odds with lists of paths and with other file systems.
        .join(address.to_string().replace(':', "-"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("pointstream-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_new_folder_is_private_and_one_that_was_chosen_stays() {
        let path = scratch("private");
        let folder = DataDir::open(Some(&path.join("below")), ADDRESS).expect("usable");
        let mode = fs::metadata(folder.path())
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        folder.close();
        assert!(path.join("below").exists());
        fs::remove_dir_all(&path).expect("there");
    }

    #[test]
    fn a_file_is_no_folder() {
        let path = scratch("file");
        fs::write(&path, b"").expect("writable");
        let error = DataDir::open(Some(&path), ADDRESS).expect_err("a file");
        assert!(error.to_string().contains("--data-dir"));
        fs::remove_file(&path).expect("there");
    }

    #[test]
    fn each_port_has_its_own_default() {
        let other = SocketAddr::new(ADDRESS.ip(), 8001);
        assert_ne!(default_path(ADDRESS), default_path(other));
        assert!(default_path(ADDRESS).ends_with("pointstream/127.0.0.1-8000"));
    }
}

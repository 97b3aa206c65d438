//! The folder for the sessions' files.

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
    /// Whether no later server goes on with it, so that it is removed when this one ends.
    is_temporary: bool,
}

/// The folder cannot be created.
#[derive(Debug, Error)]
#[error("the data folder {path} cannot be used: {source}; choose another with --data-dir")]
pub struct DataDirError {
    path: PathBuf,
    source: io::Error,
}

impl DataDir {
    /// Creates the folder unless it exists. Without a choice it is the default one for the address
    /// that the server listens on. `is_any_port` tells whether the system has chosen the port: no later
    /// server finds the default folder then. Blocks on the file system.
    pub fn open(
        chosen: Option<&Path>,
        address: SocketAddr,
        is_any_port: bool,
    ) -> Result<Self, DataDirError> {
        let is_temporary = chosen.is_none() && is_any_port;
        let path = path(chosen, address);
        // Other users must not see the photos.
        match DirBuilder::new().recursive(true).mode(0o700).create(&path) {
            Ok(()) => Ok(Self { path, is_temporary }),
            Err(source) => Err(DataDirError { path, source }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder if no later server goes on with it.
    pub fn close(self) {
        if !self.is_temporary {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(
                path = %self.path.display(),
                %error,
                "cannot remove the data folder; remove it by hand"
            );
        }
    }
}

/// Where the folder is: the chosen one, or the default one for an address.
pub fn path(chosen: Option<&Path>, address: SocketAddr) -> PathBuf {
    chosen.map_or_else(|| default_path(address), Path::to_owned)
}

/// Each address has its own folder. Servers on several ports do not share one, and a server on the
/// same address goes on with what the last one left.
fn default_path(address: SocketAddr) -> PathBuf {
    base_dir("XDG_STATE_HOME", ".local/state")
        .unwrap_or_else(std::env::temp_dir)
        .join("pointstream")
        // Colons separate paths in lists, and some file systems do not allow them.
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
    fn a_new_folder_is_private_and_a_chosen_one_is_not_removed() {
        let path = scratch("private");
        let folder = DataDir::open(Some(&path.join("below")), ADDRESS, true).expect("usable");
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
    fn a_file_in_place_of_the_folder_is_an_error() {
        let path = scratch("file");
        fs::write(&path, b"").expect("writable");
        let error = DataDir::open(Some(&path), ADDRESS, false).expect_err("a file");
        assert!(error.to_string().contains("--data-dir"));
        fs::remove_file(&path).expect("there");
    }

    #[test]
    fn each_port_has_its_own_default_folder() {
        let other = SocketAddr::new(ADDRESS.ip(), 8001);
        assert_ne!(default_path(ADDRESS), default_path(other));
        assert!(default_path(ADDRESS).ends_with("pointstream/127.0.0.1-8000"));
    }
}

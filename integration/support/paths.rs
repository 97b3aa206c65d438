//! Folders that tests use.

use std::path::Path;

use tempfile::TempDir;

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A new folder, removed when the value is dropped.
pub fn new_data_dir() -> TempDir {
    TempDir::with_prefix("pointstream-").expect("the folder for temporary files is writable")
}

//! Test models.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::paths::new_data_dir;
pub use super::paths::repository;
use super::python;

/// Path of the archive with this name, for example `flat`; the first call writes all of them.
pub fn archive(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let path = FOLDER.get_or_init(write_all).join(format!("{name}.pt"));
    assert!(path.is_file(), "there is no {}", path.display());
    path
}

fn write_all() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("archives");
    // Write to a temporary folder and rename: another test run may be reading the old ones.
    let fresh = new_data_dir();
    let output = Command::new(python::interpreter())
        .args(["-m", "weights.tests.archives"])
        .arg(fresh.path())
        .current_dir(repository())
        .output()
        .expect("Python starts");
    assert!(
        output.status.success(),
        "the archives could not be written:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::create_dir_all(&folder).expect("cargo's folder is writable");
    for entry in fresh.path().read_dir().expect("it was just written") {
        let entry = entry.expect("it was just written");
        let target = folder.join(entry.file_name());
        let partial = target.with_extension(format!("{}.partial", std::process::id()));
        std::fs::copy(entry.path(), &partial).expect("cargo's folder is writable");
        std::fs::rename(&partial, &target).expect("cargo's folder is writable");
    }
    folder
}

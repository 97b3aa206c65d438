//! Files of the store: read only if no other user could have written them, and written atomically.

use std::fs::Permissions;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use fs_err as fs;
use serde::Serialize;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::error::ModelsError;

/// Write permission of the group and of all others.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Longest JSON file that is read, in bytes; the store's files have a few hundred.
const MAX_JSON_BYTES: u64 = 64 * 1024;

/// Opens a regular file that belongs to the user of this process or to root, and that only its
/// owner can write. Does not follow a symbolic link. None if there is no file.
pub fn open(path: &Path) -> Result<Option<fs::File>, ModelsError> {
    let untrusted = |reason: String| ModelsError::Untrusted {
        path: path.to_owned(),
        reason,
    };
    let opened = std::fs::OpenOptions::new()
        .read(true)
        // Without O_NONBLOCK, opening a named pipe would block.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let file = match opened {
        Ok(file) => fs::File::from_parts(file, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(untrusted("it is a symbolic link".to_owned()));
        }
        Err(error) => return Err(named("open", path, &error).into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(untrusted("it is not a regular file".to_owned()));
    }
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user && owner != 0 {
        return Err(untrusted(format!(
            "it belongs to user {owner}, but this process is user {user}"
        )));
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(untrusted("others may write it".to_owned()));
    }
    Ok(Some(file))
}

/// Whether there is a folder of this path. A symbolic link to one is refused: its target may belong
/// to another user.
pub fn is_folder(path: &Path) -> Result<bool, ModelsError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(metadata) => {
            let reason = match metadata.is_symlink() {
                true => "it is a symbolic link",
                false => "it is not a folder",
            };
            Err(ModelsError::Untrusted {
                path: path.to_owned(),
                reason: reason.to_owned(),
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reads a JSON file as [`open`] opens it. None if there is no file.
pub fn read_json(path: &Path) -> Result<Option<Vec<u8>>, ModelsError> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let mut json = Vec::new();
    file.take(MAX_JSON_BYTES).read_to_end(&mut json)?;
    Ok(Some(json))
}

/// Writes a JSON file, first to the folder `scratch` on the same file system.
pub fn write_json(path: &Path, value: &impl Serialize, scratch: &Path) -> io::Result<()> {
    let mut fresh = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(scratch)?;
    serde_json::to_writer_pretty(&mut fresh, value)?;
    persist(&fresh.into_temp_path(), path)
}

/// Renames a file. After a loss of power, the new path has all of the file or nothing.
pub fn persist(from: &Path, to: &Path) -> io::Result<()> {
    fs::File::open(from)?.sync_all()?;
    fs::rename(from, to)?;
    fs::File::open(to.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Creates a folder and its parents with these permissions.
pub fn create_folder(folder: &Path, mode: u32) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(mode).create(folder);
    made.map_err(|error| named("create", folder, &error))
}

/// Adds the path to the message of an error, where `fs_err` lacks the function.
fn named(action: &str, path: &Path, error: &io::Error) -> io::Error {
    let message = format!("cannot {action} {}: {error}", path.display());
    io::Error::new(error.kind(), message)
}

/// Removes everything in a folder except the entries of these names.
pub fn keep_only(folder: &Path, names: &[&str]) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !names.iter().any(|name| entry.file_name() == *name) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file, a link or a folder with its content. Returns whether there was one.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path)?,
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// The length of the content in bytes and its SHA-256 in hexadecimal digits.
pub fn checksum(mut content: impl Read) -> io::Result<(u64, String)> {
    let mut hasher = Sha256::new();
    let bytes = io::copy(&mut content, &mut hasher)?;
    Ok((bytes, format!("{:x}", hasher.finalize())))
}

/// The time in whole seconds.
pub fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now)
}

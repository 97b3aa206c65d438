//! Reading files that are code: only ones that nobody else could have written.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::error::ModelsError;

/// Write permission of the group and of all others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Opens a regular file that only its owner, which is the user of this process or root, can write.
/// A symbolic link is not followed. None if there is no file.
pub fn open(path: &Path) -> Result<Option<File>, ModelsError> {
    let untrusted = |reason: String| ModelsError::Untrusted {
        path: path.to_owned(),
        reason,
    };
    let opened = OpenOptions::new()
        .read(true)
        // A pipe in the file's place would block.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(untrusted("it is a symbolic link".to_owned()));
        }
        Err(error) => return Err(ModelsError::file("read", path, error)),
    };
    let metadata = file
        .metadata()
        .map_err(|error| ModelsError::file("read", path, error))?;
    if !metadata.is_file() {
        return Err(untrusted("it is no regular file".to_owned()));
    }
    // SAFETY: geteuid has no preconditions and cannot fail.
    let user = unsafe { libc::geteuid() };
    if metadata.uid() != user && metadata.uid() != 0 {
        let owner = metadata.uid();
        return Err(untrusted(format!(
            "it belongs to user {owner}, but this process is user {user}"
        )));
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(untrusted("others may write it".to_owned()));
    }
    Ok(Some(file))
}

/// Reads such a file, which has at most this many bytes. None if there is no file.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, ModelsError> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let too_long = || ModelsError::Untrusted {
        path: path.to_owned(),
        reason: format!("it is longer than {limit} bytes"),
    };
    let fail = |error| ModelsError::file("read", path, error);
    let length = file.metadata().map_err(fail)?.len();
    if length > limit {
        return Err(too_long());
    }
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // It may grow while it is read.
    file.take(limit + 1)
        .read_to_end(&mut content)
        .map_err(fail)?;
    if content.len() as u64 > limit {
        return Err(too_long());
    }
    Ok(Some(content))
}

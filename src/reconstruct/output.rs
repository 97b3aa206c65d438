//! The file that gets the result, or stdout.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pointstream_actors::{BlobView, ResultFormat};

use super::error::ReconstructError;

/// Bytes that are copied at a time.
const PIECE: usize = 1 << 20;

/// Where the result goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    /// As the user named it.
    path: PathBuf,
    target: Target,
    format: ResultFormat,
}

#[derive(Debug, PartialEq, Eq)]
enum Target {
    Stdout,
    File {
        /// The path with its symbolic link resolved.
        path: PathBuf,
        /// Whether a file that is there is replaced.
        replace: bool,
    },
}

/// Whether a path means stdout.
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

impl Output {
    /// A file of this format, or of the one that the end of its name selects; `-` is stdout. Checks that it
    /// can be written.
    ///
    /// # Errors
    /// [`ReconstructError::Format`], [`ReconstructError::Output`], [`ReconstructError::Terminal`], or
    /// [`ReconstructError::Exists`] unless the file may be replaced.
    pub fn new(
        path: PathBuf,
        format: Option<ResultFormat>,
        replace: bool,
    ) -> Result<Self, ReconstructError> {
        let named = path
            .file_name()
            .and_then(|name| ResultFormat::of_file_name(&name.to_string_lossy()));
        let Some(format) = format.or(named) else {
            return Err(ReconstructError::Format(path));
        };
        if is_stdout(&path) {
            return match io::stdout().is_terminal() {
                true => Err(ReconstructError::Terminal),
                false => Ok(Self {
                    path,
                    target: Target::Stdout,
                    format,
                }),
            };
        }
        let target = match target(&path) {
            Ok(target) => target,
            Err(source) => return Err(ReconstructError::output(&path, source)),
        };
        if !replace && target.exists() {
            return Err(ReconstructError::Exists(path));
        }
        // Fail now, and not after the reconstruction.
        create(&target).map_err(|source| ReconstructError::output(&path, source))?;
        Ok(Self {
            path,
            target: Target::File {
                path: target,
                replace,
            },
            format,
        })
    }

    /// The path as the user named it.
    pub fn into_path(self) -> PathBuf {
        self.path
    }

    pub fn format(&self) -> ResultFormat {
        self.format
    }

    /// Writes all of the file or nothing.
    ///
    /// # Errors
    /// [`ReconstructError::Output`], or [`ReconstructError::Exists`] for a file that was made meanwhile.
    pub async fn save(self, content: BlobView) -> Result<(), ReconstructError> {
        let written = tokio::task::spawn_blocking(move || match self.target.save(&content) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(ReconstructError::Exists(self.path))
            }
            Err(source) => Err(ReconstructError::output(&self.path, source)),
        });
        written.await.map_err(io::Error::other)?
    }
}

impl Target {
    fn save(&self, content: &BlobView) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                copy(content, &mut stdout)?;
                stdout.flush()
            }
            Self::File { path, replace } => {
                let mut file = create(path)?;
                copy(content, file.as_file_mut())?;
                match replace {
                    true => file.persist(path)?,
                    false => file.persist_noclobber(path)?,
                };
                Ok(())
            }
        }
    }
}

/// A temporary file in the same folder, which is removed unless it becomes the target.
fn create(target: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    tempfile::Builder::new()
        .prefix(".pointstream-")
        // `create_new` gives it the usual permissions, and errors do not name the temporary file.
        .make_in(folder, |path| File::create_new(path))
}

/// Writes the content piece by piece.
fn copy(content: &BlobView, file: &mut impl Write) -> io::Result<()> {
    for begin in (0..content.len()).step_by(PIECE) {
        file.write_all(&content.slice(begin..begin + PIECE).read()?)?;
    }
    Ok(())
}

/// The file that a path names. A symbolic link is followed, so that it stays a link.
fn target(path: &Path) -> io::Result<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.ends_with(b"/") || bytes.ends_with(b"/.") {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() => fs::canonicalize(path),
        // A file must not replace /dev/null, for example.
        Ok(_) => Err(io::Error::other("it is a device or a pipe, not a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            // A link to a file that does not exist yet. A circle of links is another error.
            Ok(link) => target(&path.parent().unwrap_or(Path::new("")).join(link)),
            Err(_) => Ok(path.to_owned()),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_selects_the_format_unless_one_is_given() {
        let folder = tempfile::tempdir().expect("writable");
        let format = |name: &str, chosen| {
            let output = Output::new(folder.path().join(name), chosen, false);
            output.map(|output| output.format())
        };
        assert_eq!(format("a.b.PLY", None).expect("clear"), ResultFormat::Ply);
        assert_eq!(
            format("scene.colmap.zip", None).expect("clear"),
            ResultFormat::Colmap
        );
        let chosen = Some(ResultFormat::Nerfstudio);
        assert_eq!(
            format("scene.zip", chosen).expect("clear"),
            ResultFormat::Nerfstudio
        );
        let error = format("scene.zip", None).expect_err("two formats are zip files");
        assert!(error.to_string().contains(".nerfstudio.zip"), "{error}");
        assert!(format("missing/scene.glb", None).is_err());
        assert!(format("", Some(ResultFormat::Glb)).is_err());
    }

    #[test]
    fn a_path_that_cannot_be_written_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("writable");
        let path = |name: &str| folder.path().join(name);
        let refusal = |path: PathBuf| {
            let refused = Output::new(path, Some(ResultFormat::Glb), true);
            refused.expect_err("it is no file").to_string()
        };
        fs::create_dir(path("folder")).expect("writable");
        fs::write(path("file"), b"old").expect("writable");
        for name in [
            "folder", "folder/", "new/", "new/.", "new/..", "file/new", "",
        ] {
            let said = refusal(path(name));
            assert!(said.starts_with("cannot write "), "{name}: {said}");
            assert!(!said.contains(".pointstream-"), "{name}: {said}");
        }
        assert!(refusal(path(&"long".repeat(100))).contains("too long"));
        assert!(refusal("/dev/null".into()).contains("device"));
        assert_eq!(fs::read(path("file")).expect("untouched"), b"old");
    }

    #[tokio::test]
    async fn a_file_is_replaced_only_on_request() {
        let folder = tempfile::tempdir().expect("writable");
        let path = folder.path().join("scene.glb");
        let output = Output::new(path.clone(), None, false).expect("there is none");
        // Somebody else is faster.
        fs::write(&path, b"old").expect("writable");
        let refused = output.save(b"new".to_vec().into()).await;
        assert!(
            matches!(refused, Err(ReconstructError::Exists(_))),
            "{refused:?}"
        );
        let refused = Output::new(path.clone(), None, false).expect_err("it is there");
        assert!(refused.to_string().contains("--force"), "{refused}");
        assert_eq!(fs::read(&path).expect("kept"), b"old");
        let output = Output::new(path.clone(), None, true).expect("replaceable");
        output.save(b"new".to_vec().into()).await.expect("saved");
        assert_eq!(fs::read(&path).expect("there"), b"new");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1);
    }

    #[tokio::test]
    async fn a_link_is_kept() {
        let folder = tempfile::tempdir().expect("writable");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("elsewhere")).expect("writable");
        fs::write(path("elsewhere/old.glb"), b"old").expect("writable");
        std::os::unix::fs::symlink("elsewhere/old.glb", path("scene.glb")).expect("writable");
        let output = Output::new(path("scene.glb"), None, true).expect("writable");
        output.save(b"new".to_vec().into()).await.expect("saved");
        assert_eq!(fs::read(path("elsewhere/old.glb")).expect("there"), b"new");
        assert!(fs::read_link(path("scene.glb")).is_ok());
    }

    #[tokio::test]
    async fn a_link_to_a_missing_file_is_kept() {
        let folder = tempfile::tempdir().expect("writable");
        let path = |name: &str| folder.path().join(name);
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, path(name)).expect("writable");
        };
        fs::create_dir(path("elsewhere")).expect("writable");
        link("elsewhere/link.glb", "scene.glb");
        link("new.glb", "elsewhere/link.glb");
        let output = Output::new(path("scene.glb"), None, false).expect("writable");
        output.save(b"new".to_vec().into()).await.expect("saved");
        assert_eq!(fs::read(path("elsewhere/new.glb")).expect("there"), b"new");
        for name in ["scene.glb", "elsewhere/link.glb"] {
            assert!(fs::read_link(path(name)).is_ok(), "{name}");
        }

        link("missing/new.glb", "nowhere.glb");
        link("missing/", "folder.glb");
        link("circle.glb", "circle.glb");
        for name in ["nowhere.glb", "folder.glb", "circle.glb"] {
            let refused = Output::new(path(name), None, false).expect_err("no file can be there");
            assert!(refused.to_string().contains(name), "{refused}");
            assert!(fs::read_link(path(name)).is_ok(), "{name}");
        }
    }
}

//! Starts the real program, and makes photos for it.

pub mod relay;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use image::{ImageFormat, Rgb, RgbImage};
use pointstream_client::{Client, ClientOptions, Image, Parameters, Retry};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// For the start of a development build on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The file that a variable names, which must be there; none without the variable.
fn named(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(variable).filter(|path| !path.is_empty())?);
    assert!(
        path.exists(),
        "{variable} names {}, which is not there",
        path.display()
    );
    Some(path)
}

/// A command of the program; none if these tests are not asked for.
pub fn program() -> Option<Command> {
    let Some(program) = named("POINTSTREAM_TEST_BINARY") else {
        println!("skipped: POINTSTREAM_TEST_BINARY names no program");
        return None;
    };
    let mut command = Command::new(program);
    // Without what the developer has set for servers.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("POINTSTREAM_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    Some(command)
}

/// The program with a data directory of its own, and the model of a test archive.
pub struct Server {
    pub url: String,
    process: Child,
    folder: TempDir,
}

impl Server {
    /// None if these tests are not asked for.
    pub async fn start(model: &str, options: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Self::start_at(model, options, 0, &data, folder).await
    }

    async fn start_at(
        model: &str,
        options: &[&str],
        port: u16,
        data: &Path,
        folder: TempDir,
    ) -> Option<Self> {
        let mut command = program()?;
        let archives = named("POINTSTREAM_TEST_ARCHIVES")
            .expect("POINTSTREAM_TEST_ARCHIVES must name the folder of the test models");
        let log = folder.path().join("log");
        command
            .env("POINTSTREAM_MODEL_STORE", folder.path().join("models"))
            .args(["--device", "cpu", "--host", "127.0.0.1", "--model"])
            .arg(archives.join(format!("{model}.pt")))
            .args(["--port", &port.to_string(), "--data-dir"])
            .arg(data)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(url) = line.strip_prefix("listening on ") {
                    return Some(url.trim().to_owned());
                }
            }
            None
        };
        let url = timeout(PATIENCE, address).await.ok().flatten();
        let told = || std::fs::read_to_string(&log).unwrap_or_default();
        let url = url.unwrap_or_else(|| panic!("the server did not start:\n{}", told()));
        Some(Self {
            url,
            process,
            folder,
        })
    }

    pub fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Ends the process as a power failure would, and starts another one with its data.
    pub async fn restart(mut self, model: &str) -> Self {
        self.process.kill().await.unwrap();
        let (port, data) = (self.port(), self.folder.path().join("data"));
        let again = Self::start_at(model, &[], port, &data, self.folder).await;
        again.unwrap()
    }
}

/// A client that tries again soon.
pub fn client(url: &str) -> Client {
    let options = ClientOptions {
        retry: Retry {
            attempts: 12,
            first: Duration::from_millis(50),
            longest: Duration::from_secs(2),
        },
        ..ClientOptions::default()
    };
    Client::with_options(url, options).unwrap()
}

pub fn small() -> Parameters {
    Parameters {
        process_res: Some(56),
        ..Parameters::default()
    }
}

/// A PNG that the test models place `level` tenths to the right.
pub fn photo(level: u8) -> Vec<u8> {
    let picture = RgbImage::from_fn(56, 42, |x, y| {
        let detail = 20 * u8::from((x + y) % 2 == 1);
        Rgb([level, 60 + detail, 40 + detail])
    });
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// Photos from left to right.
pub fn pictures(levels: std::ops::Range<u8>) -> impl Iterator<Item = Image> {
    levels.map(|level| Image::bytes(photo(level)).name(format!("{level}.png")))
}

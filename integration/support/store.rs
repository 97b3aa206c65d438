//! A model store with a script in place of the Python tools.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::archives::archive;
use super::paths::new_data_dir;
use super::program::{Ended, ended, program};

/// A folder with a store and a stand-in script for Python.
pub struct Place {
    pub folder: TempDir,
    /// Shell commands of the download.
    download: RefCell<String>,
    /// Shell commands of the export.
    export: RefCell<String>,
}

impl Place {
    /// `export` has the shell commands of the export; `$output` is the path to write.
    pub fn new(export: &str) -> Self {
        let folder = new_data_dir();
        let path = folder.path().display();
        let download = format!(
            "echo '{{\"folder\": \"{path}/checkpoint\", \"repository\": \"owner/name\", \
             \"revision\": \"0123456789abcdef\"}}'"
        );
        let place = Self {
            folder,
            download: RefCell::new(download),
            export: RefCell::new(export.to_owned()),
        };
        place.write_script();
        place
    }

    /// A place whose script exports a small archive named da3-small.
    pub fn working() -> Self {
        Self::new(&format!("cp '{}' \"$output\"", small().display()))
    }

    pub fn set_export(&self, export: &str) {
        self.export.replace(export.to_owned());
        self.write_script();
    }

    pub fn set_download(&self, download: &str) {
        self.download.replace(download.to_owned());
        self.write_script();
    }

    fn write_script(&self) {
        let folder = self.folder.path().display();
        let (download, export) = (self.download.borrow(), self.export.borrow());
        let script = format!(
            "#!/bin/sh\n\
             module=$2\n\
             check=false\n\
             while [ $# -gt 0 ]; do\n\
             [ \"$1\" = --output ] && output=$2\n\
             [ \"$1\" = --check ] && check=true\n\
             shift\n\
             done\n\
             case \"$module\" in\n\
             weights.da3.download) $check && exit\n\
             {download} ;;\n\
             weights.da3.export)\n\
             echo export >> '{folder}/calls'\n\
             {export} ;;\n\
             esac\n"
        );
        fs::write(self.python(), script).expect("writable");
        fs::set_permissions(self.python(), PermissionsExt::from_mode(0o755)).expect("ours");
    }

    pub fn python(&self) -> PathBuf {
        self.folder.path().join("python")
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("pointstream/models")
    }

    pub fn record(&self) -> PathBuf {
        self.store().join("da3-small/record.json")
    }

    /// Path of the only archive of da3-small.
    pub fn archive(&self) -> PathBuf {
        let record: Value =
            serde_json::from_slice(&fs::read(self.record()).expect("it is there")).expect("JSON");
        let name = record["archive"]["file"].as_str().expect("a name");
        self.store().join("da3-small").join(name)
    }

    /// Files of unfinished fetches.
    pub fn unfinished(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store().join(".work/da3-small"));
        let names = entries.into_iter().flatten().flatten();
        names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name != "downloads")
            .collect()
    }

    /// The program with this store and the script.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.folder.path(), arguments);
        command.env("POINTSTREAM_PYTHON", self.python());
        command
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        self.program(&[&["models"], arguments].concat())
    }

    pub async fn models(&self, arguments: &[&str]) -> Ended {
        let child = self.command(arguments).spawn().expect("it starts");
        ended(child).await
    }

    pub async fn fetched(&self) {
        self.models(&["fetch", "da3-small"]).await.done();
    }
}

/// A small archive named da3-small.
pub fn small() -> PathBuf {
    archive("da3_small")
}

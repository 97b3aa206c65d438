//! A model store that is filled by a script in place of the Python tools.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::archives::archive;
use super::program::{Ended, ended, program};
use super::server::new_data_dir;

/// A folder with a store, and a script that takes the place of Python.
pub struct Place {
    pub folder: TempDir,
}

impl Place {
    /// `export` is what the script does to export; `$output` is where to.
    pub fn new(export: &str) -> Self {
        let place = Self {
            folder: new_data_dir(),
        };
        place.set_export(export);
        place
    }

    /// Exports the small archive that calls itself da3-small.
    pub fn working() -> Self {
        Self::new(&format!("cp '{}' \"$output\"", small().display()))
    }

    pub fn set_export(&self, export: &str) {
        let folder = self.folder.path().display();
        let script = format!(
            "#!/bin/sh\n\
             case \"$2\" in\n\
             weights.da3.download) echo '{{\"folder\": \"{folder}/checkpoint\", \
             \"repository\": \"owner/name\", \"revision\": \"0123456789abcdef\"}}' ;;\n\
             weights.da3.export)\n\
             echo export >> '{folder}/calls'\n\
             while [ $# -gt 0 ]; do [ \"$1\" = --output ] && output=$2; shift; done\n\
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

    /// The one archive of da3-small.
    pub fn archive(&self) -> PathBuf {
        let record: Value =
            serde_json::from_slice(&fs::read(self.record()).expect("it is there")).expect("JSON");
        let name = record["archive"]["file"].as_str().expect("a name");
        self.store().join("da3-small").join(name)
    }

    /// What of a fetch is not finished.
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

/// An archive that calls itself da3-small.
pub fn small() -> PathBuf {
    archive("da3_small")
}

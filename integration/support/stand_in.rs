//! A stand-in for ffmpeg that never ends, so that a video is being read for as long as a test likes.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::archives::archive;
use super::server::{Server, new_data_dir};
use super::until;

/// It writes what it sees of its surroundings, and its process id.
const SCRIPT: &str = "#!/bin/sh
[ \"$1\" = -version ] && exit 0
here=$(dirname \"$0\")
sleep 0.3
{ env; echo \"memory $(ulimit -v)\"; echo \"time $(ulimit -t)\"; pwd; } > \"$here/seen\"
echo $$ >> \"$here/ids\"
exec sleep 600
";

/// The folder of the stand-in.
pub struct StandIn {
    folder: TempDir,
}

impl StandIn {
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("pointstream-ffprobe-").expect("writable");
        for name in ["ffmpeg", "ffprobe"] {
            let program = folder.path().join(name);
            std::fs::write(&program, SCRIPT).expect("writable");
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("ours");
        }
        Self { folder }
    }

    /// Starts a server that finds it in place of ffmpeg.
    pub async fn server(&self, options: &[&str]) -> Server {
        let path = format!("PATH={}:/usr/bin:/bin", self.folder.path().display());
        let model = archive("flat");
        let model = model.to_str().expect("a plain name");
        let own = ["--model", model, "--videos", "on"];
        let wrapper = ["env", &path, "SECRET=of the server"];
        Server::start_through(&wrapper, new_data_dir(), &[&own, options].concat()).await
    }

    /// What it has seen of its surroundings.
    pub fn seen(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("seen")).unwrap_or_default()
    }

    /// Waits until so many have started; returns their process ids.
    pub async fn started(&self, count: usize) -> Vec<String> {
        until("the start of ffprobe", async || {
            let ids = std::fs::read_to_string(self.folder.path().join("ids"));
            let ids: Vec<_> = ids.ok()?.lines().map(str::to_owned).collect();
            (ids.len() == count).then_some(ids)
        })
        .await
    }

    /// Waits until all have ended.
    pub async fn ended(&self) {
        let ids = std::fs::read_to_string(self.folder.path().join("ids")).expect("one has started");
        for id in ids.lines() {
            let command_line = format!("/proc/{id}/cmdline");
            until("the end of ffprobe", async || {
                // Empty: the process has ended but has not been waited for.
                let left = std::fs::read(&command_line).unwrap_or_default();
                left.is_empty().then_some(())
            })
            .await;
        }
    }
}

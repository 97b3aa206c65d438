//! A small disk, which can be filled: a file system in memory that only its users see.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A disk. It exists as long as a process in its namespaces does.
pub struct Disk {
    holder: Child,
    /// Where it is, for its users.
    folder: PathBuf,
}

impl Disk {
    /// A disk of so many MiB at a folder. Where the system forbids name spaces, as many containers do, this
    /// prints that the test is skipped: no package changes that. For any other reason the test is skipped, too,
    /// but fails in CI.
    pub fn at(folder: &Path, size: u32) -> Option<Self> {
        let probe = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "true"])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output();
        match probe {
            Err(error) => return without(&format!("unshare cannot be started: {error}")),
            Ok(probe) if !probe.status.success() => {
                let said = String::from_utf8_lossy(&probe.stderr).trim().to_owned();
                // EPERM, and ENOSPC if no more name spaces are allowed.
                let forbidden = ["Operation not permitted", "No space left on device"];
                return match forbidden.iter().any(|reason| said.ends_with(reason)) {
                    true => skipped(&format!("the system forbids name spaces: {said}")),
                    false => without(&said),
                };
            }
            Ok(_) => {}
        }
        let mount = "mount -t tmpfs -o size=$1m tmpfs \"$2\" && echo mounted && exec sleep 3600";
        let holder = Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                mount,
                "sh",
            ])
            .arg(size.to_string())
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn();
        let mut holder = holder.expect("unshare has just run");
        let output = holder.stdout.take().expect("stdout is a pipe");
        let disk = Self {
            holder,
            folder: folder.to_owned(),
        };
        let mut said = String::new();
        BufReader::new(output)
            .read_line(&mut said)
            .expect("readable");
        if said == "mounted\n" {
            return Some(disk);
        }
        without("no file system can be mounted in a name space")
    }

    /// A command that runs the one in its further arguments where the disk is.
    pub fn entrance(&self) -> Command {
        let mut inside = Command::new("nsenter");
        inside
            .args(["--user", "--mount", "--preserve-credentials", "--target"])
            .arg(self.holder.id().to_string())
            .arg("--");
        inside
    }

    /// A file on the disk, for processes elsewhere.
    pub fn path(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        let folder = self.folder.strip_prefix("/").expect("an absolute path");
        root.join(folder).join(name)
    }

    /// Leaves no space.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.path("filler")).expect("writable");
        for bytes in [1 << 16, 1 << 12, 1] {
            let zeros = vec![0; bytes];
            loop {
                match file.write(&zeros) {
                    Ok(written) if written > 0 => {}
                    Err(error) if error.kind() != io::ErrorKind::StorageFull => {
                        panic!("the disk cannot be filled: {error}")
                    }
                    _ => break,
                }
            }
        }
    }

    /// Gives the space back.
    pub fn free(&self) {
        fs::remove_file(self.path("filler")).expect("there");
    }

    /// Lets nobody write to it, or lets all.
    pub fn set_read_only(&self, read_only: bool) {
        let option = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        let mut mount = self.entrance();
        mount.args(["mount", "-o", option]).arg(&self.folder);
        let status = mount.status().expect("mount starts");
        assert!(status.success(), "{option}");
    }
}

/// A disk should be there, but is not.
fn without(why: &str) -> Option<Disk> {
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!in_ci, "no disk for a test of full disks: {why}");
    skipped(why)
}

/// Says that a test does not run.
fn skipped(why: &str) -> Option<Disk> {
    // Write to stderr directly: the test harness captures printed output of passing tests.
    let _ = writeln!(io::stderr(), "SKIPPED: a test of full disks; {why}");
    None
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

//! Memory of the machine, or of the control group that the program runs in.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the system mounts control groups.
const GROUPS: &str = "/sys/fs/cgroup";

/// Free memory of the machine, or of the control group, in bytes; `None` if unknown.
pub fn free() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let free = amount(&meminfo, "MemAvailable:")?.checked_mul(1024)?;
    let groups = groups(Path::new(GROUPS), &own_groups());
    let of_groups = groups.iter().filter_map(|group| group.free());
    Some(of_groups.fold(free, u64::min))
}

/// All memory in bytes, free or not; `None` if unknown.
pub fn machine_memory() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let all = amount(&meminfo, "MemTotal:")?.checked_mul(1024)?;
    let groups = groups(Path::new(GROUPS), &own_groups());
    let of_groups = groups.iter().filter_map(Group::limit);
    Some(of_groups.fold(all, u64::min))
}

fn own_groups() -> String {
    fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
}

/// The number after a name in lines of names and numbers.
fn amount(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next()? == name).then(|| words.next()?.parse().ok())?)
}

/// A control group, whose limit holds for all groups below it.
struct Group {
    folder: PathBuf,
    files: &'static Files,
}

/// Names in one version of control groups.
struct Files {
    limit: &'static str,
    used: &'static str,
    /// Lines of `memory.stat` that count what the system can drop: pages of files.
    reclaimable: &'static [&'static str],
}

const VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    reclaimable: &["total_inactive_file", "total_active_file"],
};
const VERSION_2: Files = Files {
    limit: "memory.max",
    used: "memory.current",
    reclaimable: &["inactive_file", "active_file", "slab_reclaimable"],
};

/// The program's group and those above it, from the text of `/proc/self/cgroup`. In a container, whose
/// own group may be mounted as the uppermost one, the path may not exist there.
fn groups(mounted: &Path, text: &str) -> Vec<Group> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (folder, files) = match controllers {
            "" if mounted.join("unified").exists() => (mounted.join("unified"), &VERSION_2),
            "" => (mounted.to_owned(), &VERSION_2),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (mounted.join("memory"), &VERSION_1)
            }
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        for part in path.ancestors() {
            found.push(Group {
                folder: folder.join(part),
                files,
            });
        }
    }
    found
}

impl Group {
    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(file)).ok()
    }

    /// Bytes that it may use; `None` without a limit, for which version 2 writes "max".
    fn limit(&self) -> Option<u64> {
        self.read(self.files.limit)?.trim().parse().ok()
    }

    /// Bytes of the limit that are not used, or by pages of files that the system drops when memory is
    /// needed.
    fn free(&self) -> Option<u64> {
        let limit = self.limit()?;
        let used: u64 = self.read(self.files.used)?.trim().parse().ok()?;
        let statistics = self.read("memory.stat").unwrap_or_default();
        let names = self.files.reclaimable.iter();
        let reclaimable: u64 = names.filter_map(|name| amount(&statistics, name)).sum();
        Some(limit.saturating_sub(used.saturating_sub(reclaimable)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).expect("a folder");
        for (name, text) in files {
            fs::write(folder.join(name), text).expect("a file");
        }
    }

    fn free_in(mounted: &Path, text: &str) -> Vec<u64> {
        let groups = groups(mounted, text);
        groups.iter().filter_map(|group| group.free()).collect()
    }

    #[test]
    fn this_machine_has_memory() {
        let free = free().expect("Linux reports it");
        assert!(free > 1 << 20, "{free}");
        assert!(machine_memory().expect("Linux reports it") > free / 2);
    }

    #[test]
    fn reads_amounts_by_name() {
        let text = "MemTotal:       24689764 kB\nMemFree: 1 kB\nMemAvailable:    2000 kB\n";
        assert_eq!(amount(text, "MemAvailable:"), Some(2000));
        assert_eq!(amount(text, "Mem"), None);
    }

    #[test]
    fn the_limits_of_all_groups_above_count() {
        let mounted = tempfile::tempdir().expect("a folder");
        let (top, mounted) = (mounted.path().join("system"), mounted.path());
        let statistics = "anon 500\ninactive_file 200\nactive_file 100\nslab_reclaimable 7\n";
        let used = ("memory.current", "1000\n");
        write(
            &top,
            &[("memory.max", "5000\n"), used, ("memory.stat", statistics)],
        );
        write(&top.join("own"), &[("memory.max", "max\n"), used]);
        // The files that it has read do not count as used.
        assert_eq!(free_in(mounted, "0::/system/own\n"), [5000 - 693]);
        assert!(free_in(mounted, "0::/elsewhere\n").is_empty());
        assert!(free_in(mounted, "12:cpu,cpuacct:/system\n").is_empty());
    }

    #[test]
    fn version_1_is_read_too() {
        let mounted = tempfile::tempdir().expect("a folder");
        let own = mounted.path().join("memory/own");
        let statistics = "total_inactive_file 30\ntotal_active_file 20\n";
        let files = [
            ("memory.limit_in_bytes", "900\n"),
            ("memory.usage_in_bytes", "600\n"),
            ("memory.stat", statistics),
        ];
        write(&own, &files);
        let text = "4:cpu:/own\n3:memory,hugetlb:/own\n0::/\n";
        assert_eq!(free_in(mounted.path(), text), [350]);
    }
}

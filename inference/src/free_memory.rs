//! How much memory a device has left.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use pointstream_reconstruction::model::Device;

use crate::cuda;

/// Bytes that a computation on the device may take now, if that can be told.
pub fn free_memory(device: Device) -> Option<u64> {
    match device {
        Device::Cpu => {
            let available = available(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
            Some(control_group_room().map_or(available, |room| room.min(available)))
        }
        Device::Cuda(index) => cuda_room(index),
    }
}

/// The bytes of `MemAvailable` in the text of `/proc/meminfo`.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// What a container's limit leaves, if there is one.
fn control_group_room() -> Option<u64> {
    let read = |path: &str| -> Option<u64> {
        std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(path))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    // Version 2, where no limit is the word "max", and version 1.
    let (limit, used) = read("memory.max").zip(read("memory.current")).or_else(|| {
        read("memory/memory.limit_in_bytes").zip(read("memory/memory.usage_in_bytes"))
    })?;
    Some(limit.saturating_sub(used))
}

/// What a GPU has left for us.
///
/// libtorch does not give memory back that it has once taken, but uses it again. So what was free
/// before the largest computation so far still is, for one computation at a time.
fn cuda_room(index: usize) -> Option<u64> {
    static MOST_FREE: LazyLock<Mutex<HashMap<usize, u64>>> = LazyLock::new(Mutex::default);
    let free = cuda::free_memory(index).ok()?;
    let mut most_free = MOST_FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let most = most_free.entry(index).or_default();
    *most = free.max(*most);
    Some(*most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory() {
        let free = free_memory(Device::Cpu).expect("Linux tells");
        assert!(free > 1 << 20, "{free}");
    }

    #[test]
    fn reads_what_linux_writes() {
        let text = "MemTotal:       24689764 kB\nMemFree: 1 kB\nMemAvailable:    2000 kB\n";
        assert_eq!(available(text), Some(2_048_000));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
    }
}

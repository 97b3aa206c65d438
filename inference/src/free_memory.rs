//! Free memory of a device.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use pointstream_reconstruction::model::Device;

use crate::cuda;

/// Free memory of a device in bytes, `None` if unknown.
pub fn free_memory(device: Device) -> Option<u64> {
    match device {
        Device::Cpu => {
            let available = available(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
            Some(free_in_control_group().map_or(available, |free| free.min(available)))
        }
        Device::Cuda(index) => free_on_gpu(index),
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

/// Free bytes below the memory limit of the container, `None` without a limit.
fn free_in_control_group() -> Option<u64> {
    let read = |path: &str| -> Option<u64> {
        std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(path))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    // Control groups of version 2, which write "max" for no limit, else of version 1.
    let (limit, used) = read("memory.max").zip(read("memory.current")).or_else(|| {
        read("memory/memory.limit_in_bytes").zip(read("memory/memory.usage_in_bytes"))
    })?;
    Some(limit.saturating_sub(used))
}

/// Free memory of a GPU in bytes for one computation at a time.
///
/// libtorch keeps memory that it has allocated and reuses it. So the largest free memory seen so
/// far is still available to the next computation.
fn free_on_gpu(index: usize) -> Option<u64> {
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
    fn this_machine_has_free_memory() {
        let free = free_memory(Device::Cpu).expect("Linux reports it");
        assert!(free > 1 << 20, "{free}");
    }

    #[test]
    fn parses_meminfo() {
        let text = "MemTotal:       24689764 kB\nMemFree: 1 kB\nMemAvailable:    2000 kB\n";
        assert_eq!(available(text), Some(2_048_000));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
    }
}

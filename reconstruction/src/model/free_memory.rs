//! How much memory a device has left.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::Device;

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
    let free = cuda_free(index)?;
    let mut most_free = MOST_FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let most = most_free.entry(index).or_default();
    *most = free.max(*most);
    Some(*most)
}

/// What the driver says is free. Makes the device the thread's current one.
fn cuda_free(index: usize) -> Option<u64> {
    // Part of the CUDA runtime, which libtorch's CUDA part brings with it.
    type SetDevice = unsafe extern "C" fn(c_int) -> c_int;
    type MemGetInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> c_int;
    let index = c_int::try_from(index).ok()?;
    let set_device = symbol(c"cudaSetDevice")?;
    let mem_get_info = symbol(c"cudaMemGetInfo")?;
    let (mut free, mut total) = (0, 0);
    // SAFETY: the symbols are functions of the CUDA runtime with these documented signatures, and
    // both pointers are valid for the call.
    let succeeded = unsafe {
        let set_device = std::mem::transmute::<*mut c_void, SetDevice>(set_device);
        let mem_get_info = std::mem::transmute::<*mut c_void, MemGetInfo>(mem_get_info);
        set_device(index) == 0 && mem_get_info(&raw mut free, &raw mut total) == 0
    };
    succeeded.then_some(free as u64)
}

fn symbol(name: &std::ffi::CStr) -> Option<*mut c_void> {
    // SAFETY: the name is a C string; the default handle searches all libraries that are loaded.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
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

    #[test]
    fn without_cuda_nothing_is_known_of_it() {
        if symbol(c"cudaMemGetInfo").is_none() {
            assert_eq!(free_memory(Device::Cuda(0)), None);
        }
    }
}

//! Free memory of a device.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use pointstream_reconstruction::model::Device;

use crate::{cuda, host_memory};

/// Free memory of a device in bytes, `None` if unknown.
pub fn free_memory(device: Device) -> Option<u64> {
    match device {
        Device::Cpu => host_memory::free(),
        Device::Cuda(index) => free_on_gpu(index),
    }
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

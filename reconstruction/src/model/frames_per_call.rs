//! Number of frames that a model computes together.

use std::num::NonZero;
use std::thread::available_parallelism;

use super::device::Device;
use super::memory::Memory;
use crate::geometry::FrameSize;

/// Frames per encoding call on a GPU if the archive does not state its memory need.
const UNKNOWN: usize = 8;
/// Largest number of frames per call. More do not run faster and make progress coarse.
const MOST: usize = 32;
/// GPU memory that one call may take, in bytes, beside what all frames need.
const CALL_BYTES: f64 = (2u64 << 30) as f64;
/// An encoding call takes this many times more frames than a dense call. While the GPU computes one
/// part, the CPU reads the previous one.
const PARTS: usize = 4;
/// Memory that frames may take on the CPU while they are computed, in bytes, beside what all frames need.
const CPU_BYTES: f64 = (1u64 << 29) as f64;

/// Number of frames that a model computes together: in one call on a GPU, in calls at the same time on the
/// CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramesPerCall {
    /// As the operator set it.
    Fixed(usize),
    /// Chosen from the device, the model and the size of the frames.
    ///
    /// On a GPU each operation of a call costs some microseconds of CPU time, however small it is.
    /// So small networks and small frames get larger calls: as many frames as fit into 2 GiB, a
    /// power of two, at most 32. Powers of two also limit the number of shapes that libtorch
    /// prepares for.
    ///
    /// On the CPU each frame has a call and a thread of its own: as many as there are cores, and as fit
    /// into 512 MiB. One at a time if the archive does not state its memory need.
    Automatic,
}

impl FramesPerCall {
    /// Frames that are encoded together, at least 1. No call has more.
    pub fn encoded(self, device: Device, memory: Option<&Memory>, size: FrameSize) -> usize {
        match (self, device) {
            (Self::Fixed(frames), _) => frames.max(1),
            (Self::Automatic, Device::Cpu) => {
                let Some(need) = memory.and_then(|memory| memory.on(device)) else {
                    return 1;
                };
                let fitting = CPU_BYTES / (need.per_call_pixel * size.pixels() as f64);
                let cores = available_parallelism().map_or(1, NonZero::get);
                // As below.
                (fitting as usize).clamp(1, cores)
            }
            (Self::Automatic, Device::Cuda(_)) => {
                let Some(need) = memory.and_then(|memory| memory.on(device)) else {
                    return UNKNOWN;
                };
                let fitting = CALL_BYTES / (need.per_call_pixel * size.pixels() as f64);
                // The cast gives 0 for NaN and saturates for large values.
                match (fitting as usize).min(MOST) {
                    0 => 1,
                    fitting => 1 << fitting.ilog2(),
                }
            }
        }
    }

    /// Frames in one dense call on a GPU, at least 1.
    pub fn dense(self, device: Device, memory: Option<&Memory>, size: FrameSize) -> usize {
        let encoded = self.encoded(device, memory, size);
        match self {
            Self::Fixed(_) => encoded,
            Self::Automatic => encoded.div_ceil(PARTS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryNeed;
    use super::*;

    const GPU: Device = Device::Cuda(0);
    const SIZE: FrameSize = FrameSize::new(504, 336);

    fn memory(per_call_pixel: f64) -> Memory {
        Memory {
            cpu: None,
            cuda: Some(MemoryNeed {
                fixed: 0.0,
                per_frame: 0.0,
                per_pixel: 0.0,
                per_call_pixel,
                per_pair: 0.0,
                adjust: None,
            }),
        }
    }

    #[test]
    fn small_networks_and_frames_get_larger_calls() {
        let frames = |per_call_pixel, size| {
            FramesPerCall::Automatic.encoded(GPU, Some(&memory(per_call_pixel)), size)
        };
        assert_eq!(frames(300.0, SIZE), 32);
        assert_eq!(frames(600.0, SIZE), 16);
        assert_eq!(frames(1400.0, SIZE), 8);
        let large = SIZE.scaled(2.0);
        assert_eq!(frames(1400.0, large), 2);
        assert_eq!(frames(1e6, large), 1);
        assert_eq!(frames(0.0, SIZE), 32);
    }

    #[test]
    fn dense_calls_are_smaller_than_encoding_calls() {
        let memory = memory(300.0);
        let dense = |choice: FramesPerCall| choice.dense(GPU, Some(&memory), SIZE);
        assert_eq!(dense(FramesPerCall::Automatic), 8);
        assert_eq!(dense(FramesPerCall::Fixed(3)), 3);
        assert_eq!(FramesPerCall::Automatic.dense(GPU, None, SIZE), 2);
    }

    #[test]
    fn a_cpu_computes_as_many_frames_as_fit_and_have_a_core() {
        let frames = |choice: FramesPerCall, memory: Option<&Memory>| {
            choice.encoded(Device::Cpu, memory, SIZE)
        };
        let need = |per_call_pixel| Memory {
            cpu: memory(per_call_pixel).cuda,
            cuda: None,
        };
        let cores = available_parallelism().map_or(1, NonZero::get);
        let automatic = FramesPerCall::Automatic;
        assert_eq!(frames(automatic, None), 1);
        assert_eq!(frames(automatic, Some(&need(1.0))), cores);
        assert_eq!(frames(automatic, Some(&need(0.0))), cores);
        assert_eq!(frames(automatic, Some(&need(1e6))), 1);
        let two = CPU_BYTES / (2.0 * SIZE.pixels() as f64);
        assert_eq!(frames(automatic, Some(&need(two))), cores.min(2));
        assert_eq!(frames(FramesPerCall::Fixed(4), Some(&need(1e6))), 4);
        assert_eq!(frames(FramesPerCall::Fixed(0), None), 1);
    }
}

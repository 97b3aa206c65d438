//! Number of frames in one call of a model.

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

/// Number of frames in one call of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramesPerCall {
    /// As the operator set it.
    Fixed(usize),
    /// Chosen from the device, the model and the size of the frames.
    ///
    /// On a GPU each operation of a call costs some microseconds of CPU time, however small it is.
    /// So small networks and small frames get larger calls: as many frames as fit into 2 GiB, a
    /// power of two, at most 32. Powers of two also limit the number of shapes that libtorch
    /// prepares for. A CPU gains nothing from several frames per call, and one frame per call gives
    /// finer progress.
    Automatic,
}

impl FramesPerCall {
    /// Frames in one encoding call, at least 1. No call has more.
    pub fn encoded(self, device: Device, memory: Option<&Memory>, size: FrameSize) -> usize {
        match (self, device) {
            (Self::Fixed(frames), _) => frames.max(1),
            (Self::Automatic, Device::Cpu) => 1,
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

    /// Frames in one dense call, at least 1.
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
    fn a_cpu_gets_one_frame_per_call_unless_fixed() {
        let encoded = |choice: FramesPerCall| choice.encoded(Device::Cpu, None, SIZE);
        assert_eq!(encoded(FramesPerCall::Automatic), 1);
        assert_eq!(encoded(FramesPerCall::Fixed(4)), 4);
        assert_eq!(encoded(FramesPerCall::Fixed(0)), 1);
    }
}

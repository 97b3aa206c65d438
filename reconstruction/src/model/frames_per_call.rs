//! How many frames a model takes in one call.

use super::device::Device;
use super::memory::Memory;
use crate::geometry::FrameSize;

/// Without a word of the archive on its memory.
const UNKNOWN: usize = 8;
/// More gain nothing, and make progress coarse.
const MOST: usize = 32;
/// What a call may take of a GPU's memory beside what all frames need.
const CALL_BYTES: f64 = (2u64 << 30) as f64;
/// Into how many calls for depth the frames of one call for encoding are divided: while the GPU
/// computes the next part, the processor takes the last.
const PARTS: usize = 4;

/// How many frames a model takes in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramesPerCall {
    /// As the operator says.
    Fixed(usize),
    /// As suits the device, the model and the frames.
    ///
    /// A GPU takes a call's operations one by one, each with some microseconds of the processor's
    /// time, however little there is to compute. So small networks and small frames come in calls of
    /// more frames: as many as fit into 2 GiB, a power of two, at most 32. Powers of two also keep the
    /// shapes few that libtorch prepares for. A processor gains nothing by several frames at once, and
    /// one at a time shows finer progress.
    Automatic,
}

impl FramesPerCall {
    /// Frames that are encoded in one call. No more are in any call.
    pub fn encoded(self, device: Device, memory: Option<&Memory>, size: FrameSize) -> usize {
        match (self, device) {
            (Self::Fixed(frames), _) => frames.max(1),
            (Self::Automatic, Device::Cpu) => 1,
            (Self::Automatic, Device::Cuda(_)) => {
                let Some(need) = memory.and_then(|memory| memory.on(device)) else {
                    return UNKNOWN;
                };
                let fitting = CALL_BYTES / (need.per_call_pixel * size.pixels() as f64);
                // A cast of what is no number or too large gives 0 or the largest.
                match (fitting as usize).min(MOST) {
                    0 => 1,
                    fitting => 1 << fitting.ilog2(),
                }
            }
        }
    }

    /// Frames whose depth is estimated in one call.
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
                per_pixel: 0.0,
                per_call_pixel,
                per_pair: 0.0,
            }),
        }
    }

    #[test]
    fn small_networks_and_frames_come_in_larger_calls() {
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
    fn depth_comes_in_parts_while_the_processor_takes_the_last() {
        let memory = memory(300.0);
        let dense = |choice: FramesPerCall| choice.dense(GPU, Some(&memory), SIZE);
        assert_eq!(dense(FramesPerCall::Automatic), 8);
        assert_eq!(dense(FramesPerCall::Fixed(3)), 3);
        assert_eq!(FramesPerCall::Automatic.dense(GPU, None, SIZE), 2);
    }

    #[test]
    fn a_processor_takes_one_at_a_time_unless_told_otherwise() {
        let encoded = |choice: FramesPerCall| choice.encoded(Device::Cpu, None, SIZE);
        assert_eq!(encoded(FramesPerCall::Automatic), 1);
        assert_eq!(encoded(FramesPerCall::Fixed(4)), 4);
        assert_eq!(encoded(FramesPerCall::Fixed(0)), 1);
    }
}

//! Memory that a prediction needs, compared with the memory that is free.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::device::Device;
use crate::geometry::FrameSize;

/// Smallest scale that is proposed.
const SMALLEST_SCALE: f64 = 0.02;

/// Memory need of an archive by kind of device. Without it no prediction is refused beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Memory {
    /// On the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<MemoryNeed>,
    /// On a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda: Option<MemoryNeed>,
}

/// Bytes at the peak of a prediction of `N` frames, `n` of them in one call, beside the loaded model:
///
/// `fixed + per_frame * N + per_pixel * N * H * W + per_call_pixel * n * H * W + per_pair * N * N`
///
/// Encoding `n` frames needs no more than a prediction of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryNeed {
    /// Bytes whatever the frames.
    pub fixed: f64,
    /// Bytes for each frame, whatever its size.
    #[serde(default)]
    pub per_frame: f64,
    /// Bytes for each pixel of all frames.
    pub per_pixel: f64,
    /// Bytes for each pixel of the frames in one call.
    pub per_call_pixel: f64,
    /// Bytes for each pair of frames.
    pub per_pair: f64,
    /// What a joint adjustment needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjust: Option<AdjustmentNeed>,
}

/// Bytes at the peak of a joint adjustment of `N` frames of `L` lenses with `O` links, which show `S` times
/// that two frames see the same point:
///
/// `fixed + per_link * O + per_lens * O * L + per_shared * S + per_pair * N * N`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AdjustmentNeed {
    /// Bytes whatever the frames.
    pub fixed: f64,
    /// Bytes for each link.
    pub per_link: f64,
    /// Bytes for each link and each lens.
    pub per_lens: f64,
    /// Bytes for each point that two frames share.
    pub per_shared: f64,
    /// Bytes for each pair of frames.
    pub per_pair: f64,
}

/// What a model is to do, as far as its memory depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// A prediction of frames of one size, from their pixels to their depths.
    Prediction { frames: usize, size: FrameSize },
    /// One call that encodes frames of one size.
    Encoding { frames: usize, size: FrameSize },
    /// A joint adjustment.
    Adjustment {
        frames: usize,
        links: usize,
        /// How many different lenses the frames have.
        lenses: usize,
        /// How often two frames see the same point.
        shared: u64,
    },
}

/// A prediction needs more memory than is free; with what would fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shortage {
    /// Frames of the prediction.
    pub frames: usize,
    /// Bytes that it needs.
    pub needed: u64,
    /// Bytes that are free.
    pub free: u64,
    /// How many frames of this size fit.
    pub fitting_frames: usize,
    /// Factor for the sides of the frames with which all of them fit, above 0 and below 1; `None`
    /// if no size fits.
    pub fitting_scale: Option<f64>,
}

impl Memory {
    /// The need on a device, if it is known.
    pub fn on(&self, device: Device) -> Option<&MemoryNeed> {
        match device {
            Device::Cpu => self.cpu.as_ref(),
            Device::Cuda(_) => self.cuda.as_ref(),
        }
    }

    /// Whether all numbers are finite and at least 0.
    pub(super) fn is_valid(&self) -> bool {
        let needs = [self.cpu, self.cuda];
        needs.iter().flatten().all(MemoryNeed::is_valid)
    }

    /// Compares what the work needs with the available memory in bytes, `None` if unknown, and returns
    /// the need, 0 if it is unknown. `frames_per_call` gives the number of frames of a size in one call.
    ///
    /// # Errors
    /// [`Shortage`] if it does not fit. An unknown need or unknown memory is not an error.
    pub fn check(
        &self,
        device: Device,
        work: Workload,
        frames_per_call: impl Fn(FrameSize) -> usize,
        available: Option<u64>,
    ) -> Result<u64, Shortage> {
        let available = available.unwrap_or(u64::MAX);
        let Some(need) = self.on(device) else {
            return Ok(0);
        };
        match work {
            Workload::Prediction { frames, size } => {
                need.check(frames, size, frames_per_call, available)
            }
            Workload::Encoding { frames, size } => need.check(frames, size, |_| frames, available),
            Workload::Adjustment {
                frames,
                links,
                lenses,
                shared,
            } => {
                let Some(need) = &need.adjust else {
                    return Ok(0);
                };
                AdjustmentNeed::check(frames, need.bytes(frames, links, lenses, shared), available)
            }
        }
    }
}

fn are_amounts(numbers: &[f64]) -> bool {
    let amount = |number: &f64| number.is_finite() && *number >= 0.0;
    numbers.iter().all(amount)
}

impl AdjustmentNeed {
    fn is_valid(&self) -> bool {
        are_amounts(&[
            self.fixed,
            self.per_link,
            self.per_lens,
            self.per_shared,
            self.per_pair,
        ])
    }

    fn bytes(&self, frames: usize, links: usize, lenses: usize, shared: u64) -> f64 {
        let (frames, links, lenses) = (frames as f64, links as f64, lenses as f64);
        self.fixed
            + (self.per_link + self.per_lens * lenses) * links
            + self.per_shared * shared as f64
            + self.per_pair * frames * frames
    }

    fn check(frames: usize, needed: f64, available: u64) -> Result<u64, Shortage> {
        if needed <= available as f64 {
            return Ok(needed as u64);
        }
        Err(Shortage {
            frames,
            needed: needed as u64,
            free: available,
            // The frames of a map are all adjusted, or none.
            fitting_frames: 0,
            fitting_scale: None,
        })
    }
}

impl MemoryNeed {
    fn is_valid(&self) -> bool {
        let adjust = self.adjust.as_ref();
        adjust.is_none_or(AdjustmentNeed::is_valid)
            && are_amounts(&[
                self.fixed,
                self.per_frame,
                self.per_pixel,
                self.per_call_pixel,
                self.per_pair,
            ])
    }

    fn bytes(&self, frames: usize, pixels: f64, frames_per_call: usize) -> f64 {
        let (all, call) = (frames as f64, frames.min(frames_per_call) as f64);
        self.fixed
            + self.per_frame * all
            + (self.per_pixel * all + self.per_call_pixel * call) * pixels
            + self.per_pair * all * all
    }

    fn check(
        &self,
        frames: usize,
        size: FrameSize,
        frames_per_call: impl Fn(FrameSize) -> usize,
        free: u64,
    ) -> Result<u64, Shortage> {
        let pixels = size.pixels() as f64;
        let in_a_call = frames_per_call(size);
        let needed = self.bytes(frames, pixels, in_a_call);
        let available = free as f64;
        if needed <= available {
            return Ok(needed as u64);
        }
        // The need rises with the number of frames.
        let fits = |count: usize| self.bytes(count, pixels, in_a_call) <= available;
        let (mut fitting_frames, mut too_many) = (0, frames);
        while too_many - fitting_frames > 1 {
            let middle = fitting_frames.midpoint(too_many);
            if fits(middle) {
                fitting_frames = middle;
            } else {
                too_many = middle;
            }
        }
        let without_pixels = self.bytes(frames, 0.0, in_a_call);
        let share = (available - without_pixels) / (needed - without_pixels);
        // A call may take more frames if they are smaller, and then needs more memory.
        let mut scale = (share > 0.0).then(|| share.sqrt());
        while let Some(tried) = scale {
            let smaller = frames_per_call(size.scaled(tried));
            if self.bytes(frames, pixels * tried * tried, smaller) <= available + 1.0 {
                break;
            }
            scale = (tried > SMALLEST_SCALE).then_some(tried * 0.95);
        }
        Err(Shortage {
            frames,
            needed: needed as u64,
            free,
            fitting_frames,
            fitting_scale: scale,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED: MemoryNeed = MemoryNeed {
        fixed: 1000.0,
        per_frame: 20.0,
        per_pixel: 10.0,
        per_call_pixel: 100.0,
        per_pair: 5.0,
        adjust: Some(AdjustmentNeed {
            fixed: 100.0,
            per_link: 10.0,
            per_lens: 4.0,
            per_shared: 3.0,
            per_pair: 2.0,
        }),
    };
    const SIZE: FrameSize = FrameSize::new(20, 10);

    #[test]
    fn a_shortage_names_what_would_fit() {
        // 1000 + 20 * 10 + 200 * (10 * 10 + 100 * 2) + 5 * 100
        assert_eq!(NEED.check(10, SIZE, |_| 2, 61_700), Ok(61_700));
        let shortage = NEED.check(10, SIZE, |_| 2, 61_699).expect_err("too little");
        assert_eq!((shortage.needed, shortage.free), (61_700, 61_699));
        assert_eq!(shortage.fitting_frames, 9);
        let scale = shortage.fitting_scale.expect("smaller ones fit");
        assert!(scale < 1.0);
        let smaller = 200.0 * scale * scale;
        assert!(NEED.bytes(10, smaller, 2) <= 61_699.5);
        assert!(NEED.bytes(10, smaller * 1.001, 2) > 61_699.0);
    }

    #[test]
    fn the_proposed_scale_fits_although_calls_grow() {
        // As many frames in a call as have 400 pixels: the call's share does not shrink.
        let in_a_call = |size: FrameSize| (400 / size.pixels().max(1)) as usize;
        let large = FrameSize::new(40, 10);
        let need = MemoryNeed {
            per_call_pixel: 10.0,
            ..NEED
        };
        let shortage = need
            .check(10, large, in_a_call, 20_000)
            .expect_err("too little");
        let scale = shortage.fitting_scale.expect("smaller ones fit");
        let pixels = 400.0 * scale * scale;
        let smaller = in_a_call(large.scaled(scale));
        assert!(smaller > 1, "calls do grow");
        assert!(need.bytes(10, pixels, smaller) <= 20_001.0);
        assert!(
            need.bytes(10, pixels / 0.9, smaller) > 20_001.0,
            "the scale is not smaller than necessary"
        );
    }

    #[test]
    fn no_scale_is_proposed_if_none_fits() {
        let shortage = NEED
            .check(10, SIZE, |_| 2, 900)
            .expect_err("far too little");
        assert_eq!(shortage.fitting_frames, 0);
        assert_eq!(shortage.fitting_scale, None);
    }

    #[test]
    fn each_kind_of_work_has_a_need_of_its_own() {
        let memory = Memory {
            cpu: Some(NEED),
            cuda: None,
        };
        let check = |work, available| memory.check(Device::Cpu, work, |_| 2, available);
        let frames = 10;
        let prediction = Workload::Prediction { frames, size: SIZE };
        assert_eq!(check(prediction, None), Ok(61_700));
        // All frames are in the one call.
        let encoding = Workload::Encoding { frames, size: SIZE };
        assert_eq!(check(encoding, None), Ok(221_700));
        assert!(check(encoding, Some(221_699)).is_err());
        let adjustment = Workload::Adjustment {
            frames,
            links: 7,
            lenses: 2,
            shared: 5,
        };
        // 100 + 10 * 7 + 4 * 7 * 2 + 3 * 5 + 2 * 100
        assert_eq!(check(adjustment, Some(441)), Ok(441));
        let shortage = check(adjustment, Some(440)).expect_err("too little");
        assert_eq!((shortage.needed, shortage.fitting_frames), (441, 0));
        let on_a_gpu = memory.check(Device::Cuda(0), prediction, |_| 2, Some(0));
        assert_eq!(on_a_gpu, Ok(0), "unknown");
    }

    #[test]
    fn what_older_archives_state_is_read() {
        let text = r#"{"cpu": {"fixed": 1, "per_pixel": 2, "per_call_pixel": 3, "per_pair": 4}}"#;
        let memory: Memory = serde_json::from_str(text).expect("valid");
        let need = memory.cpu.expect("it is there");
        assert_eq!((need.per_frame, need.adjust), (0.0, None));
    }

    #[test]
    fn negative_and_infinite_numbers_are_invalid() {
        let with = |per_pair| Memory {
            cpu: None,
            cuda: Some(MemoryNeed { per_pair, ..NEED }),
        };
        assert!(with(0.0).is_valid());
        assert!(!with(-1.0).is_valid());
        assert!(!with(f64::INFINITY).is_valid());
    }
}

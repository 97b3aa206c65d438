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
/// `fixed + per_pixel * N * H * W + per_call_pixel * n * H * W + per_pair * N * N`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryNeed {
    /// Bytes whatever the frames.
    pub fixed: f64,
    /// Bytes for each pixel of all frames.
    pub per_pixel: f64,
    /// Bytes for each pixel of the frames in one call.
    pub per_call_pixel: f64,
    /// Bytes for each pair of frames.
    pub per_pair: f64,
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
        needs.iter().flatten().all(|need| {
            let numbers = [
                need.fixed,
                need.per_pixel,
                need.per_call_pixel,
                need.per_pair,
            ];
            numbers
                .iter()
                .all(|number| number.is_finite() && *number >= 0.0)
        })
    }

    /// Compares the need of a prediction with the free memory in bytes, `None` if unknown.
    /// `frames_per_call` gives the number of frames of a size in one call.
    ///
    /// # Errors
    /// [`Shortage`] if it does not fit. An unknown need or unknown free memory is not an error.
    pub fn check(
        &self,
        device: Device,
        frames: usize,
        size: FrameSize,
        frames_per_call: impl Fn(FrameSize) -> usize,
        free: Option<u64>,
    ) -> Result<(), Shortage> {
        match (self.on(device), free) {
            (Some(need), Some(free)) => need.check(frames, size, frames_per_call, free),
            _ => Ok(()),
        }
    }
}

impl MemoryNeed {
    fn bytes(&self, frames: usize, pixels: f64, frames_per_call: usize) -> f64 {
        let (all, call) = (frames as f64, frames.min(frames_per_call) as f64);
        self.fixed
            + (self.per_pixel * all + self.per_call_pixel * call) * pixels
            + self.per_pair * all * all
    }

    fn check(
        &self,
        frames: usize,
        size: FrameSize,
        frames_per_call: impl Fn(FrameSize) -> usize,
        free: u64,
    ) -> Result<(), Shortage> {
        let pixels = size.pixels() as f64;
        let in_a_call = frames_per_call(size);
        let needed = self.bytes(frames, pixels, in_a_call);
        let available = free as f64;
        if needed <= available {
            return Ok(());
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
        per_pixel: 10.0,
        per_call_pixel: 100.0,
        per_pair: 5.0,
    };
    const SIZE: FrameSize = FrameSize::new(20, 10);

    #[test]
    fn a_shortage_names_what_would_fit() {
        // 1000 + 200 * (10 * 10 + 100 * 2) + 5 * 100
        assert_eq!(NEED.check(10, SIZE, |_| 2, 61_500), Ok(()));
        let shortage = NEED.check(10, SIZE, |_| 2, 61_499).expect_err("too little");
        assert_eq!((shortage.needed, shortage.free), (61_500, 61_499));
        assert_eq!(shortage.fitting_frames, 9);
        let scale = shortage.fitting_scale.expect("smaller ones fit");
        assert!(scale < 1.0);
        let smaller = 200.0 * scale * scale;
        assert!(NEED.bytes(10, smaller, 2) <= 61_499.5);
        assert!(NEED.bytes(10, smaller * 1.001, 2) > 61_499.0);
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

//! Calls of the entry points that compute maps of some of a run's frames.

use std::ops::Range;

use pointstream_reconstruction::model::ModelError;
use tch::Tensor;

use super::errors::Work;
use super::model::TorchScriptModel;
use super::numbers::{depth_and_confidence, integers};
use super::transfer::Pending;

/// An entry point that computes maps of a range of frames, its last argument.
#[derive(Clone, Copy)]
pub(super) struct PerFrame<'a> {
    pub name: &'static str,
    /// Those before the range.
    pub arguments: &'a [&'a Tensor],
    /// Whether its output stays on the device, as the input of a later call. Otherwise depth and
    /// confidence are copied to the CPU.
    pub stays: bool,
    pub work: Work,
}

impl TorchScriptModel {
    /// Calls an entry point for frames, given by their ascending indices, and passes each output with its
    /// number of frames to `take`, in order.
    ///
    /// On the CPU each call has one frame, and several run at the same time. On a GPU a call has several
    /// frames that follow each other, and the next one is queued before the output of the last one is
    /// awaited: the CPU reads it while the GPU computes.
    pub(super) fn for_frames(
        &self,
        entry_point: PerFrame<'_>,
        frames: &[usize],
        mut take: impl FnMut(Tensor, usize) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let size = entry_point.work.size;
        if let Some(threads) = &self.frame_threads {
            let at_once = self.frames_at_once(size);
            let prepare = || {
                let arguments: Vec<Tensor> = entry_point
                    .arguments
                    .iter()
                    .map(|tensor| tensor.shallow_clone())
                    .collect();
                let (name, stays, work) = (entry_point.name, entry_point.stays, entry_point.work);
                move |index: usize| {
                    let arguments: Vec<&Tensor> = arguments.iter().collect();
                    let call = PerFrame {
                        name,
                        arguments: &arguments,
                        stays,
                        work,
                    };
                    self.maps_of(call, frames[index]..frames[index] + 1)?.wait()
                }
            };
            return threads.each(frames.len(), at_once, prepare, |maps, _| take(maps, 1));
        }
        let memory = self.metadata.memory.as_ref();
        let longest = self.frames_per_call.dense(self.device, memory, size);
        let mut queued: Option<(Pending, usize)> = None;
        for range in ranges(frames, longest) {
            let count = range.len();
            let next = (self.maps_of(entry_point, range)?, count);
            if let Some((maps, frames)) = queued.replace(next) {
                take(maps.wait()?, frames)?;
            }
        }
        match queued {
            Some((maps, frames)) => take(maps.wait()?, frames),
            None => Ok(()),
        }
    }

    fn maps_of(
        &self,
        entry_point: PerFrame<'_>,
        frames: Range<usize>,
    ) -> Result<Pending, ModelError> {
        let PerFrame {
            name,
            arguments,
            stays,
            work,
        } = entry_point;
        let range = integers([frames.start as i64, frames.end as i64], work)?;
        let arguments: Vec<&Tensor> = arguments.iter().copied().chain([&range]).collect();
        let maps = self.call(name, &arguments, work)?;
        match stays {
            true => Pending::staying(maps, self.device),
            false => {
                let maps = depth_and_confidence(&maps, name)?;
                Pending::fetched(&maps, self.device, name, work)
            }
        }
    }
}

/// Ascending indices as ranges of neighbours, none longer than `longest`.
fn ranges(indices: &[usize], longest: usize) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for &index in indices {
        match ranges.last_mut() {
            Some(range) if range.end == index && range.len() < longest => range.end += 1,
            _ => ranges.push(index..index + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn neighbours_share_a_range_up_to_its_limit() {
        assert_eq!(ranges(&[2, 3, 4, 7, 8], 2), [2..4, 4..5, 7..9]);
        assert_eq!(ranges(&[0, 1, 2, 5], 9), [0..3, 5..6]);
        assert!(ranges(&[], 4).is_empty());
    }
}

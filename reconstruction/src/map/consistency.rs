//! Points that frames of other chunks contradict.
//!
//! A run of the model checks the depths of its frames with each other, but not with those of other
//! runs. So a wall that was seen twice may be there twice, and somebody who walked by stays in the
//! cloud although others have seen what was behind.
//!
//! A frame contradicts a point if it sees clearly through it: at the place where the point would
//! appear, and at all pixels beside it, its surface lies farther away. It also does if something hides the
//! point from it that the frame of the point sees through: then there are two layers of one surface. It
//! supports the point if its surface lies there. What no other frame sees is not contradicted.
//!
//! Chunks are compared one after another, small ones first. What was contradicted says nothing about
//! others: of two layers of a wall one stays.

mod pixels;
mod votes;
mod witnesses;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rayon::prelude::*;

pub use self::pixels::Contradicted;
use self::votes::{Ballot, Surface};
use self::witnesses::{Sketch, witnesses};
use super::frames::{FramePlace, Map};
use super::joined::SourceOfDepth;
use crate::cloud::View;

/// Bytes of a pixel of a frame that is compared: its depth and confidence, its point, the votes, and the
/// depths of a witness, which are read while the frame's own are there.
const BYTES_PER_PIXEL: u64 = 60;

/// Compares the frames of a map with those of other chunks.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<'a> {
    pub map: &'a Map,
    /// Numbers of the frames, ascending. Those that are not drawn or have no depth are left out.
    pub numbers: &'a [u64],
}

/// A frame with a camera and depth.
struct Placed {
    number: u64,
    place: FramePlace,
    view: View,
    /// Its depths, as multiples of those that its chunk has.
    depth_factor: f64,
    /// Confidence from which a depth counts.
    floor: f32,
}

impl Comparison<'_> {
    /// The pixels that are contradicted; `None` if `goes_on` has said no on the way.
    ///
    /// # Errors
    /// That of the source.
    pub fn find<S>(
        &self,
        source: &S,
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Contradicted>, S::Error>
    where
        S: SourceOfDepth + Sync,
        S::Error: Send,
    {
        let frames = self.frames();
        let mut found = Contradicted::none(self.map.size());
        let chunks = in_turn(&frames);
        if chunks.len() < 2 {
            return Ok(Some(found));
        }
        let sketches = frames.par_iter().map(|frame| match goes_on() {
            true => Ok(Some(Sketch::of(
                frame,
                &source.depth(frame.place)?,
                self.map.size(),
            ))),
            false => Ok(None),
        });
        let sketches: Option<Vec<Sketch>> = sketches.collect::<Result<_, S::Error>>()?;
        let Some(sketches) = sketches else {
            return Ok(None);
        };
        for chunk in chunks {
            let of_chunk = (0..frames.len()).into_par_iter();
            let of_chunk = of_chunk.filter(|&index| frames[index].place.chunk == chunk);
            let marks = of_chunk.map(|index| {
                if !goes_on() {
                    return Ok(None);
                }
                let others = witnesses(&frames, &sketches, index);
                let others = others.into_iter().map(|other| &frames[other]);
                let marked = self.compare(&frames[index], others, source, &found)?;
                Ok(Some((frames[index].number, marked)))
            });
            let marks: Option<Vec<(u64, Vec<u32>)>> = marks.collect::<Result<_, S::Error>>()?;
            let Some(marks) = marks else {
                return Ok(None);
            };
            for (number, marked) in marks {
                found.mark(number, &marked);
            }
        }
        Ok(Some(found))
    }

    /// Bytes that [`find`](Self::find) takes at most.
    pub fn memory(&self) -> u64 {
        let size = self.map.size();
        let pixels = (size.columns() * size.rows()) as u64;
        let frames = self.numbers.len() as u64;
        let threads = rayon::current_num_threads() as u64;
        let kept = Contradicted::bytes_of_frame(size) + Sketch::BYTES;
        frames * kept + threads.min(frames) * pixels * BYTES_PER_PIXEL
    }

    fn frames(&self) -> Vec<Placed> {
        let frames = self.numbers.iter().filter_map(|&number| {
            let frame = self.map.frame(number)?;
            let place = self.map.place_with_maps(number)?;
            Some(Placed {
                number,
                place,
                view: frame.view()?,
                depth_factor: frame.depth_factor,
                floor: self.map.chunks().get(place.chunk)?.confidence_threshold,
            })
        });
        frames.collect()
    }

    /// The pixels of a frame that others contradict.
    fn compare<'f, S: SourceOfDepth>(
        &self,
        frame: &Placed,
        others: impl Iterator<Item = &'f Placed>,
        source: &S,
        found: &Contradicted,
    ) -> Result<Vec<u32>, S::Error> {
        let size = self.map.size();
        let mut ballot = Ballot::of(frame, &source.depth(frame.place)?, found, size);
        for other in others {
            let depth = source.depth(other.place)?;
            let surface = Surface::of(other, &depth, found, size);
            ballot.vote(&surface, other.place.chunk == frame.place.chunk);
        }
        Ok(ballot.contradicted())
    }
}

/// The chunks of the frames in the order in which they are compared: small ones first, since others are more
/// likely to be right, and of equal ones the later first.
fn in_turn(frames: &[Placed]) -> Vec<usize> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for frame in frames {
        *counts.entry(frame.place.chunk).or_default() += 1;
    }
    let mut chunks: Vec<(usize, usize)> = counts.into_iter().collect();
    chunks.sort_by_key(|&(chunk, frames)| (frames, Reverse(chunk)));
    chunks.into_iter().map(|(chunk, _)| chunk).collect()
}

#[cfg(test)]
mod tests;

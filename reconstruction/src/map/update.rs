//! What someone who follows a map lacks of it.

use std::collections::BTreeMap;

use nalgebra::Affine3;
use rayon::prelude::*;

use super::frames::{FramePlace, Map, MapFrame};
use super::scene::{ChunkSource, shares};
use crate::cloud::{CloudOptions, FrameCloud, FrameMap};

/// How much of a map someone has: the points of the frames with a smaller number than `before` in the
/// first `chunks` chunks, each as far as a cloud of these chunks has them, where they were at a
/// revision of the map. Everything else follows from the map, so this is all that needs to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapExtent {
    pub chunks: usize,
    pub revision: u64,
    /// Which chunks were drawn; see [`Map::drawing`].
    pub drawing: u64,
    pub before: u64,
}

/// The points of a frame that stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameShare {
    /// Number of the frame.
    pub frame: u64,
    /// So many of its points stay, in the order in which they were given; the others are dropped.
    pub points: usize,
}

/// What brings a part of a map up to date. With all updates from the beginning, the points and cameras
/// are those of the [whole cloud](super::MapScene) without voxels.
#[derive(Debug, Clone, PartialEq)]
pub struct MapUpdate {
    /// Placed frames that are new, with their points in the random order of the chunk.
    pub frames: Vec<FrameCloud>,
    /// Numbers of the known frames that have moved.
    pub moved: Vec<u64>,
    /// Known frames that have too many points now.
    pub kept: Vec<FrameShare>,
}

impl MapExtent {
    /// All of these frames of a map. The numbers are ascending.
    pub fn of(map: &Map, numbers: &[u64]) -> Self {
        Self {
            chunks: map.chunks().len(),
            revision: map.revision(),
            drawing: map.drawing(),
            before: numbers.last().map_or(0, |last| last + 1),
        }
    }

    /// Whether an update of the map can build on it: the map has only grown or been corrected since.
    /// If its pieces were joined, or another one is drawn, nothing of it stays.
    pub fn is_part_of(&self, map: &Map) -> bool {
        self.drawing == map.drawing()
            && self.chunks <= map.chunks().len()
            && self.revision <= map.revision()
    }

    fn contains(&self, number: u64, place: FramePlace) -> bool {
        number < self.before && place.chunk < self.chunks
    }
}

/// A placed frame of the update.
struct Member<'a> {
    number: u64,
    frame: &'a MapFrame,
    known: bool,
    to_glb: Affine3<f64>,
    /// Maps its pixels to its own coordinates.
    pixels: FrameMap,
}

impl MapUpdate {
    /// The update of someone who has `known`, a [part of the map](MapExtent::is_part_of), or nothing,
    /// for a cloud of these frames. The numbers are ascending, and the map has them all.
    ///
    /// # Errors
    /// That of the source.
    pub fn build<S: ChunkSource>(
        map: &Map,
        numbers: &[u64],
        known: Option<&MapExtent>,
        options: &CloudOptions,
        source: &S,
    ) -> Result<Self, S::Error> {
        let most = options.num_max_points;
        let now = shares(map, map.chunks().len(), most);
        let before = shares(map, known.map_or(0, |known| known.chunks), most);
        let members = members(map, numbers, known);
        let moved = members.values().flat_map(BTreeMap::values);
        let revision = known.map_or(0, |known| known.revision);
        let mut moved: Vec<u64> = moved
            .filter(|member| member.known && member.frame.revision > revision)
            .map(|member| member.number)
            .collect();
        moved.sort_unstable();
        let parts = members
            .par_iter()
            .map(|(&chunk, members)| {
                let before = before.get(chunk).copied().unwrap_or(0);
                ChunkPart::build(map, chunk, members, before, now[chunk], source)
            })
            .collect::<Result<Vec<ChunkPart>, S::Error>>()?;
        let mut update = Self {
            frames: Vec::new(),
            moved,
            kept: Vec::new(),
        };
        for part in parts {
            update.frames.extend(part.frames);
            update.kept.extend(part.kept);
        }
        Ok(update)
    }

    /// How many points [`build`](Self::build) reads at most, all at once.
    pub fn points_read(
        map: &Map,
        numbers: &[u64],
        known: Option<&MapExtent>,
        options: &CloudOptions,
    ) -> usize {
        let most = options.num_max_points;
        let now = shares(map, map.chunks().len(), most);
        let before = shares(map, known.map_or(0, |known| known.chunks), most);
        let members = members(map, numbers, known).into_iter();
        members
            .map(|(chunk, members)| {
                let before = before.get(chunk).copied().unwrap_or(0);
                points_needed(&members, before, now[chunk])
            })
            .sum()
    }

    /// Whether nothing is new.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.moved.is_empty() && self.kept.is_empty()
    }
}

/// The placed frames, by chunk and row.
fn members<'a>(
    map: &'a Map,
    numbers: &[u64],
    known: Option<&MapExtent>,
) -> BTreeMap<usize, BTreeMap<usize, Member<'a>>> {
    let mut members: BTreeMap<usize, BTreeMap<usize, Member>> = BTreeMap::new();
    for &number in numbers {
        let member = || {
            let frame = map.frame(number)?;
            let place = frame.place?;
            let lens = frame.lens();
            let identity = Affine3::identity();
            let member = Member {
                number,
                frame,
                known: known.is_some_and(|known| known.contains(number, place)),
                to_glb: map.points_to_glb(frame).filter(is_finite)?,
                pixels: FrameMap::of_lens(lens.intrinsics, lens.distortion, &identity, map.size())?,
            };
            Some((place, member))
        };
        if let Some((place, member)) = member() {
            let chunk = members.entry(place.chunk).or_default();
            chunk.insert(place.row, member);
        }
    }
    members
}

/// Whether the numbers of a transform stay finite in single precision, as the cloud has them.
fn is_finite(transform: &Affine3<f64>) -> bool {
    let numbers = transform.matrix().iter();
    numbers.copied().all(|number| (number as f32).is_finite())
}

/// What a chunk adds to an update.
struct ChunkPart {
    frames: Vec<FrameCloud>,
    kept: Vec<FrameShare>,
}

/// What a chunk's file has of a frame.
#[derive(Default)]
struct FramePart {
    /// Points and colours of a new frame.
    points: Vec<[f32; 3]>,
    colors: Vec<[u8; 3]>,
    /// Number of points of a known frame before, and now.
    before: usize,
    now: usize,
}

/// How many points of a chunk are needed, with its shares of the cloud before and now.
fn points_needed(members: &BTreeMap<usize, Member>, before: usize, now: usize) -> usize {
    let any_new = members.values().any(|member| !member.known);
    let shrinks = now < before && members.values().any(|member| member.known);
    match (shrinks, any_new) {
        (true, _) => before,
        (false, true) => now,
        (false, false) => 0,
    }
}

impl ChunkPart {
    /// `before` and `now` are the chunk's shares of the cloud.
    fn build<S: ChunkSource>(
        map: &Map,
        chunk: usize,
        members: &BTreeMap<usize, Member>,
        before: usize,
        now: usize,
        source: &S,
    ) -> Result<Self, S::Error> {
        let needed = points_needed(members, before, now);
        let mut parts: BTreeMap<usize, FramePart> = BTreeMap::new();
        if needed > 0 {
            let points = source.points(chunk, needed)?;
            let width = map.size().width;
            for (index, point) in points.points().iter().enumerate() {
                let row = point.pixel.frame as usize;
                let Some(member) = members.get(&row) else {
                    continue;
                };
                let position = member.pixels.point(point.pixel.index, width, point.depth);
                if position[0].is_nan() {
                    continue;
                }
                let part = parts.entry(row).or_default();
                part.before += usize::from(index < before);
                part.now += usize::from(index < now);
                if !member.known && index < now {
                    part.points.push(position);
                    part.colors.push(point.color);
                }
            }
        }
        let mut frames = Vec::new();
        let mut kept = Vec::new();
        for (row, member) in members {
            let part = parts.remove(row).unwrap_or_default();
            if !member.known {
                frames.push(FrameCloud {
                    camera: member.frame.camera.clone(),
                    chunk,
                    points_to_glb: member.to_glb,
                    points: part.points,
                    colors: part.colors,
                });
            } else if part.now < part.before {
                kept.push(FrameShare {
                    frame: member.number,
                    points: part.now,
                });
            }
        }
        Ok(Self { frames, kept })
    }
}

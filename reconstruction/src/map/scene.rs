//! The point cloud of a map.

use rayon::prelude::*;

use super::consistency::Contradicted;
use super::frames::Map;
use super::points::{ChunkPoint, ChunkPoints};
use crate::cloud::{
    CloudOptions, FrameMap, Pixel, Scene, SceneCamera, camera_size, keep_most_confident,
};

/// Where the points of chunks come from.
pub trait ChunkSource: Sync {
    /// Why points cannot be read.
    type Error: Send;

    /// The first `count` points of a chunk, by its index.
    ///
    /// # Errors
    /// If they cannot be read.
    fn points(&self, chunk: usize, count: usize) -> Result<ChunkPoints, Self::Error>;
}

/// Makes point clouds of a map.
#[derive(Debug, Clone, Copy)]
pub struct MapScene<'a> {
    pub map: &'a Map,
    /// Numbers of the frames of the cloud, ascending; the map has them all.
    pub numbers: &'a [u64],
    pub options: &'a CloudOptions,
}

/// The point cloud of a map without what frames contradict.
#[derive(Debug, Clone, PartialEq)]
pub struct MapCloud {
    pub scene: Scene,
    /// Points that were left out.
    pub contradicted: usize,
}

/// A point with its pixel in the cloud.
struct CloudPoint {
    pixel: Pixel,
    is_contradicted: bool,
    position: [f32; 3],
    confidence: f32,
    color: [u8; 3],
}

impl MapScene<'_> {
    /// The points and cameras of the frames. With more points than the options allow, each chunk
    /// gives its share of them. Points are ordered by frame and index.
    ///
    /// # Errors
    /// That of the source.
    pub fn build<S: ChunkSource>(&self, source: &S) -> Result<Scene, S::Error> {
        let nothing = Contradicted::none(self.map.size());
        Ok(self.build_without(source, &nothing)?.scene)
    }

    /// The same without points at contradicted pixels.
    ///
    /// # Errors
    /// That of the source.
    pub fn build_without<S: ChunkSource>(
        &self,
        source: &S,
        contradicted: &Contradicted,
    ) -> Result<MapCloud, S::Error> {
        let map = self.map;
        let shares = shares(map, map.chunks().len(), self.options.num_max_points);
        let rows = self.rows();
        let maps = self.frame_maps();
        let width = map.size().width;
        let parts = shares
            .par_iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(chunk, &count)| {
                let points = source.points(chunk, count)?;
                let place = |point: &ChunkPoint| {
                    let row = point.pixel.frame as usize;
                    let frame = *rows[chunk].get(row)?.as_ref()?;
                    let index = point.pixel.index;
                    let position = maps[frame].as_ref()?.point(index, width, point.depth);
                    (!position[0].is_nan()).then_some(CloudPoint {
                        pixel: Pixel {
                            frame: frame as u32,
                            index,
                        },
                        is_contradicted: contradicted.contains(self.numbers[frame], index),
                        position,
                        confidence: point.confidence,
                        color: point.color,
                    })
                };
                Ok(points.points().iter().filter_map(place).collect())
            })
            .collect::<Result<Vec<Vec<CloudPoint>>, S::Error>>()?;
        let mut points: Vec<CloudPoint> = parts.into_iter().flatten().collect();
        let all = points.len();
        // Before voxels: a contradicted point must not stand for others.
        points.retain(|point| !point.is_contradicted);
        let contradicted = all - points.len();
        points.par_sort_unstable_by_key(|point| point.pixel);
        if let Some(size) = self.options.filters.voxel_size {
            // Chunks were filtered one by one.
            let of = |point: &CloudPoint| (point.position, point.confidence);
            keep_most_confident(&mut points, size, of);
        }
        let positions: Vec<[f32; 3]> = points.iter().map(|point| point.position).collect();
        let threshold = map
            .drawn_chunks()
            .map(|(_, chunk)| chunk.confidence_threshold)
            .fold(f32::INFINITY, f32::min);
        let scene = Scene {
            colors: points.iter().map(|point| point.color).collect(),
            pixels: points.iter().map(|point| point.pixel).collect(),
            cameras: self.cameras().cloned().collect(),
            image_size: map.size(),
            camera_size: camera_size(&positions),
            show_cameras: self.options.show_cameras,
            world_to_glb: *map.world_to_glb(),
            alignment: map.alignment().clone(),
            confidence_threshold: threshold,
            points: positions,
        };
        Ok(MapCloud {
            scene,
            contradicted,
        })
    }

    fn cameras(&self) -> impl Iterator<Item = &SceneCamera> {
        let numbers = self.numbers.iter();
        numbers.filter_map(|number| Some(&self.map.frame(*number)?.camera))
    }

    /// For each frame of each chunk, its index in the cloud, if it belongs to the chunk and the
    /// cloud.
    fn rows(&self) -> Vec<Vec<Option<usize>>> {
        let mut rows: Vec<Vec<Option<usize>>> = vec![Vec::new(); self.map.chunks().len()];
        for (index, number) in self.numbers.iter().enumerate() {
            let Some(place) = self.map.frame(*number).and_then(|frame| frame.place) else {
                continue;
            };
            let rows = &mut rows[place.chunk];
            if rows.len() <= place.row {
                rows.resize(place.row + 1, None);
            }
            rows[place.row] = Some(index);
        }
        rows
    }

    fn frame_maps(&self) -> Vec<Option<FrameMap>> {
        let map = self.map;
        let frame_map = |number: &u64| {
            let frame = map.frame(*number)?;
            let points_to_glb = map.points_to_glb(frame)?;
            let lens = frame.lens();
            FrameMap::of_lens(lens.intrinsics, lens.distortion, &points_to_glb, map.size())
        };
        self.numbers.iter().map(frame_map).collect()
    }
}

/// Points that each of the map's first chunks gives to a cloud of these chunks with at most `most`
/// points; never more than its file has, and none of a chunk that is not drawn. The share of a chunk only
/// shrinks as others come.
pub(super) fn shares(map: &Map, chunks: usize, most: usize) -> Vec<usize> {
    let counts = || {
        let drawn = map.drawn_chunks().take_while(|(index, _)| *index < chunks);
        drawn.map(|(index, chunk)| (index, chunk.points))
    };
    let all: usize = counts().map(|(_, points)| points).sum();
    let mut shares = vec![0; chunks];
    for (index, points) in counts() {
        shares[index] = match all <= most {
            true => points,
            false => (points as u128 * most as u128 / all as u128) as usize,
        };
    }
    shares
}

//! The point cloud of a map.

use rayon::prelude::*;

use super::frames::Map;
use super::points::{ChunkPoint, ChunkPoints};
use crate::cloud::{
    CloudOptions, FrameMap, Pixel, Scene, SceneCamera, View, camera_size, keep_most_confident,
};
use crate::prediction::Camera;

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

/// A point with its pixel in the cloud.
struct CloudPoint {
    pixel: Pixel,
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
        let map = self.map;
        let shares = self.shares();
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
                        position,
                        confidence: point.confidence,
                        color: point.color,
                    })
                };
                Ok(points.points().iter().filter_map(place).collect())
            })
            .collect::<Result<Vec<Vec<CloudPoint>>, S::Error>>()?;
        let mut points: Vec<CloudPoint> = parts.into_iter().flatten().collect();
        points.par_sort_unstable_by_key(|point| point.pixel);
        if let Some(size) = self.options.filters.voxel_size {
            // Chunks were filtered one by one.
            let of = |point: &CloudPoint| (point.position, point.confidence);
            keep_most_confident(&mut points, size, of);
        }
        let positions: Vec<[f32; 3]> = points.iter().map(|point| point.position).collect();
        let threshold = map
            .chunks()
            .iter()
            .map(|chunk| chunk.confidence_threshold)
            .fold(f32::INFINITY, f32::min);
        Ok(Scene {
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
        })
    }

    fn cameras(&self) -> impl Iterator<Item = &SceneCamera> {
        let numbers = self.numbers.iter();
        numbers.filter_map(|number| Some(&self.map.frame(*number)?.camera))
    }

    /// Points that each chunk gives; never more than the options allow, which its file has.
    fn shares(&self) -> Vec<usize> {
        let counts = || self.map.chunks().iter().map(|chunk| chunk.points);
        let (all, most) = (counts().sum::<usize>(), self.options.num_max_points);
        let share = |points: usize| match all <= most {
            true => points,
            false => (points as u128 * most as u128 / all as u128) as usize,
        };
        counts().map(share).collect()
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
        let map = |camera: &SceneCamera| {
            let camera = Camera {
                extrinsics: camera.extrinsics,
                intrinsics: camera.intrinsics,
                distortion: camera.distortion,
                registered: camera.pose.is_some(),
            };
            let view = View::from_camera(&camera)?;
            Some(FrameMap::new(
                &view,
                self.map.world_to_glb(),
                self.map.size(),
            ))
        };
        self.cameras().map(map).collect()
    }
}

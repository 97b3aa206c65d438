//! The point cloud of a request that the map answers.

use std::sync::Arc;
use std::time::Instant;

use pointstream_reconstruction::formats::glb::write_glb;
use pointstream_reconstruction::map::{ChunkPoints, ChunkSource, Contradicted, MapCloud, MapScene};
use uuid::Uuid;

use super::context::Context;
use super::generation::Generation;
use super::generation_error::GenerationError;
use super::ledger::{ChunkFrame, StoredMap};
use super::point_cloud::{FromMap, Origin};
use super::progress;
use super::result_chunks::pixel_bytes;
use super::stored_result::{Generated, StoredResult};
use crate::answer::Timings;
use crate::blobs::BlobName;

impl Generation {
    /// Makes the point cloud of the map, without the pixels that other frames contradict if frames were
    /// compared, and stores it atomically. Blocks.
    pub(super) fn make_point_cloud_of_map(
        self,
        stored: Arc<StoredMap>,
        contradicted: Option<Contradicted>,
    ) -> Result<Generated, GenerationError> {
        let context = self.context.clone();
        let number = self.number;
        self.store_of_map(stored, contradicted).inspect_err(|_| {
            for name in StoredResult::files(number) {
                context.blobs.remove_or_warn(&context.key(name));
            }
        })
    }

    fn store_of_map(
        &self,
        stored: Arc<StoredMap>,
        contradicted: Option<Contradicted>,
    ) -> Result<Generated, GenerationError> {
        let mut timings = Timings {
            queued: self.asked.elapsed().as_secs_f64(),
            ..Timings::default()
        };
        let map = &stored.map;
        let numbers: Vec<u64> = self.frames.iter().map(|frame| frame.number).collect();
        let start = Instant::now();
        let options = self.config.cloud_options();
        let source = StoredChunks {
            context: &self.context,
            files: &stored.files,
        };
        let scene = MapScene {
            map,
            numbers: &numbers,
            options: &options,
        };
        let compared = contradicted.is_some();
        let contradicted = contradicted.unwrap_or_else(|| Contradicted::none(map.size()));
        let MapCloud {
            scene,
            contradicted: left_out,
        } = scene.build_without(&source, &contradicted)?;
        let quality = self.quality(&map.assessment(&numbers), &scene);
        timings.cloud = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let glb = write_glb(&scene, self.config.points.glb_compression)?;
        timings.glb = start.elapsed().as_secs_f64();
        self.report(progress::storing(scene.points.len()));
        let start = Instant::now();
        let key = self.context.key(BlobName::ResultPixels(self.number));
        self.context
            .blobs
            .put_bytes(&key, &pixel_bytes(&scene.pixels))?;
        if !contradicted.is_empty() {
            let key = self.context.key(BlobName::ResultContradicted(self.number));
            let bytes = contradicted.to_bytes(numbers.iter().copied());
            self.context.blobs.put_bytes(&key, &bytes)?;
        }
        timings.store = start.elapsed().as_secs_f64();
        let frames = numbers.iter().map(|number| {
            let frame = map.frame(*number).filter(|frame| !frame.is_apart())?;
            let place = map.place_with_maps(*number)?;
            Some(ChunkFrame {
                file: *stored.files.get(place.chunk)?,
                row: place.row,
                depth_factor: frame.depth_factor,
            })
        });
        let frames = frames.collect();
        let origin = Origin::Map(FromMap {
            map: stored,
            frames,
            contradicted_points: compared.then_some(left_out),
            has_contradicted: !contradicted.is_empty(),
        });
        self.put_result(&scene, &glb, quality, origin, timings)
    }
}

/// The stored points of the map's chunks.
pub(super) struct StoredChunks<'a> {
    pub context: &'a Context,
    /// For each chunk, the identifier of its files.
    pub files: &'a [Uuid],
}

impl ChunkSource for StoredChunks<'_> {
    type Error = GenerationError;

    fn points(&self, chunk: usize, count: usize) -> Result<ChunkPoints, GenerationError> {
        let missing = || GenerationError::Internal(format!("the map has no chunk {chunk}"));
        let file = *self.files.get(chunk).ok_or_else(missing)?;
        let key = self.context.key(BlobName::ChunkPoints(file));
        let view = self.context.blobs.view(&key);
        let view = view.map_err(GenerationError::ReadPrediction)?;
        let first = view.slice(0..ChunkPoints::file_bytes(count));
        let first = first.read().map_err(GenerationError::ReadPrediction)?;
        Ok(ChunkPoints::from_bytes(&first, count)?)
    }
}

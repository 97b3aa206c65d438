//! The update of one client that keeps the point cloud: what it lacks of the newest result.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use pointstream_reconstruction::cloud::{FrameCloud, rows};
use pointstream_reconstruction::formats::glb::{FramesGlb, write_frames_glb};
use pointstream_reconstruction::map::{MapExtent, MapUpdate};
use uuid::Uuid;

use super::context::Context;
use super::generation_error::GenerationError;
use super::ledger::{Image, StoredMap};
use super::map_cloud::StoredChunks;
use super::map_poses;
use super::stored_result::StoredResult;
use crate::answer::{Answer, AnswerKind, ResultMetadata};
use crate::blobs::{BlobName, RemovedOnDrop};
use crate::session_config::SessionConfig;
use crate::updates::{AppendMetadata, FramePose, KeptPoints};

/// What a client has of the session's map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownMap {
    /// Identifies the map: another one begins with another chunk.
    map: Uuid,
    extent: MapExtent,
}

/// The inputs of an update.
pub(super) struct UpdateWork {
    pub context: Context,
    pub config: SessionConfig,
    /// Images of the session.
    pub images: Vec<Image>,
    pub result: Arc<StoredResult>,
    /// Number of the update within the session, from 1.
    pub number: u64,
    /// What the client has already.
    pub known: Option<KnownMap>,
}

/// A finished update.
pub(crate) struct MadeUpdate {
    pub(super) answer: Arc<Answer>,
    /// What the client has after it; `None` if the next update cannot build on it.
    pub(super) known: Option<KnownMap>,
}

/// What changes for the client.
struct Change {
    /// What it had, if the update builds on that.
    base: Option<MapExtent>,
    frames: Vec<FrameCloud>,
    poses: Vec<FramePose>,
    corrections: Vec<FramePose>,
    kept: Vec<KeptPoints>,
    known: Option<KnownMap>,
}

impl UpdateWork {
    /// Makes the update. Blocks.
    pub fn make(self) -> Result<MadeUpdate, GenerationError> {
        let start = Instant::now();
        let change = match self.map() {
            Some(stored) => self.change_of_map(stored)?,
            None => self.whole_result()?,
        };
        let cloud = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let (metadata, cameras) = (&self.result.answer().metadata, self.result.cameras());
        let glb = FramesGlb {
            frames: &change.frames,
            image_size: self.result.size(),
            show_cameras: self.config.show_cameras,
            world_to_glb: cameras.world_to_glb(),
            alignment: &metadata.alignment,
            confidence_threshold: metadata.confidence_threshold,
        };
        let glb = write_frames_glb(&glb, self.config.points.glb_compression)?;
        let blobs = &self.context.blobs;
        let key = self.context.key(BlobName::Update(self.number));
        // Nobody else opens the file: the view is all that is needed of it.
        let _file = RemovedOnDrop {
            blobs: blobs.clone(),
            key,
        };
        blobs.put_bytes(&key, &glb)?;
        let glb = blobs.view(&key)?;
        let (mut metadata, images) = self.metadata(&change, glb.len());
        metadata.timings.cloud += cloud;
        metadata.timings.glb += start.elapsed().as_secs_f64();
        metadata.timings.total += cloud + start.elapsed().as_secs_f64();
        metadata.append = Some(AppendMetadata {
            number: self.number,
            reset: change.base.is_none(),
            images,
            frames: change.poses,
            corrections: change.corrections,
            kept: change.kept,
        });
        Ok(MadeUpdate {
            answer: Arc::new(Answer {
                number: self.result.number(),
                kind: AnswerKind::Delta,
                image_count: self.result.answer().image_count,
                glb,
                metadata: Arc::new(metadata),
                description: Arc::default(),
            }),
            known: change.known,
        })
    }

    /// No more points are read for it.
    pub fn most_points(&self) -> usize {
        match self.map() {
            Some(stored) => MapUpdate::points_read(
                &stored.map,
                &self.numbers(),
                self.base(stored).as_ref(),
                &self.config.cloud_options(),
            ),
            None => self.result.answer().metadata.num_points,
        }
    }

    /// The map whose points the result has. One that leaves out points of the map is sent whole.
    fn map(&self) -> Option<&StoredMap> {
        let map = self.result.map();
        map.filter(|_| !self.result.leaves_out_points())
    }

    /// Numbers of the frames of the result.
    fn numbers(&self) -> Vec<u64> {
        let cameras = self.result.cameras().all().iter();
        cameras.map(|camera| camera.id).collect()
    }

    /// What the client has of this map.
    fn base(&self, stored: &StoredMap) -> Option<MapExtent> {
        let known = self.known.as_ref()?;
        let fits = stored.files.first() == Some(&known.map) && known.extent.is_part_of(&stored.map);
        fits.then_some(known.extent)
    }

    fn change_of_map(&self, stored: &StoredMap) -> Result<Change, GenerationError> {
        let map = &stored.map;
        let Some(&id) = stored.files.first() else {
            let message = "a map has no chunk".to_owned();
            return Err(GenerationError::Internal(message));
        };
        let numbers = self.numbers();
        let base = self.base(stored);
        let source = StoredChunks {
            context: &self.context,
            files: &stored.files,
        };
        let options = self.config.cloud_options();
        let update = MapUpdate::build(map, &numbers, base.as_ref(), &options, &source)?;
        let pose = |number: u64| map_poses::of_map(map, number, &self.images);
        let frames = update.frames.iter();
        Ok(Change {
            base,
            poses: frames.filter_map(|frame| pose(frame.camera.id)).collect(),
            corrections: update.moved.into_iter().filter_map(pose).collect(),
            kept: update
                .kept
                .iter()
                .map(|share| KeptPoints {
                    frame: share.frame,
                    points: share.points,
                })
                .collect(),
            frames: update.frames,
            known: Some(KnownMap {
                map: id,
                extent: MapExtent::of(map, &numbers),
            }),
        })
    }

    /// A result that does not follow from the map replaces all that the client has.
    fn whole_result(&self) -> Result<Change, GenerationError> {
        let frames = self.result.frame_clouds()?;
        let poses = frames.iter().filter_map(|frame| {
            let to_glb = Some(rows(frame.points_to_glb.matrix()));
            map_poses::of_camera(&frame.camera, None, to_glb, &self.images)
        });
        Ok(Change {
            base: None,
            poses: poses.collect(),
            frames,
            corrections: Vec::new(),
            kept: Vec::new(),
            known: None,
        })
    }

    /// The metadata of the result, with lists of the images that are new to the client, and the
    /// indices of these.
    fn metadata(&self, change: &Change, glb_size_bytes: usize) -> (ResultMetadata, Vec<usize>) {
        let result = &*self.result.answer().metadata;
        let placed: BTreeSet<u64> = change.frames.iter().map(|frame| frame.camera.id).collect();
        let before = change.base.map_or(0, |base| base.before);
        let is_new = |number: u64| number >= before || placed.contains(&number);
        let cameras = self.result.cameras().all();
        let frames: Vec<bool> = cameras.iter().map(|camera| is_new(camera.id)).collect();
        let covered = self.images.iter().take(result.quality.frames.len());
        let new = covered
            .enumerate()
            .filter(|(_, image)| is_new(image.number));
        let (indices, new): (Vec<usize>, Vec<&Image>) = new.unzip();
        let missing = new.iter().filter(|image| !placed.contains(&image.number));
        let mut metadata = ResultMetadata {
            glb_size_bytes,
            intrinsics: chosen(&result.intrinsics, &frames),
            distortion: chosen(&result.distortion, &frames),
            extrinsics: chosen(&result.extrinsics, &frames),
            frames: chosen(&result.frames, &frames),
            unregistered_frames: missing.map(|image| image.name.clone()).collect(),
            ..result.clone()
        };
        let quality = indices
            .iter()
            .filter_map(|index| result.quality.frames.get(*index));
        metadata.quality.frames = quality.cloned().collect();
        (metadata, indices)
    }
}

fn chosen<T: Clone>(all: &[T], which: &[bool]) -> Vec<T> {
    let pairs = all.iter().zip(which).filter(|(_, chosen)| **chosen);
    pairs.map(|(value, _)| value.clone()).collect()
}

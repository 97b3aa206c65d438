//! The last part of a request: from the model's prediction to a stored result.

use std::io::{BufWriter, IntoInnerError};
use std::sync::Arc;
use std::time::Instant;

use image::RgbImage;
use pointstream_reconstruction::anchors::{AnchorReport, adopt_known_world};
use pointstream_reconstruction::cloud::{
    Alignment, CloudError, Scene, SceneFrame, World, build_scene, rows,
};
use pointstream_reconstruction::formats::glb::write_glb;
use pointstream_reconstruction::formats::npz::NpzWriter;
use pointstream_reconstruction::formats::{Cameras, ResultFormat};
use pointstream_reconstruction::geometry::Region;
use pointstream_reconstruction::prediction::Prediction;
use pointstream_reconstruction::quality::{Assessment, Quality, RequestImage};

use super::generation::Generation;
use super::generation_error::GenerationError;
use super::ledger::{ChunkFrame, ResultRecord, ResultSource, StoredMap};
use super::progress;
use super::stored_result::{Generated, StoredResult};
use crate::answer::{ResultMetadata, Timings};
use crate::blobs::{BlobKey, BlobName, Draft, RemovedOnDrop};
use crate::frames::{FrameError, read_frame};
use crate::jobs::JobDone;

/// What a result is made of.
pub(super) enum Origin {
    /// One run of the model; the session's coordinates, with what the result adds, and how the cameras
    /// that the client knows agree.
    Run(Arc<World>, Option<AnchorReport>),
    Map(FromMap),
}

/// The map as a result has it.
pub(super) struct FromMap {
    pub map: Arc<StoredMap>,
    /// Where the depth of each frame is.
    pub frames: Vec<Option<ChunkFrame>>,
    /// Points that were left out, if frames of different chunks were compared.
    pub contradicted_points: Option<usize>,
    /// Whether the pixels that others contradict are stored.
    pub has_contradicted: bool,
}

impl Generation {
    /// Makes the point cloud and stores it atomically. The prediction's blob is removed.
    /// Blocks.
    pub(super) fn make_point_cloud(self, done: &JobDone) -> Result<Generated, GenerationError> {
        let context = self.context.clone();
        let number = self.number;
        let _prediction = done.result.map(|key| RemovedOnDrop {
            blobs: context.blobs.clone(),
            key,
        });
        self.store(done).inspect_err(|_| {
            for name in StoredResult::files(number) {
                context.blobs.remove_or_warn(&context.key(name));
            }
        })
    }

    fn store(self, done: &JobDone) -> Result<Generated, GenerationError> {
        let mut timings = Timings {
            queued: done.timings.queued,
            frames: done.timings.frames,
            encode: done.timings.encode,
            model: done.timings.model,
            store: done.timings.store,
            ..Timings::default()
        };
        let start = Instant::now();
        let mut prediction = self.read_prediction(done)?;
        timings.store += start.elapsed().as_secs_f64();
        let start = Instant::now();
        // Before anything is made of the prediction: it removes what is impossible.
        let assessment = Assessment::begin(&mut prediction);
        let known: Vec<_> = self.frames.iter().map(|frame| frame.job.camera).collect();
        let model = self.context.settings.pool.model.metadata();
        let (_, anchors) = adopt_known_world(&mut prediction, &known, model);
        timings.cloud = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let images = self.read_frames()?;
        timings.frames += start.elapsed().as_secs_f64();

        let draft = self
            .context
            .blobs
            .draft(&self.result_key(ResultFormat::Npz))?;
        // Depth and confidence are written while the cloud is computed.
        let (made, stored) = std::thread::scope(|scope| {
            let storing = scope.spawn(|| NpzWriter::begin(&prediction, BufWriter::new(draft)));
            let made = self.glb(&prediction, &images, &mut timings);
            let start = Instant::now();
            let stored = storing.join();
            timings.store += start.elapsed().as_secs_f64();
            (made, stored)
        });
        let (scene, world, glb) = made?;
        let npz =
            stored.map_err(|_| GenerationError::Internal("storing panicked".to_owned()))??;
        drop(images);
        let start = Instant::now();
        let quality = self.quality(&assessment, &scene);
        timings.cloud += start.elapsed().as_secs_f64();

        self.report(progress::storing(scene.points.len()));
        let start = Instant::now();
        self.put_npz(npz, &scene)?;
        timings.store += start.elapsed().as_secs_f64();
        let origin = Origin::Run(Arc::new(world), anchors);
        self.put_result(&scene, &glb, quality, origin, timings)
    }

    /// Stores the GLB and makes the record of a result whose other files are stored.
    pub(super) fn put_result(
        &self,
        scene: &Scene,
        glb: &[u8],
        quality: Quality,
        origin: Origin,
        mut timings: Timings,
    ) -> Result<Generated, GenerationError> {
        let start = Instant::now();
        let blobs = &*self.context.blobs;
        blobs.put_bytes(&self.result_key(ResultFormat::Glb), glb)?;
        timings.store += start.elapsed().as_secs_f64();
        timings.total = self.asked.elapsed().as_secs_f64();
        self.report(progress::done());

        let (mut contradicted_points, mut has_contradicted) = (None, false);
        let (source, world, map, anchors) = match origin {
            Origin::Run(world, anchors) => (ResultSource::Arrays, Some(world), None, anchors),
            Origin::Map(from) => {
                contradicted_points = from.contradicted_points;
                has_contradicted = from.has_contradicted;
                let anchors = self.anchors_of_map(&from.map);
                let source = ResultSource::Chunks(from.frames);
                (source, None, Some(from.map), anchors)
            }
        };
        let record = Arc::new(ResultRecord {
            number: self.number,
            kind: self.kind,
            // Never more than `max_images`, which is a u32.
            image_count: u32::try_from(self.images.len()).unwrap_or(u32::MAX),
            metadata: Arc::new(ResultMetadata {
                still_frames: self.still_frames(scene, &source),
                contradicted_points,
                anchors,
                ..self.metadata(scene, quality, glb.len(), timings)
            }),
            cameras: Cameras::of(scene),
            frames: self.frames.iter().map(|frame| frame.job.clone()).collect(),
            size: self.size,
            source,
            as_of: self.as_of,
            has_contradicted,
        });
        let (blobs, session) = (self.context.blobs.clone(), self.context.id);
        let result = StoredResult::open(blobs, session, record.clone(), map)?;
        Ok(Generated {
            record,
            result: Arc::new(result),
            world,
        })
    }

    fn result_key(&self, format: ResultFormat) -> BlobKey {
        self.context.key(BlobName::Result(self.number, format))
    }

    fn read_prediction(&self, done: &JobDone) -> Result<Prediction, GenerationError> {
        let key = done.result.as_ref().ok_or_else(|| {
            GenerationError::Internal("a reconstruction has no result".to_owned())
        })?;
        let stored = self.context.blobs.view(key);
        let stored = stored.map_err(GenerationError::ReadPrediction)?;
        Ok(Prediction::from_safetensors(&stored)?)
    }

    fn read_frames(&self) -> Result<Vec<RgbImage>, FrameError> {
        let blobs = &*self.context.blobs;
        self.frames
            .iter()
            .map(|frame| read_frame(blobs, &frame.job, self.size))
            .collect()
    }

    fn glb(
        &self,
        prediction: &Prediction,
        images: &[RgbImage],
        timings: &mut Timings,
    ) -> Result<(Scene, World, Vec<u8>), GenerationError> {
        let start = Instant::now();
        let (scene, world) = self.scene(prediction, images)?;
        timings.cloud += start.elapsed().as_secs_f64();
        let start = Instant::now();
        let glb = write_glb(&scene, self.config.points.glb_compression)?;
        timings.glb = start.elapsed().as_secs_f64();
        Ok((scene, world, glb))
    }

    fn put_npz(
        &self,
        npz: NpzWriter<BufWriter<Draft>>,
        scene: &Scene,
    ) -> Result<(), GenerationError> {
        let draft = npz
            .finish(scene)?
            .into_inner()
            .map_err(IntoInnerError::into_error)?;
        Ok(self.context.blobs.put(draft)?)
    }

    fn scene(
        &self,
        prediction: &Prediction,
        images: &[RgbImage],
    ) -> Result<(Scene, World), CloudError> {
        let frames: Vec<_> = self
            .frames
            .iter()
            .zip(images)
            .map(|(frame, image)| SceneFrame {
                id: frame.number,
                name: &frame.name,
                image,
                region: Region::of_center_crop(frame.job.size, self.size),
            })
            .collect();
        let options = self.config.cloud_options();
        build_scene(prediction, &frames, self.world.as_deref(), &options)
    }

    pub(super) fn quality(&self, assessment: &Assessment, scene: &Scene) -> Quality {
        let images: Vec<_> = self
            .images
            .iter()
            .map(|image| RequestImage {
                name: &image.name,
                statistics: image.statistics,
                frame: image.frame,
            })
            .collect();
        assessment.finish(&images, scene.points.len())
    }

    /// How the cameras that the client knows agree with the map.
    fn anchors_of_map(&self, stored: &StoredMap) -> Option<AnchorReport> {
        let known = self.frames.iter();
        let known = known.filter_map(|frame| Some((frame.number, frame.job.camera?)));
        let scale = self.context.settings.pool.model.metadata().scale;
        stored.map.anchor_report(&known.collect(), scale)
    }

    /// Names of the placed frames whose depth is nowhere, since they show nothing new.
    fn still_frames(&self, scene: &Scene, source: &ResultSource) -> Vec<Arc<str>> {
        let ResultSource::Chunks(places) = source else {
            return Vec::new();
        };
        let frames = self.frames.iter().zip(&scene.cameras).zip(places);
        frames
            .filter(|((_, camera), place)| camera.pose.is_some() && place.is_none())
            .map(|((frame, _), _)| frame.name.clone())
            .collect()
    }

    fn metadata(
        &self,
        scene: &Scene,
        quality: Quality,
        glb_size_bytes: usize,
        timings: Timings,
    ) -> ResultMetadata {
        let cameras = &scene.cameras;
        let model = self.context.settings.pool.model.metadata();
        ResultMetadata {
            num_frames: cameras.len(),
            session_id: self.context.id,
            glb_size_bytes,
            intrinsics: cameras
                .iter()
                .map(|camera| rows(&camera.intrinsics))
                .collect(),
            distortion: cameras
                .iter()
                .map(|camera| camera.distortion.coefficients())
                .collect(),
            extrinsics: cameras
                .iter()
                .map(|camera| rows(&camera.extrinsics))
                .collect(),
            world_to_glb: rows(&scene.world_to_glb.to_homogeneous()),
            processed_size: [self.size.columns(), self.size.rows()],
            frames: self.frames.iter().map(|frame| frame.name.clone()).collect(),
            unregistered_frames: self
                .images
                .iter()
                .filter(|image| {
                    let camera = image.frame.and_then(|frame| cameras.get(frame));
                    camera.is_none_or(|camera| camera.pose.is_none())
                })
                .map(|image| image.name.clone())
                .collect(),
            still_frames: Vec::new(),
            anchors: None,
            num_points: scene.points.len(),
            contradicted_points: None,
            confidence_threshold: scene.confidence_threshold,
            aligned: !matches!(scene.alignment, Alignment::Unaligned { .. }),
            alignment: scene.alignment.clone(),
            known_cameras: model.poses
                && self.frames.iter().all(|frame| frame.job.camera.is_some()),
            scale: model.scale,
            scale_spread: self.scale_spread,
            model: format!("{} {}", model.name, model.version),
            options: self.config.points,
            quality,
            timings,
            append: None,
        }
    }
}

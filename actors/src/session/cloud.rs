//! The last part of a generation: from what the model said to a result on disk.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use image::RgbImage;
use pointstream_reconstruction::cloud::{
    Alignment, CloudError, Scene, SceneFrame, World, build_scene, rows,
};
use pointstream_reconstruction::formats::glb::write_glb;
use pointstream_reconstruction::formats::npz::NpzWriter;
use pointstream_reconstruction::formats::{Cameras, ResultFormat};
use pointstream_reconstruction::geometry::{FrameSize, Region};
use pointstream_reconstruction::prediction::Prediction;

use super::generation::{GenerationError, Outcome, Plan, share};
use super::result::StoredResult;
use crate::event::{Answer, ResultMetadata, Stage, Timings};
use crate::pool::job::JobTimings;

impl Plan {
    /// Makes the point cloud, writes it and stores it, all or nothing. Blocks.
    pub(super) fn export(
        self,
        size: FrameSize,
        prediction: &Prediction,
        job: JobTimings,
    ) -> Result<Outcome, GenerationError> {
        let (spool, number) = (self.spool.clone(), self.number);
        self.store(size, prediction, job).inspect_err(|_| {
            for format in StoredResult::FORMATS {
                spool.remove_result(number, format);
            }
        })
    }

    fn store(
        self,
        size: FrameSize,
        prediction: &Prediction,
        job: JobTimings,
    ) -> Result<Outcome, GenerationError> {
        let start = Instant::now();
        let images = self
            .frames
            .iter()
            .map(|frame| frame.job.pixels.read(size))
            .collect::<Result<Vec<_>, _>>()?;
        let mut timings = Timings {
            queued: job.queued,
            encode: job.encode,
            model: job.model,
            frames: job.frames + start.elapsed().as_secs_f64(),
            ..Timings::default()
        };
        let file = self.spool.create_result(self.number, ResultFormat::Npz)?;
        // Depth and confidence go to the disk while the cloud is made of them.
        let (made, stored) = std::thread::scope(|scope| {
            let storing = scope.spawn(|| NpzWriter::begin(prediction, BufWriter::new(file)));
            let made = self.glb(size, prediction, &images, &mut timings);
            let start = Instant::now();
            let stored = storing.join();
            timings.store = start.elapsed().as_secs_f64();
            (made, stored)
        });
        let (scene, world, glb) = made?;
        let npz =
            stored.map_err(|_| GenerationError::Internal("storing panicked".to_owned()))??;
        drop(images);
        self.progress(
            Stage::Finalizing,
            share::FINALIZE,
            format!("Storing {} points", scene.points.len()),
        );
        let start = Instant::now();
        npz.finish(&scene)?.flush()?;
        let glb = self.store_glb(&glb)?;
        timings.store += start.elapsed().as_secs_f64();
        timings.total = self.asked.elapsed().as_secs_f64();
        self.progress(Stage::Finalizing, 1.0, "Done".to_owned());
        let metadata = self.metadata(&scene, prediction, glb.len(), timings);
        let answer = Answer {
            number: self.number,
            kind: self.kind,
            // Never more than `max_images`, which is a u32.
            image_count: u32::try_from(self.frames.len()).unwrap_or(u32::MAX),
            glb,
            metadata: Arc::new(metadata),
        };
        let frames = self.frames.into_iter().map(|frame| frame.job.pixels);
        let cameras = Cameras::of(&scene);
        let result = StoredResult::new(answer, self.spool, cameras, frames.collect(), size)?;
        Ok(Outcome {
            result: Arc::new(result),
            world: Arc::new(world),
        })
    }

    fn glb(
        &self,
        size: FrameSize,
        prediction: &Prediction,
        images: &[RgbImage],
        timings: &mut Timings,
    ) -> Result<(Scene, World, Vec<u8>), GenerationError> {
        let start = Instant::now();
        let (scene, world) = self.scene(size, prediction, images)?;
        timings.cloud = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let glb = write_glb(&scene, self.config.points.glb_compression)?;
        timings.glb = start.elapsed().as_secs_f64();
        Ok((scene, world, glb))
    }

    fn store_glb(&self, glb: &[u8]) -> io::Result<Bytes> {
        let mut file = self.spool.create_result(self.number, ResultFormat::Glb)?;
        file.write_all(glb)?;
        self.spool.view_result(self.number, ResultFormat::Glb)
    }

    fn scene(
        &self,
        size: FrameSize,
        prediction: &Prediction,
        images: &[RgbImage],
    ) -> Result<(Scene, World), CloudError> {
        let frames: Vec<_> = self
            .frames
            .iter()
            .zip(images)
            .map(|(frame, image)| SceneFrame {
                id: frame.job.pixels.number,
                name: &frame.name,
                image,
                region: Region::of_center_crop(frame.job.pixels.size, size),
            })
            .collect();
        let options = self.config.cloud_options();
        build_scene(prediction, &frames, self.world.as_deref(), &options)
    }

    fn metadata(
        &self,
        scene: &Scene,
        prediction: &Prediction,
        glb_size_bytes: usize,
        timings: Timings,
    ) -> ResultMetadata {
        let cameras = &prediction.cameras;
        let model = self.model.metadata();
        ResultMetadata {
            num_frames: cameras.len(),
            session_id: self.session,
            glb_size_bytes,
            intrinsics: cameras
                .iter()
                .map(|camera| rows(&camera.intrinsics))
                .collect(),
            extrinsics: cameras
                .iter()
                .map(|camera| rows(&camera.extrinsics))
                .collect(),
            world_to_glb: rows(&scene.world_to_glb.to_homogeneous()),
            processed_size: [prediction.size.columns(), prediction.size.rows()],
            frames: self.frames.iter().map(|frame| frame.name.clone()).collect(),
            unregistered_frames: self
                .frames
                .iter()
                .zip(cameras)
                .filter(|(_, camera)| !camera.registered)
                .map(|(frame, _)| frame.name.clone())
                .collect(),
            num_points: scene.points.len(),
            confidence_threshold: scene.confidence_threshold,
            aligned: !matches!(scene.alignment, Alignment::Unaligned { .. }),
            alignment: scene.alignment.clone(),
            known_cameras: model.poses
                && self.frames.iter().all(|frame| frame.job.camera.is_some()),
            scale: model.scale,
            model: format!("{} {}", model.name, model.version),
            options: self.config.points,
            timings,
        }
    }
}

//! One window of the map: a run of the model, and the chunk that is made of its prediction.

use std::sync::Arc;

use image::RgbImage;
use pointstream_reconstruction::cloud::{SceneFrame, World};
use pointstream_reconstruction::geometry::{FrameSize, Region};
use pointstream_reconstruction::image::CommonSize;
use pointstream_reconstruction::map::{
    ChunkPoints, FirstChunk, LocalCoordinates, Map, NextChunk, Places, Window,
};
use pointstream_reconstruction::prediction::Prediction;
use uuid::Uuid;

use super::context::Context;
use super::generation::follow;
use super::generation_error::GenerationError;
use super::ledger::{ChunkContent, FoundPlaces, Image, Ledger, StoredChunk, StoredMap};
use crate::blobs::{BlobKey, BlobName};
use crate::frames::{FrameError, read_frame};
use crate::ids::JobId;
use crate::jobs::{JobDone, JobFrame, JobHandle, JobKind, JobPriority, JobSpec};
use crate::session_config::SessionConfig;
use crate::session_event::Progress;

/// The inputs of a window.
pub(super) struct MapWindow {
    context: Context,
    config: SessionConfig,
    /// The frames that the map gets, in their order.
    new: Vec<WindowFrame>,
    /// The placed frames.
    placed: Vec<JobFrame>,
    /// The size that all frames are cropped to.
    size: FrameSize,
    content: Content,
}

/// What a window has found.
pub(crate) enum WindowOutcome {
    /// Vectors of its new frames, by which its placed frames are chosen.
    Described(FoundPlaces),
    /// Its chunk, and vectors of its new frames.
    Chunk(Box<StoredChunk>, FoundPlaces),
}

/// A frame that is to be placed.
struct WindowFrame {
    /// Number of the image within the session.
    number: u64,
    name: String,
    job: JobFrame,
}

/// What the chunk of the window is.
enum Content {
    /// The beginning of a map, in the session's coordinates.
    First { world: Option<Arc<World>> },
    /// A chunk of a map, in coordinates near its frames.
    Next {
        map: Arc<StoredMap>,
        local: Box<LocalCoordinates>,
    },
}

impl MapWindow {
    /// The window of these frames, or `None` if there is nothing to do.
    pub fn new(context: &Context, ledger: &Ledger, window: &Window) -> Option<Self> {
        let image = |number: &u64| {
            let images = ledger.images();
            let index = images.binary_search_by_key(number, |image| image.number);
            images.get(index.ok()?)
        };
        let new: Vec<&Image> = window.new.iter().filter_map(image).collect();
        let stored = ledger.map().filter(|_| !window.begins());
        let (size, new, content) = match stored {
            None => {
                let sizes: Vec<FrameSize> = new.iter().map(|image| image.size).collect();
                let CommonSize { size, fits } = CommonSize::choose(&sizes)?;
                let fitting = new.into_iter().zip(fits).filter(|(_, fits)| *fits);
                let world = ledger.world().cloned();
                let content = Content::First { world };
                (size, fitting.map(|(image, _)| image).collect(), content)
            }
            Some(stored) => {
                let origin = stored.map.camera(*window.placed.first()?)?;
                let content = Content::Next {
                    map: stored.clone(),
                    local: Box::new(LocalCoordinates::of(&origin)?),
                };
                (stored.map.size(), new, content)
            }
        };
        let placed = match &content {
            Content::First { .. } => Vec::new(),
            Content::Next { map, local } => {
                let placed = window.placed.iter().filter_map(|number| {
                    Some(JobFrame {
                        placed: Some(local.to_local(&map.map.camera(*number)?)),
                        ..context.job_frame(image(number)?)
                    })
                });
                placed.collect()
            }
        };
        let frame = |image: &Image| WindowFrame {
            number: image.number,
            name: image.name.clone(),
            job: context.job_frame(image),
        };
        Some(Self {
            context: context.clone(),
            config: ledger.config().clone(),
            new: new.into_iter().map(frame).collect(),
            placed,
            size,
            content,
        })
    }

    /// Numbers of the frames that the map gets.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.new.iter().map(|frame| frame.number)
    }

    /// Submits the job of the model.
    pub fn submit(&self, priority: JobPriority) -> JobHandle {
        let new = self.new.iter().map(|frame| frame.job.clone());
        self.context.dispatcher.submit(JobSpec {
            id: JobId::new_v4(),
            session: self.context.id,
            kind: JobKind::Reconstruct,
            priority,
            frames: self.placed.iter().cloned().chain(new).collect(),
            size: self.size,
        })
    }

    /// Numbers of the frames that the map gets and that have no vector yet.
    pub fn without_place(&self, places: &Places) -> Vec<u64> {
        self.numbers()
            .filter(|number| !places.contains(*number))
            .collect()
    }

    /// Submits a job that encodes the new frames and gives them vectors.
    pub fn describe(&self, priority: JobPriority) -> JobHandle {
        self.context.dispatcher.submit(JobSpec {
            id: JobId::new_v4(),
            session: self.context.id,
            kind: JobKind::Encode,
            priority,
            frames: self.new.iter().map(|frame| frame.job.clone()).collect(),
            size: self.size,
        })
    }

    /// Waits for a job of [`describe`](Self::describe).
    pub async fn described(self, job: JobHandle) -> Result<WindowOutcome, GenerationError> {
        let done = job.end().await.map_err(GenerationError::Job)?;
        let found = self.numbers().zip(done.places);
        let places = found.filter_map(|(number, place)| Some((number, place?)));
        Ok(WindowOutcome::Described(places.collect()))
    }

    /// Waits for the job and makes a chunk of its prediction.
    pub async fn run(
        self,
        job: JobHandle,
        report: impl Fn(Progress),
    ) -> Result<WindowOutcome, GenerationError> {
        let done = follow(job, &self.context, &self.config, report).await?;
        let places = self.places(&done);
        let computing = self.context.computing.clone();
        let chunk = computing.run(move || self.make_chunk(&done)).await??;
        Ok(WindowOutcome::Chunk(Box::new(chunk), places))
    }

    /// The vectors of the new frames, which come last in the job.
    fn places(&self, done: &JobDone) -> FoundPlaces {
        let new = done.places.iter().skip(self.placed.len());
        let found = self.numbers().zip(new);
        found
            .filter_map(|(number, place)| Some((number, place.clone()?)))
            .collect()
    }

    /// Stores the chunk's points beside its prediction. Blocks.
    fn make_chunk(self, done: &JobDone) -> Result<StoredChunk, GenerationError> {
        let Some(
            key @ BlobKey {
                name: BlobName::Prediction(file),
                ..
            },
        ) = done.result
        else {
            let message = "a reconstruction has no result".to_owned();
            return Err(GenerationError::Internal(message));
        };
        let points = self.context.key(BlobName::ChunkPoints(file));
        self.store(&key, &points, file).inspect_err(|_| {
            for key in [key, points] {
                self.context.blobs.remove_or_warn(&key);
            }
        })
    }

    fn store(
        &self,
        prediction: &BlobKey,
        points: &BlobKey,
        file: Uuid,
    ) -> Result<StoredChunk, GenerationError> {
        let blobs = &*self.context.blobs;
        let view = blobs.view(prediction);
        let view = view.map_err(GenerationError::ReadPrediction)?;
        let mut read = Prediction::from_safetensors(&view)?;
        drop(view);
        let registered = |prediction: &Prediction| {
            let cameras = prediction.cameras.iter();
            cameras.filter(|camera| camera.registered).count()
        };
        let before = registered(&read);
        let images = self.read_images()?;
        let (content, chosen) = self.chunk(&mut read, &images)?;
        if registered(&read) < before {
            // Frames with an impossible geometry have lost their depth.
            let draft = blobs.draft(prediction)?;
            read.save_safetensors(draft.path())?;
            blobs.put(draft)?;
        }
        blobs.put_bytes(points, &chosen.to_bytes())?;
        Ok(StoredChunk { file, content })
    }

    fn chunk(
        &self,
        prediction: &mut Prediction,
        images: &[RgbImage],
    ) -> Result<(ChunkContent, ChunkPoints), GenerationError> {
        let frames: Vec<_> = self
            .new
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
        match &self.content {
            Content::First { world } => {
                let made = FirstChunk::make(prediction, &frames, world.as_deref(), &options)?;
                let (chunk, points, world) = made;
                let world = Arc::new(world);
                Ok((ChunkContent::First { chunk, world }, points))
            }
            Content::Next { map, local } => {
                for camera in &mut prediction.cameras {
                    *camera = local.to_map(camera);
                }
                let map: &Map = &map.map;
                let number = map.chunks().len();
                let world_to_glb = map.world_to_glb();
                let (chunk, points) =
                    NextChunk::make(prediction, &frames, world_to_glb, number, &options)?;
                Ok((ChunkContent::Next(chunk), points))
            }
        }
    }

    fn read_images(&self) -> Result<Vec<RgbImage>, FrameError> {
        let blobs = &*self.context.blobs;
        self.new
            .iter()
            .map(|frame| read_frame(blobs, &frame.job, self.size))
            .collect()
    }
}

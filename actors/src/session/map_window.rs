//! One window of the map: a run of the model, and the chunk that is made of its prediction.

use std::sync::Arc;

use image::RgbImage;
use pointstream_reconstruction::anchors::{KnownWorld, adopt_known_world};
use pointstream_reconstruction::cloud::SceneFrame;
use pointstream_reconstruction::geometry::{FrameSize, Region};
use pointstream_reconstruction::image::CommonSize;
use pointstream_reconstruction::map::{
    ChunkPoints, FirstChunk, Keyframes, NextChunk, PieceJoin, Places, Window, comes_back,
    keep_connected,
};
use pointstream_reconstruction::prediction::Prediction;
use uuid::Uuid;

use super::context::Context;
use super::generation::follow;
use super::generation_error::GenerationError;
use super::joined_window::{join_extended, join_of_window, joined_chunk, place_window};
use super::ledger::{ChunkContent, FoundPlaces, Image, Ledger, StoredChunk};
use super::window_content::Content;
use crate::blobs::{BlobKey, BlobName, RemovedOnDrop};
use crate::frames::{FrameError, read_frame};
use crate::ids::JobId;
use crate::jobs::{JobDone, JobFrame, JobHandle, JobKind, JobPriority, JobSpec};
use crate::session_config::SessionConfig;
use crate::session_event::Progress;

/// Images, in windows, after which a place counts as one that the camera has come back to.
const FAR_BACK: u64 = 2;

/// The inputs of a window.
pub(super) struct MapWindow {
    context: Context,
    config: SessionConfig,
    /// The frames that the map gets, in their order; those of the smaller piece if it joins two.
    new: Vec<WindowFrame>,
    /// The placed frames.
    placed: Vec<WindowFrame>,
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
    /// Whether two pieces are one.
    Joined(Option<PieceJoin>),
}

/// A frame that is to be placed.
struct WindowFrame {
    /// Number of the image within the session.
    number: u64,
    name: Arc<str>,
    job: JobFrame,
}

impl MapWindow {
    /// The window of these frames, or `None` if there is nothing to do.
    pub fn new(context: &Context, ledger: &Ledger, window: &Window) -> Option<Self> {
        let image = |number: &u64| {
            let images = ledger.images();
            let index = images.binary_search_by_key(number, |image| image.number);
            images.get(index.ok()?)
        };
        let images = |numbers: &[u64]| numbers.iter().filter_map(image).collect::<Vec<&Image>>();
        let (mut new, placed) = (images(&window.new), images(&window.placed));
        let content = Content::of(context, ledger, window)?;
        let size = match (&content, ledger.map()) {
            (Content::First { .. }, _) | (_, None) => {
                let sizes: Vec<FrameSize> = new.iter().map(|image| image.size).collect();
                let CommonSize { size, fits } = CommonSize::choose(&sizes)?;
                let mut fits = fits.into_iter();
                new.retain(|_| fits.next().unwrap_or(false));
                size
            }
            (_, Some(stored)) => stored.map.size(),
        };
        let frame = |image: &Image, placed| WindowFrame {
            number: image.number,
            name: image.name.clone(),
            job: JobFrame {
                placed,
                ..context.job_frame(image)
            },
        };
        let camera = |image: &Image| {
            let (map, local) = content.extension()?;
            Some(local.to_local(&map.camera(image.number)?))
        };
        Some(Self {
            context: context.clone(),
            config: ledger.config().clone(),
            new: new.into_iter().map(|image| frame(image, None)).collect(),
            placed: placed
                .into_iter()
                .map(|image| frame(image, camera(image)))
                .collect(),
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
        let [placed, new] =
            [&self.placed, &self.new].map(|frames| frames.iter().map(|frame| frame.job.clone()));
        self.context.dispatcher.submit(JobSpec {
            id: JobId::new_v4(),
            session: self.context.id,
            creator: self.context.creator.clone(),
            kind: JobKind::Reconstruct,
            priority,
            frames: placed.chain(new).collect(),
            size: self.size,
            runs: Vec::new(),
            divisible: false,
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
            creator: self.context.creator.clone(),
            kind: JobKind::Encode,
            priority,
            frames: self.new.iter().map(|frame| frame.job.clone()).collect(),
            size: self.size,
            runs: Vec::new(),
            divisible: false,
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
        let (computing, owner) = (self.context.computing.clone(), self.context.owner());
        if matches!(self.content, Content::Join { .. }) {
            let join = computing.run(owner, move || self.join(&done)).await??;
            return Ok(WindowOutcome::Joined(join));
        }
        let places = self.places(&done);
        let chunk = computing
            .run(owner, move || self.make_chunk(&done))
            .await??;
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
        let (key, file) = prediction_of(done)?;
        let points = self.context.key(BlobName::ChunkPoints(file));
        self.store(&key, &points, file).inspect_err(|_| {
            for key in [key, points] {
                self.context.blobs.remove_or_warn(&key);
            }
        })
    }

    fn store(
        &self,
        key: &BlobKey,
        points: &BlobKey,
        file: Uuid,
    ) -> Result<StoredChunk, GenerationError> {
        let blobs = &*self.context.blobs;
        let registered = |prediction: &Prediction| {
            let cameras = prediction.cameras.iter();
            cameras.filter(|camera| camera.registered).count()
        };
        let mut read = self.read(key)?;
        let before = (read.len(), registered(&read));
        let images = self.read_images()?;
        let (content, chosen) = self.chunk(&mut read, &images)?;
        let still = content.still();
        let rescaled = content.begins_known_world() || self.has_own_unit();
        if (read.len(), registered(&read)) != before || still > 0 || rescaled {
            // Placed frames are gone, frames with an impossible geometry have lost their depth, depth has
            // the client's unit of length, and frames that show nothing new need none.
            read.truncate((read.len() - still).max(1));
            let draft = blobs.draft(key)?;
            read.save_safetensors(draft.path())?;
            blobs.put(draft)?;
        }
        blobs.put_bytes(points, &chosen.to_bytes())?;
        let placed = self.placed.iter().map(|frame| frame.number);
        let run: Vec<u64> = placed.chain(self.numbers()).collect();
        let apart = FAR_BACK * self.config.window_plan(true, usize::MAX).first as u64;
        let links = read.links.as_ref();
        Ok(StoredChunk {
            file,
            comes_back: links.is_some_and(|links| comes_back(links, &run, self.new.len(), apart)),
            run,
            content,
        })
    }

    fn read(&self, key: &BlobKey) -> Result<Prediction, GenerationError> {
        let view = self.context.blobs.view(key);
        let view = view.map_err(GenerationError::ReadPrediction)?;
        Ok(Prediction::from_safetensors(&view)?)
    }

    /// Whether the pieces of the placed and the new frames are one. Blocks.
    fn join(self, done: &JobDone) -> Result<Option<PieceJoin>, GenerationError> {
        let (key, _) = prediction_of(done)?;
        let _prediction = RemovedOnDrop {
            blobs: self.context.blobs.clone(),
            key,
        };
        let Content::Join { map, local } = &self.content else {
            return Ok(None);
        };
        let mut prediction = self.read(&key)?;
        let placed = self.placed.iter().map(|frame| frame.number);
        match local {
            Some(local) => {
                local.bring_to_map(&mut prediction);
                let new: Vec<u64> = self.numbers().collect();
                let to = placed
                    .clone()
                    .next()
                    .and_then(|number| map.map.piece_of(number));
                join_extended(&self.context, map, &new, to, &prediction)
            }
            None => {
                let all: Vec<u64> = placed.chain(self.numbers()).collect();
                join_of_window(&self.context, map, &all, &prediction)
            }
        }
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
        let extends = self.context.settings.pool.model.metadata().extend;
        if matches!(self.content, Content::First { .. } | Content::Piece) && !extends {
            // A model that extends tells itself which frames belong together.
            keep_connected(prediction);
        }
        match &self.content {
            Content::First { world } => {
                let known = self.adopt_known_world(prediction);
                let made = FirstChunk::make(prediction, &frames, world.as_deref(), &options)?;
                let (chunk, points, world) = made;
                let (chunk, world) = (FirstChunk { known, ..chunk }, Arc::new(world));
                Ok((ChunkContent::First { chunk, world }, points))
            }
            Content::Piece => {
                let known = self.adopt_known_world(prediction);
                let made = FirstChunk::make(prediction, &frames, None, &options)?;
                let (chunk, points, world) = made;
                let (chunk, world) = (FirstChunk { known, ..chunk }, Arc::new(world));
                Ok((ChunkContent::Piece { chunk, world }, points))
            }
            Content::Extended { map, piece, local } => {
                local.bring_to_map(prediction);
                let (order, still) = Keyframes::of(&map.map).still_last(prediction);
                prediction.reorder(&order);
                let frames: Vec<_> = order.iter().map(|&index| frames[index]).collect();
                let number = map.map.chunks().len();
                let to_glb = map.map.piece_to_glb(*piece);
                let (chunk, points) =
                    NextChunk::make(prediction, &frames, to_glb, number, &options)?;
                let (chunk, points) = chunk.without_last(points, still);
                let chunk = NextChunk {
                    piece: *piece,
                    ..chunk
                };
                Ok((ChunkContent::Next(chunk), points))
            }
            Content::Joined {
                map,
                known: anchors,
            } => {
                let placed = self.placed.iter().map(|frame| frame.number);
                let all: Vec<u64> = placed.chain(self.numbers()).collect();
                let frames_of_run = self.placed.iter().chain(&self.new);
                let known: Option<Vec<_>> = frames_of_run.map(|frame| frame.job.camera).collect();
                let known = known.as_deref();
                let placement = place_window(&self.context, map, &all, known, prediction)?;
                prediction.remove_first(self.placed.len());
                joined_chunk(&map.map, prediction, &frames, placement, anchors, &options)
            }
            Content::Join { .. } => {
                let message = "a window that joins pieces has no chunk".to_owned();
                Err(GenerationError::Internal(message))
            }
        }
    }

    /// Whether the model computes in another unit of length than the map has.
    fn has_own_unit(&self) -> bool {
        let extension = self.content.extension();
        extension.is_some_and(|(_, local)| local.has_own_unit())
    }

    /// Brings the prediction of a window that begins a map or a piece into the world of the cameras that
    /// the client knows.
    fn adopt_known_world(&self, prediction: &mut Prediction) -> Option<KnownWorld> {
        let known: Vec<_> = self.new.iter().map(|frame| frame.job.camera).collect();
        let (known, _) = adopt_known_world(
            prediction,
            &known,
            self.context.settings.pool.model.metadata(),
        );
        known
    }

    fn read_images(&self) -> Result<Vec<RgbImage>, FrameError> {
        let blobs = &*self.context.blobs;
        self.new
            .iter()
            .map(|frame| read_frame(blobs, &frame.job, self.size))
            .collect()
    }
}

/// The blob of a job's prediction.
fn prediction_of(done: &JobDone) -> Result<(BlobKey, Uuid), GenerationError> {
    match done.result {
        Some(
            key @ BlobKey {
                name: BlobName::Prediction(file),
                ..
            },
        ) => Ok((key, file)),
        _ => {
            let message = "a reconstruction has no result".to_owned();
            Err(GenerationError::Internal(message))
        }
    }
}

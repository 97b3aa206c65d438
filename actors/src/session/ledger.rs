//! The facts about a reconstruction, as opposed to the live state of its session.
//!
//! The ledger changes only by [`Ledger::apply`], which is pure: the same records give the same
//! ledger. Records say what has happened and are never refused. Both serialise, so that a ledger
//! can be rebuilt from its records or continued from a stored state.

use std::sync::Arc;
use std::time::SystemTime;

use pointstream_reconstruction::cloud::World;
use pointstream_reconstruction::formats::Cameras;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::ImageStatistics;
use pointstream_reconstruction::map::{FirstChunk, Map, NextChunk, PlaceVector, Places};
use pointstream_reconstruction::model::{CameraHint, KnownCamera};
use pointstream_reconstruction::quality::QualitySummary;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::answer::{AnswerKind, ResultMetadata};
use crate::ids::{MessageId, SessionId};
use crate::jobs::JobFrame;
use crate::session_config::SessionConfig;

/// The state of a reconstruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    session: SessionId,
    created_at: SystemTime,
    config: SessionConfig,
    /// In the order in which they were accepted.
    images: Vec<Image>,
    /// The coordinates of the session's results, fixed by the first one.
    world: Option<Arc<World>>,
    /// The map, if the session has more images than one run of the model takes.
    map: Option<Arc<StoredMap>>,
    /// Vectors of frames, by which the map finds those of one place.
    places: Places,
    /// The newest result.
    result: Option<Arc<ResultRecord>>,
    /// Whether the final result exists.
    completed: bool,
    /// Why the last request failed, until one succeeds.
    error: Option<String>,
}

/// Something that happened to a reconstruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// An image was stored.
    ImageStored(Box<Image>),
    /// The model gave an image a vector.
    PlaceFound { number: u64, place: PlaceVector },
    /// A run of the model has begun or extended the map.
    ChunkStored(Box<StoredChunk>),
    /// A point cloud was made and stored.
    ResultStored {
        result: Arc<ResultRecord>,
        /// The session's coordinates, with what this result adds; `None` if it adds nothing.
        world: Option<Arc<World>>,
        /// Whether it is the final result.
        completes: bool,
    },
    /// A request failed.
    RequestFailed { error: String },
}

/// An image of the session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Image {
    /// Number of the upload within the session, from 1; names its blobs. Refused uploads leave
    /// gaps.
    pub number: u64,
    /// The client's name for it, or a generated one.
    pub name: String,
    /// The client's identifier of its message.
    pub id: Option<MessageId>,
    /// Size of the client's file in bytes.
    pub bytes: u64,
    /// Size of the prepared frame.
    pub size: FrameSize,
    /// The camera of the prepared frame, if the client knows it.
    pub camera: Option<KnownCamera>,
    /// What the pixels of the prepared frame tell about its use.
    pub statistics: ImageStatistics,
    /// What the client's file says about the camera of the prepared frame.
    pub hint: CameraHint,
}

/// The map with its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredMap {
    pub map: Map,
    /// For each chunk, the identifier of its prediction and of its points.
    pub files: Vec<Uuid>,
}

/// A chunk of the map whose prediction and points are stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredChunk {
    /// Identifier of its prediction and of its points.
    pub file: Uuid,
    pub content: ChunkContent,
}

/// Vectors of images, by their numbers.
pub(crate) type FoundPlaces = Vec<(u64, PlaceVector)>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChunkContent {
    /// It begins a map, also if there was one, and fixes the session's coordinates.
    First {
        chunk: FirstChunk,
        world: Arc<World>,
    },
    Next(NextChunk),
}

/// Where the depth of a result is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResultSource {
    /// In its NPZ: the result of one run of the model.
    Arrays,
    /// In the chunks of the map: for each frame, the identifier of the chunk's files and the index of
    /// the frame in it; `None` for a frame without depth.
    Chunks(Vec<Option<(Uuid, usize)>>),
}

/// A stored result. Its large parts are blobs: the GLB of its number, its [source](ResultSource),
/// and the prepared frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResultRecord {
    /// Number of its request within the session, from 1.
    pub number: u64,
    pub kind: AnswerKind,
    /// Images that the session had when the request was made.
    pub image_count: u32,
    pub metadata: Arc<ResultMetadata>,
    pub cameras: Cameras,
    /// The frames of the reconstruction, in its order.
    pub frames: Vec<JobFrame>,
    /// The size that all frames were cropped to.
    pub size: FrameSize,
    pub source: ResultSource,
}

impl Ledger {
    /// The ledger of a new session.
    pub fn new(session: SessionId, created_at: SystemTime, config: SessionConfig) -> Self {
        Self {
            session,
            created_at,
            config,
            images: Vec::new(),
            world: None,
            map: None,
            places: Places::default(),
            result: None,
            completed: false,
            error: None,
        }
    }

    /// Applies a record.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::ImageStored(image) => self.images.push(*image),
            Record::PlaceFound { number, place } => self.places.insert(number, place),
            Record::ChunkStored(chunk) => self.add_chunk(*chunk),
            Record::ResultStored {
                result,
                world,
                completes,
            } => {
                self.result = Some(result);
                self.world = world.or_else(|| self.world.take());
                self.completed |= completes;
                self.error = None;
            }
            Record::RequestFailed { error } => self.error = Some(error),
        }
    }

    fn add_chunk(&mut self, chunk: StoredChunk) {
        match (chunk.content, &mut self.map) {
            (
                ChunkContent::First {
                    chunk: first,
                    world,
                },
                earlier,
            ) => {
                let earlier = earlier.as_ref().map(|stored| &stored.map);
                self.map = Some(Arc::new(StoredMap {
                    map: Map::begin(first, earlier),
                    files: vec![chunk.file],
                }));
                self.world = Some(world);
            }
            (ChunkContent::Next(next), Some(stored)) => {
                let stored = Arc::make_mut(stored);
                stored.map.add(next);
                stored.files.push(chunk.file);
            }
            // Chunks are made for a map that the ledger has.
            (ChunkContent::Next(_), None) => {}
        }
    }

    pub fn session(&self) -> SessionId {
        self.session
    }

    pub fn created_at(&self) -> SystemTime {
        self.created_at
    }

    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    pub fn images(&self) -> &[Image] {
        &self.images
    }

    pub fn image_count(&self) -> u32 {
        // Never more than `max_images`, which is a u32.
        u32::try_from(self.images.len()).unwrap_or(u32::MAX)
    }

    /// Size of all images in bytes, as the client sent them.
    pub fn image_bytes(&self) -> u64 {
        self.images.iter().map(|image| image.bytes).sum()
    }

    /// Whether the session has all images that it may have.
    pub fn is_full(&self) -> bool {
        self.image_count() >= self.config.max_images
    }

    pub fn world(&self) -> Option<&Arc<World>> {
        self.world.as_ref()
    }

    /// The map, if there is one.
    pub fn map(&self) -> Option<&Arc<StoredMap>> {
        self.map.as_ref()
    }

    /// Vectors of frames, by which the map finds those of one place.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The verdict on the newest result.
    pub fn quality(&self) -> Option<QualitySummary> {
        let result = self.result.as_ref()?;
        Some(result.metadata.quality.summary())
    }

    pub fn is_completed(&self) -> bool {
        self.completed
    }

    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Number of the next upload; larger than that of every image.
    pub fn next_upload(&self) -> u64 {
        self.images.last().map_or(1, |image| image.number + 1)
    }

    /// Number of the next request; larger than that of every result.
    pub fn next_request(&self) -> u64 {
        self.result.as_ref().map_or(1, |result| result.number + 1)
    }
}

#[cfg(test)]
mod tests;

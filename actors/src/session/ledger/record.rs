//! What happens to a reconstruction, as its journal has it.

use crate::answer::{AnswerKind, ResultMetadata};
use crate::blobs::BlobName;
use crate::error_code::ErrorCode;
use crate::ids::{MessageId, RequestKey, SessionId};
use crate::jobs::JobFrame;
use crate::outbox::Webhook;
use crate::session::requests::RequestKind;
use crate::session_config::SessionConfig;
use pointstream_reconstruction::cloud::World;
use pointstream_reconstruction::formats::{Cameras, ResultFormat};
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::ImageStatistics;
use pointstream_reconstruction::map::{
    Corrections, FirstChunk, NextChunk, PieceJoin, PlaceVector, WorldChange,
};
use pointstream_reconstruction::model::{CameraHint, KnownCamera};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::SystemTime;
use uuid::Uuid;

/// Something that happened to a reconstruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// The session was created. Always the first record.
    SessionCreated(Box<NewSession>),
    /// Its creator has left the session running.
    SessionKept,
    /// A later process goes on with the session.
    SessionRestored,
    /// The session was deleted or has expired; only its files are left.
    SessionEnded,
    /// The session was last used at this time.
    SessionUsed { at: SystemTime },
    /// An image was stored.
    ImageStored(Box<Image>),
    /// The model gave an image a vector.
    PlaceFound { number: u64, place: PlaceVector },
    /// A run of the model has begun or extended the map.
    ChunkStored(Box<StoredChunk>),
    /// An adjustment, or known cameras, have shown where the frames of the map belong.
    MapCorrected(Corrections),
    /// Enough cameras are known to give a piece of the map their world.
    WorldChanged(WorldChange),
    /// A run of the model has found that two pieces of the map are one.
    PiecesJoined(PieceJoin),
    /// A client has asked for a point cloud.
    RequestMade(RequestRecord),
    /// A point cloud was made and stored: the answer to a request.
    ResultStored {
        request: RequestKey,
        result: Arc<ResultRecord>,
        /// The session's coordinates, with what this result adds; `None` if it adds nothing.
        world: Option<Arc<World>>,
        /// Whether it is the final result.
        completes: bool,
    },
    /// A request failed. Its answer is the error.
    RequestFailed {
        request: RequestKey,
        /// Number that it ran under; `None` if it did not run.
        number: Option<u64>,
        code: ErrorCode,
        error: String,
    },
    /// A client has taken a request back. Its answer is an error.
    RequestCancelled {
        request: RequestKey,
        /// Number that it ran under; `None` if it did not run.
        number: Option<u64>,
        message: String,
    },
    /// A client has received the answer to a request, or nobody will.
    AnswerDelivered { request: RequestKey },
    /// The completed session takes images and requests again.
    Reopened,
}

/// What a session begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NewSession {
    pub session: SessionId,
    /// Its place in the order of creation: the clock may step back. Earlier versions did not note it.
    #[serde(default)]
    pub place: u64,
    pub created_at: SystemTime,
    pub config: SessionConfig,
    pub creator: Option<Arc<str>>,
    /// Where its events are sent, if it may go on at another server. Else only the outbox needs to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// A request for a point cloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestRecord {
    pub key: RequestKey,
    /// The client's identifier of its message.
    pub id: Option<MessageId>,
    pub kind: RequestKind,
    /// Uploads with a smaller number are part of it.
    pub before: u64,
}

impl Record {
    /// The files that have to be on the disk before the record is.
    pub fn files(&self) -> Vec<BlobName> {
        match self {
            Self::ImageStored(image) => image.files().to_vec(),
            Self::ChunkStored(chunk) => chunk_files(chunk.file).to_vec(),
            Self::ResultStored { result, .. } => result.files(),
            _ => Vec::new(),
        }
    }
}

/// The files of a chunk of the map.
pub(crate) fn chunk_files(file: Uuid) -> [BlobName; 2] {
    [BlobName::Prediction(file), BlobName::ChunkPoints(file)]
}

/// An image of the session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Image {
    /// Number of the upload within the session, from 1; names its blobs. Refused uploads leave
    /// gaps.
    pub number: u64,
    /// The client's name for it, or a generated one.
    pub name: Arc<str>,
    /// The client's identifier of its message.
    pub id: Option<MessageId>,
    /// Size of the client's file in bytes.
    pub bytes: u64,
    /// Size of the prepared frame.
    pub size: FrameSize,
    /// Whether pixels of the prepared frame are hidden.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_hidden: bool,
    /// The camera of the prepared frame, if the client knows it.
    pub camera: Option<KnownCamera>,
    /// What the pixels of the prepared frame tell about its use.
    pub statistics: ImageStatistics,
    /// What the client's file says about the camera of the prepared frame.
    pub hint: CameraHint,
}

impl Image {
    /// Its files.
    pub fn files(&self) -> [BlobName; 2] {
        image_files(self.number)
    }
}

/// The files of an image.
pub(crate) fn image_files(number: u64) -> [BlobName; 2] {
    [BlobName::Original(number), BlobName::Prepared(number)]
}

/// A chunk of the map whose prediction and points are stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredChunk {
    /// Identifier of its prediction and of its points.
    pub file: Uuid,
    /// Numbers of the frames of its run, in their order there: those that were placed before, and the
    /// new ones.
    pub run: Vec<u64>,
    /// Whether its new frames see what frames long before them have seen.
    pub comes_back: bool,
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
    /// It begins a piece of the map, with coordinates of its own.
    Piece {
        chunk: FirstChunk,
        world: Arc<World>,
    },
    Next(NextChunk),
}

impl ChunkContent {
    /// Whether it begins the map or a piece in the world of known cameras.
    pub fn begins_known_world(&self) -> bool {
        match self {
            Self::First { chunk, .. } | Self::Piece { chunk, .. } => chunk.known.is_some(),
            Self::Next(_) => false,
        }
    }

    /// How many of the last frames show nothing new.
    pub fn still(&self) -> usize {
        match self {
            Self::First { .. } | Self::Piece { .. } => 0,
            Self::Next(chunk) => chunk.still,
        }
    }
}

/// Where the depth of a result is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResultSource {
    /// In its NPZ: the result of one run of the model.
    Arrays,
    /// In the chunks of the map, for each frame; `None` for a frame without depth, because it is not
    /// placed or shows nothing new.
    Chunks(Vec<Option<ChunkFrame>>),
}

/// Where the depth of a frame of the map is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChunkFrame {
    /// Identifier of the chunk's files.
    pub file: Uuid,
    /// Index of the frame in the chunk.
    pub row: usize,
    /// The frame's depths, as multiples of those in the file.
    pub depth_factor: f64,
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
    /// How many records had changed the map when the result was begun: its map is the one of then.
    pub as_of: u64,
    /// Whether it has a file of the pixels that other frames contradict.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_contradicted: bool,
}

impl ResultRecord {
    /// The files that it is stored in, but for those of the map's chunks.
    pub fn files(&self) -> Vec<BlobName> {
        let glb = BlobName::Result(self.number, ResultFormat::Glb);
        let source = match self.source {
            ResultSource::Arrays => BlobName::Result(self.number, ResultFormat::Npz),
            ResultSource::Chunks(_) => BlobName::ResultPixels(self.number),
        };
        let contradicted = BlobName::ResultContradicted(self.number);
        let contradicted = self.has_contradicted.then_some(contradicted);
        [glb, source].into_iter().chain(contradicted).collect()
    }
}

//! What passes between a session and its clients, free of any wire format.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use pointstream_reconstruction::cloud::Alignment;
use pointstream_reconstruction::model::{KnownCamera, Scale};
use serde::Serialize;
use strum::{AsRefStr, Display, EnumDiscriminants, IntoStaticStr, VariantArray, VariantNames};
use thiserror::Error;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::config::PointOptions;
use crate::metrics::ErrorKind;

/// Identifies a session.
pub type SessionId = Uuid;

/// What a client calls one of its messages; the answers to the message repeat it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageId(Arc<str>);

/// A text cannot be a message's identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("\"id\" must have 1 to {max} characters, but it has {0}", max = MessageId::MAX_CHARS)]
pub struct BadMessageId(usize);

impl MessageId {
    /// How long it may be in characters.
    pub const MAX_CHARS: usize = 128;

    /// Takes a client's text.
    ///
    /// # Errors
    /// [`BadMessageId`] if it is empty or too long.
    pub fn new(text: &str) -> Result<Self, BadMessageId> {
        match text.chars().count() {
            1..=Self::MAX_CHARS => Ok(Self(text.into())),
            characters => Err(BadMessageId(characters)),
        }
    }

    /// The client's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Longest name of an image in bytes. It is only a label, but every result repeats it.
pub const MAX_NAME_BYTES: usize = 16 << 10;

/// A name of an image is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("\"filename\" is longer than {max} bytes", max = MAX_NAME_BYTES)]
pub struct LongName;

/// Whether an image may have this name.
///
/// # Errors
/// [`LongName`] if it is longer than [`MAX_NAME_BYTES`].
pub fn check_name(name: &str) -> Result<(), LongName> {
    if name.len() <= MAX_NAME_BYTES {
        Ok(())
    } else {
        Err(LongName)
    }
}

/// What a client asks of its session.
#[derive(Debug, EnumDiscriminants)]
#[strum_discriminants(
    name(ClientMessageKind),
    doc = "The type of a client's message, as the protocol writes it; `invalid` is ours.",
    derive(Hash, AsRefStr, Display, IntoStaticStr, VariantArray, VariantNames),
    strum(serialize_all = "snake_case")
)]
pub enum ClientMessage {
    /// Add an image.
    Image {
        /// The encoded image (JPEG, PNG, WebP, ...).
        bytes: Bytes,
        /// What the client calls it; only a label.
        name: Option<String>,
        /// Its camera, at the image's size after its orientation was applied, if the client
        /// knows it.
        camera: Option<Box<KnownCamera>>,
        /// What the client calls this message.
        id: Option<MessageId>,
    },
    /// Make a point cloud of the images so far.
    Generate {
        /// Whether the answer is a delta rather than a complete result.
        incremental: bool,
        /// What the client calls this message.
        id: Option<MessageId>,
    },
    /// Make the final point cloud; nothing more is accepted afterwards.
    Finalize {
        /// What the client calls this message.
        id: Option<MessageId>,
    },
    /// Show a sign of life.
    Ping,
    /// Something that is no message of the protocol; it is answered with an error.
    Invalid {
        /// What is wrong with it.
        reason: String,
        /// What the client calls it, as far as that could be read.
        id: Option<MessageId>,
        /// The name of the image that it was to hold, as far as that could be read.
        filename: Option<String>,
    },
}

impl ClientMessage {
    /// Its type.
    pub fn kind(&self) -> ClientMessageKind {
        self.into()
    }
}

/// What a session tells a connection.
#[derive(Debug, Clone)]
pub enum SessionEvent {
    /// The connection is part of the session now.
    Connected {
        /// Images that the session holds.
        image_count: u32,
        /// Images that it may hold.
        max_images: u32,
    },
    /// An image was decoded and stored.
    Acknowledged {
        /// Images that the session holds, this one included.
        image_count: u32,
        /// The client's name of the image, or one made up.
        image_path: String,
        /// What the client called the image's message.
        id: Option<MessageId>,
    },
    /// A generation has come this far.
    Progress(Progress),
    /// A point cloud as asked for: the one answer of a `generate` or `finalize`.
    Result {
        /// The point cloud.
        answer: Arc<Answer>,
        /// What the client called the request.
        id: Option<MessageId>,
    },
    /// A message could not be honoured. Of a `generate` or `finalize` it is the one answer.
    Error {
        /// What kind of error it is.
        kind: ErrorKind,
        /// What was wrong and what would work.
        message: String,
        /// What the client called the message, if it answers one that has a name.
        id: Option<MessageId>,
        /// The client's name of the image, if it answers one that has a name.
        filename: Option<String>,
    },
    /// Answer of a ping.
    Pong,
    /// The session ends, and with it the connection. Always the last event.
    Closed(CloseReason),
}

impl SessionEvent {
    /// Its type.
    pub fn kind(&self) -> SessionEventKind {
        match self {
            Self::Connected { .. } => SessionEventKind::Connected,
            Self::Acknowledged { .. } => SessionEventKind::Ack,
            Self::Progress(_) => SessionEventKind::Progress,
            Self::Result { answer, .. } => match answer.kind {
                AnswerKind::Delta => SessionEventKind::Delta,
                AnswerKind::Complete => SessionEventKind::Complete,
            },
            Self::Error { .. } => SessionEventKind::Error,
            Self::Pong => SessionEventKind::Pong,
            Self::Closed(_) => SessionEventKind::Closed,
        }
    }
}

/// The type of an event, as the protocol writes it; `closed` is ours.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    AsRefStr,
    Display,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum SessionEventKind {
    /// The connection joined the session.
    Connected,
    /// An image was stored.
    Ack,
    /// A generation advanced.
    Progress,
    /// An incremental point cloud.
    Delta,
    /// A complete point cloud.
    Complete,
    /// A message was refused or a generation failed.
    Error,
    /// The answer to a ping.
    Pong,
    /// The session ended; no message of its own.
    Closed,
}

/// The parts of a generation.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    ToSchema,
    AsRefStr,
    Display,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    /// A worker is found and the model is brought to its device.
    LoadingModel,
    /// The model runs.
    Inference,
    /// The point cloud is made and written.
    Exporting,
    /// The result is stored.
    Finalizing,
}

/// How far a generation has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The part that runs.
    pub stage: Stage,
    /// Share of the whole generation that is done, 0 to 1, never falling.
    pub fraction: f32,
    /// For people, for example "Processing frame 5/10".
    pub message: String,
}

/// Whether a result is one of several or the last word on these images.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    ToSchema,
    AsRefStr,
    Display,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AnswerKind {
    /// An incremental update.
    Delta,
    /// A complete result.
    Complete,
}

/// A point cloud with what there is to know about it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Counts the session's results, with gaps where a generation failed.
    pub number: u64,
    /// Delta or complete.
    pub kind: AnswerKind,
    /// Images that the session held when the point cloud was asked for.
    pub image_count: u32,
    /// The scene as binary glTF.
    pub glb: Bytes,
    /// What there is to know about it.
    pub metadata: Arc<ResultMetadata>,
}

/// Metadata of a result, in the protocol's names.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ResultMetadata {
    /// Frames that were processed.
    pub num_frames: usize,
    /// The session.
    #[schema(value_type = uuid::Uuid)]
    pub session_id: SessionId,
    /// Size of the GLB in bytes.
    pub glb_size_bytes: usize,
    /// Pinhole intrinsics of each frame at the processed size, 3x3; pixel indices, the centre of
    /// the top left pixel is (0, 0).
    pub intrinsics: Vec<[[f64; 3]; 3]>,
    /// World-to-camera extrinsics of each frame, 4x4, in the world of this run of the model.
    pub extrinsics: Vec<[[f64; 4]; 4]>,
    /// Transform from the world of the extrinsics to the coordinates of the GLB, 4x4.
    pub world_to_glb: [[f64; 4]; 4],
    /// Processed width and height of the frames in pixels.
    pub processed_size: [usize; 2],
    /// Names of the images, in the order of the frames.
    pub frames: Vec<String>,
    /// Names of the images that do not fit the others; nothing of them is in the point cloud.
    pub unregistered_frames: Vec<String>,
    /// Points in the GLB.
    pub num_points: usize,
    /// Confidence from which on a pixel became a point.
    pub confidence_threshold: f32,
    /// Whether this result lies in the same coordinates as the session's first one.
    pub aligned: bool,
    /// How it was brought there, and how well it fits.
    pub alignment: Alignment,
    /// Whether the clients' own cameras were given to the model: all frames have one, and the model
    /// takes them.
    pub known_cameras: bool,
    /// Unit of length: arbitrary or metres.
    pub scale: Scale,
    /// The model that made it, name and version.
    pub model: String,
    /// What was done to the point cloud because the client asked for it.
    pub options: PointOptions,
    /// Where the time went.
    pub timings: Timings,
}

/// Seconds spent in the parts of a generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub struct Timings {
    /// From the request until a worker took it up.
    pub queued: f64,
    /// Reading the prepared frames.
    pub frames: f64,
    /// Encoding those frames that were not encoded during the upload.
    pub encode: f64,
    /// The model: cameras and depth.
    pub model: f64,
    /// Thresholding, aligning, sampling and unprojecting.
    pub cloud: f64,
    /// Writing the GLB.
    pub glb: f64,
    /// Storing the result.
    pub store: f64,
    /// From the request to the answer.
    pub total: f64,
}

/// Why a session's connections are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// Somebody deleted the session.
    Deleted,
    /// There was no activity for too long.
    Expired,
    /// The session failed; its neighbours did not.
    Failed,
    /// The service shuts down.
    ShuttingDown,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Deleted => "session was deleted",
            Self::Expired => "session expired after inactivity",
            Self::Failed => "session failed; create a new one",
            Self::ShuttingDown => "server is shutting down",
        })
    }
}

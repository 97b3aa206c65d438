//! Updates for clients that keep the point cloud and get only what is new, and the poses of a map.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use thiserror::Error;
use utoipa::ToSchema;

use pointstream_reconstruction::word_list;

/// How a client joins a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachOptions {
    /// It sends images and requests.
    Use {
        /// Whether it gets the answers that no client has received, and those to requests of
        /// disconnected clients.
        resume: bool,
        deltas: Deltas,
    },
    /// It changes nothing, and is told of new results.
    Watch,
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self::Use {
            resume: false,
            deltas: Deltas::default(),
        }
    }
}

/// How a client gets its deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deltas {
    /// Each has the whole point cloud.
    #[default]
    Cumulative,
    /// Each has what is new.
    Append {
        /// Number of the last update that the client has, of an earlier connection.
        since: Option<u64>,
    },
}

/// The names of [`Deltas`] in the protocol.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray, Serialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(
    serialize_all = "snake_case",
    parse_err_fn = unknown_deltas,
    parse_err_ty = UnknownDeltas
)]
pub enum DeltasKind {
    Cumulative,
    Append,
}

/// There are no such deltas.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "there are no deltas {0:?}; use {names}",
    names = word_list(DeltasKind::VARIANTS.iter().map(<&str>::from), "or")
)]
pub struct UnknownDeltas(pub String);

fn unknown_deltas(name: &str) -> UnknownDeltas {
    UnknownDeltas(name.chars().take(100).collect())
}

/// What an update changes. Applied in this order: `reset`, `kept`, `corrections`, and the frames of
/// the GLB.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppendMetadata {
    /// Number of the update within the session, for `received` and `since`.
    pub number: u64,
    /// Whether the client drops all frames that it has first.
    pub reset: bool,
    /// Indices of the images that are new among those of the session, in the order of
    /// `quality.frames`.
    pub images: Vec<usize>,
    /// The placed frames that are new. Each is a node of the GLB with its points.
    pub frames: Vec<FramePose>,
    /// Frames that the client has and that have moved.
    pub corrections: Vec<FramePose>,
    /// Frames that the client has and that have too many points now.
    pub kept: Vec<KeptPoints>,
}

/// Where a frame is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FramePose {
    /// Number of the frame: the same in all messages of the session, and in the names of the nodes.
    pub frame: u64,
    /// Index of its image among those of the session, from 0.
    pub image: usize,
    /// Name of its image.
    #[schema(value_type = String)]
    pub name: Arc<str>,
    /// Index of its chunk in the map; `null` without a map.
    pub chunk: Option<usize>,
    /// Whether it could be placed; if not, the transforms are `null` and the lens is meaningless.
    pub placed: bool,
    /// The camera, with the axes x right, y down, z forward, to GLB coordinates: a rotation and a
    /// translation, 4x4.
    pub camera_to_glb: Option<[[f64; 4]; 4]>,
    /// From the coordinates of the frame's points to GLB coordinates, 4x4: the pose after a stretch
    /// along the axes of the camera.
    pub points_to_glb: Option<[[f64; 4]; 4]>,
    /// Intrinsics at the processed size, 3x3.
    pub intrinsics: [[f64; 3]; 3],
    /// Radial distortion, k1 and k2.
    pub distortion: [f64; 2],
}

/// The points of a frame that stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptPoints {
    /// Number of the frame.
    pub frame: u64,
    /// So many of its first points stay, in the order in which they were sent.
    pub points: usize,
}

/// All poses of a session.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MapPoses {
    /// Width and height that the intrinsics refer to; `None` before there is any pose.
    pub processed_size: Option<[usize; 2]>,
    pub frames: Vec<FramePose>,
}

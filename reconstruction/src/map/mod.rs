//! The map of a session: a stream of frames of any length, placed a few at a time.
//!
//! A map is made of chunks. A chunk is the result of one run of the model over a
//! [window](Window) of frames: some that the map knows already, and new ones. Each frame belongs to
//! the chunk of the run that placed it, so that nothing is drawn twice. The first run of the model
//! defines the coordinates of the map; a model that can
//! [extend](crate::model::Model::extend) places the frames of later windows in them. The window of
//! another model has a world of its own, and is [joined](JoinedWindow) to the map by the frames that
//! both have.
//!
//! Frames that cannot be placed, but belong together, are another piece of the map, with coordinates of
//! its own, until a window has frames of both. Only the largest piece is drawn.
//!
//! A [correction](Corrections) moves frames of the map when more is known about them. The points of a
//! frame never change: they are in the coordinates of its camera, and only where these belong does.
//!
//! Cameras that the client knows are [anchors](crate::anchors) of the map: they give it their world, and
//! what it has drifted from them is corrected.
//!
//! Frames that show nothing new, because the camera hardly moved, add no points: only
//! [keyframes](Keyframes) do.
//!
//! A client that follows the map gets an [update](MapUpdate) of it: what is new, what moved, and which
//! points are too many.
//!
//! For a final result the frames of different chunks are [compared](Comparison), and points that others
//! contradict are left out.
//!
//! The large parts of a chunk, its depth maps and its [points](ChunkPoints), are files of the caller.
//! A [`Map`] holds only what is small.

mod candidates;
mod chain;
mod chunk;
mod chunk_anchors;
mod consistency;
mod coordinates;
mod correction;
mod covisible;
mod depth_fit;
mod drift;
mod frames;
mod graph;
mod join;
mod joined;
mod keyframes;
mod known;
mod known_window;
mod loops;
mod noise;
mod pieces;
mod placement;
mod places;
mod points;
mod relax;
mod scene;
mod update;
mod window;

pub use chunk::{Chunk, FirstChunk, NextChunk};
pub use chunk_anchors::ChunkAnchor;
pub use consistency::{Comparison, Contradicted};
pub use coordinates::LocalCoordinates;
pub use correction::{Corrections, FrameCorrection};
pub use depth_fit::DepthFit;
pub use frames::{FramePlace, Map, MapFrame};
pub use graph::{ChunkEdge, ChunkNode};
pub use join::JoinSpread;
pub use joined::{JoinedWindow, KnownDepth, SourceOfDepth};
pub use keyframes::Keyframes;
pub use known::{KnownCameras, WorldChange};
pub use loops::comes_back;
pub use pieces::PieceJoin;
pub use placement::{Placement, keep_connected};
pub use places::{PlaceVector, Places};
pub use points::{ChunkPoints, PointsFileError};
pub use scene::{ChunkSource, MapCloud, MapScene};
pub use update::{FrameShare, MapExtent, MapUpdate};
pub use window::{Window, WindowKind, WindowPlan};

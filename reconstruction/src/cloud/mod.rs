//! From a model's prediction to a coloured point cloud in the session's fixed world.
//!
//! [`build_scene`] runs all steps: it keeps the pixels whose confidence reaches the [`threshold`],
//! aligns the result with the session's [world](World), applies the client's [`filters`], takes a
//! uniform [`sample`] of the pixels and [unprojects](unproject) these.
//!
//! Three coordinate systems occur:
//!
//! - **camera**: x right, y down, z forward, in the model's unit of length;
//! - **world of a model run**: the world of the extrinsics; every run has its own;
//! - **GLB**: x right, y up, z backward as seen by the session's first camera, with the origin at
//!   the median of the session's first point cloud. It stays the same for the whole session.

pub mod align;
mod alignment;
mod anchors;
mod confident;
pub mod filters;
mod matrix;
mod overlap;
pub mod sample;
mod scene;
mod similarity;
pub mod threshold;
pub mod unproject;
mod view;
mod world;

pub use alignment::{Alignment, AlignmentQuality, Unaligned};
pub use confident::ConfidentPixels;
pub use filters::{PointFilters, VoxelSize};
pub use matrix::rows;
pub use scene::{CloudError, CloudOptions, Scene, SceneCamera, SceneFrame, build_scene};
pub use similarity::estimate_similarity;
pub(crate) use unproject::FrameMap;
pub use view::View;
pub use world::{FrameSource, Placement, World, axes_flip};

//! From a model's prediction to a coloured point cloud in the session's fixed world.
//!
//! [`build_scene`] does it all: it keeps the pixels whose confidence reaches the
//! [`threshold`], brings the result into the session's [world](World), leaves out what the
//! client does not want ([`filters`]), chooses pixels [without bias](sample), and
//! [unprojects](unproject) only these.
//!
//! Three frames of coordinates occur:
//!
//! - **camera**: x right, y down, z forward, the unit is the model's;
//! - **world of a model run**: what the extrinsics start from; every run has its own;
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

//! From a model's prediction to a coloured point cloud in the session's fixed world.
//!
//! [`build_scene`] runs all steps: it keeps the pixels whose confidence reaches the threshold,
//! aligns the result with the session's [world](World), applies the client's
//! [filters](PointFilters), takes a uniform sample of the pixels and unprojects these.
//!
//! Three coordinate systems occur:
//!
//! - **camera**: x right, y down, z forward, in the model's unit of length;
//! - **world of a model run**: the world of the extrinsics; every run has its own;
//! - **GLB**: x right, y up, z backward as seen by the session's first camera, with the origin at
//!   the median of the session's first point cloud. It stays the same for the whole session.

mod align;
mod alignment;
mod anchors;
mod confident;
mod filters;
mod frame_cloud;
mod matrix;
mod need;
mod overlap;
mod robust;
mod sample;
mod scene;
mod similarity;
mod statistics;
mod threshold;
mod unproject;
mod view;
mod world;

pub use alignment::{Alignment, AlignmentQuality, Unaligned};
pub(crate) use confident::{ConfidentPixels, UNKNOWN_CONFIDENCE, is_known};
pub use filters::{PointFilters, VoxelSize};
pub(crate) use filters::{is_edge, keep_most_confident};
pub use frame_cloud::FrameCloud;
pub use matrix::rows;
pub use need::{CLOUD_NEED, MAP_POINT_NEED};
pub(crate) use robust::{mean_rotation, mean_vector, middle_of};
pub use sample::Pixel;
pub use scene::{CloudError, CloudOptions, Scene, SceneCamera, SceneFrame, build_scene};
pub(crate) use scene::{camera_size, check_frames, passing_pixels, place_in_world, scene_cameras};
pub(crate) use statistics::{median, percentile};
pub(crate) use threshold::KNOWN_CONFIDENCE;
pub(crate) use unproject::FrameMap;
pub(crate) use view::View;
pub use world::{World, axes_flip};

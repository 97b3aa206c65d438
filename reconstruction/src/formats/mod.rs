//! Files of a result.
//!
//! [`glb`] is written from a scene in memory. The other formats are written from a
//! [`Reconstruction`], which is read frame by frame, so that a file may be larger than memory. All
//! formats have the same points, but for a [`mesh`], which is made of the depth.

mod archive;
pub mod colmap;
pub mod e57;
mod exported;
mod file_names;
mod format;
pub mod glb;
pub mod las;
pub mod mesh;
pub mod nerfstudio;
pub mod npz;
pub mod ply;
mod reconstruction;
pub mod text;

pub use exported::{Images, Photos};
pub use format::{ResultFormat, UnknownFormat};
pub use reconstruction::{Cameras, FrameData, PlacedFrame, Point, Reconstruction, WriteError};

//! The map of a session: a stream of frames of any length, placed a few at a time.
//!
//! A map is made of chunks. A chunk is the result of one run of the model over a
//! [window](Window) of frames: some that the map knows already, and new ones. Each frame belongs to
//! the chunk of the run that placed it, so that nothing is drawn twice. The first run of the model
//! defines the coordinates of the map; a model that can
//! [extend](crate::model::Model::extend) places the frames of later windows in them.
//!
//! The large parts of a chunk, its depth maps and its [points](ChunkPoints), are files of the caller.
//! A [`Map`] holds only what is small.

mod chunk;
mod coordinates;
mod frames;
mod places;
mod points;
mod scene;
mod window;

pub use chunk::{Chunk, FirstChunk, NextChunk};
pub use coordinates::LocalCoordinates;
pub use frames::{FramePlace, Map, MapFrame};
pub use places::{PlaceVector, Places};
pub use points::{ChunkPoints, PointsFileError};
pub use scene::{ChunkSource, MapScene};
pub use window::{Window, WindowPlan};

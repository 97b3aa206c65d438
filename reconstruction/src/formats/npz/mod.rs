//! Arrays for NumPy: an uncompressed zip file of `.npy` files, for
//! `numpy.load(..., allow_pickle=False)`.
//!
//! | array | type | shape | |
//! | --- | --- | --- | --- |
//! | `depth` | float32 | N, H, W | z in camera coordinates |
//! | `confidence` | float32 | N, H, W | at least 1, where 1 means unknown |
//! | `intrinsics` | float64 | N, 3, 3 | camera coordinates to pixel indices: the centre of the top left pixel is (0, 0) |
//! | `distortion` | float64 | N, 2 | k1 and k2 of the radial distortion |
//! | `extrinsics` | float64 | N, 4, 4 | world to camera (x right, y down, z forward), in the world of this run of the model |
//! | `world_to_glb` | float64 | 4, 4 | from that world to GLB coordinates |
//! | `registered` | bool | N | whether the model registered the frame; otherwise its camera has no meaning |
//! | `frames` | text | N | the client's names for the images |
//! | `points` | uint32 | P, 2 | frame and row-major pixel index of each point of the GLB, in its order |
//!
//! The other formats of a result of one run of the model are written from this file
//! ([`NpzReader`]). A result of a [map](crate::map) is written from its chunks ([`write_npz`]).

pub(super) mod npy;
mod reader;
mod writer;

pub use reader::NpzReader;
pub use writer::{NpzWriter, write_npz};

//! Arrays for NumPy: a zip file of `.npy` files, not compressed, which
//! `numpy.load(..., allow_pickle=False)` reads.
//!
//! | array | type | shape | |
//! | --- | --- | --- | --- |
//! | `depth` | float32 | N, H, W | z in the camera frame |
//! | `confidence` | float32 | N, H, W | at least 1, where 1 means "not known" |
//! | `intrinsics` | float64 | N, 3, 3 | camera coordinates to pixel indices: the centre of the top left pixel is (0, 0) |
//! | `extrinsics` | float64 | N, 4, 4 | world to camera (x right, y down, z forward), in the world of this run of the model |
//! | `world_to_glb` | float64 | 4, 4 | from that world to GLB coordinates |
//! | `registered` | bool | N | whether the model could place the frame; else its camera means nothing |
//! | `frames` | text | N | the client's names for the images |
//! | `points` | uint32 | P, 2 | frame and row-major pixel index of each point of the GLB, in its order |
//!
//! This is also the form in which a result is kept for the other formats ([`NpzReader`]).

mod npy;
mod reader;
mod writer;

pub use reader::NpzReader;
pub use writer::NpzWriter;

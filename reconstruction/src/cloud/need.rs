//! The memory that making a point cloud takes.

use crate::model::{Memory, MemoryNeed};

/// What is taken from a stored prediction to the GLB of its point cloud, or to the chunk of a map, in the
/// form in which archives state the need of their models. It is that of the worst case, measured by
/// `tests/cloud_need.rs`: every pixel is a point, and each point has a voxel of its own.
pub const CLOUD_NEED: Memory = Memory {
    cpu: Some(MemoryNeed {
        // Blocks of files, and tables of the archive.
        fixed: 1e6,
        // The camera, links, and the points by which results are aligned.
        per_frame: 200e3,
        per_pixel: 72.0,
        per_call_pixel: 0.0,
        per_pair: 0.0,
        adjust: None,
    }),
    cuda: None,
};

/// Bytes for each point of a cloud that is made of the stored points of a map, measured likewise.
pub const MAP_POINT_NEED: u64 = 200;

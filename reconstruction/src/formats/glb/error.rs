//! Errors of the GLB writer.

/// Why a scene could not be written.
#[derive(Debug, thiserror::Error)]
pub enum GlbError {
    #[error(
        "a glb file of {bytes} bytes would pass the format's limit of 4 GiB; lower num_max_points"
    )]
    TooLarge { bytes: u64 },
    #[error("the scene has {points} points but {colors} colors")]
    ColorCount { points: usize, colors: usize },
    #[error("the scene has points that are not finite")]
    NotFinite,
    #[error("the points could not be compressed: {0}")]
    Compression(#[from] ::meshopt::Error),
    #[error("could not write the glb's description: {0}")]
    Json(#[from] serde_json::Error),
}

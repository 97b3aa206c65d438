//! What is known about cameras before a prediction.

use super::hint::CameraHint;
use super::known::KnownCamera;

/// What is known about the cameras of the frames of a prediction, for their processed size.
#[derive(Debug, Clone, Copy, Default)]
pub struct CameraPriors<'a> {
    /// One camera per frame, if all are known.
    pub known: Option<&'a [KnownCamera]>,
    /// One hint per frame.
    pub hints: Option<&'a [CameraHint]>,
}

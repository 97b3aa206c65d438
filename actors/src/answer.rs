//! Results of a session and their metadata.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use pointstream_reconstruction::anchors::AnchorReport;
use pointstream_reconstruction::cloud::Alignment;
use pointstream_reconstruction::formats::ResultFormat;
use pointstream_reconstruction::model::Scale;
use pointstream_reconstruction::quality::Quality;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::blobs::BlobView;
use crate::ids::SessionId;
use crate::session_config::PointOptions;
use crate::updates::AppendMetadata;

/// Whether a result is an update or complete.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Display,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AnswerKind {
    /// An incremental update.
    Delta,
    /// A complete result.
    Complete,
}

/// A point cloud with its metadata.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Number of the request within the session, from 1. Failed requests leave gaps.
    pub number: u64,
    pub kind: AnswerKind,
    /// Images that the session had stored when the point cloud was requested.
    pub image_count: u32,
    /// The scene as binary glTF: a view of a file, not memory.
    pub glb: BlobView,
    pub metadata: Arc<ResultMetadata>,
    /// What readers get in place of the point cloud.
    pub description: Arc<SharedText>,
}

/// A text that many readers have at the same time, and that is made once for all of them. It is kept as
/// long as one of them has it.
#[derive(Debug)]
pub struct SharedText(Mutex<Weak<[u8]>>);

impl SharedText {
    /// The text; it is made if no reader has it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn get<E>(&self, make: impl FnOnce() -> Result<Vec<u8>, E>) -> Result<Bytes, E> {
        // Held while the text is made: others wait for it, and make no second one.
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text: Arc<[u8]> = match shared.upgrade() {
            Some(text) => text,
            None => make()?.into(),
        };
        *shared = Arc::downgrade(&text);
        Ok(Bytes::from_owner(text))
    }
}

impl Default for SharedText {
    fn default() -> Self {
        // No reader has a text; only an array has a size that is known without one.
        Self(Mutex::new(Weak::<[u8; 0]>::new()))
    }
}

/// A result in one format.
#[derive(Debug, Clone)]
pub struct ResultFile {
    pub session: SessionId,
    /// Number of the result. Session, number and format identify these bytes and no others.
    pub number: u64,
    pub format: ResultFormat,
    /// A view of the file, not memory.
    pub bytes: BlobView,
}

/// Metadata of a result, with the protocol's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResultMetadata {
    /// Frames that the model got. The matrices and `frames` are theirs.
    pub num_frames: usize,
    #[schema(value_type = uuid::Uuid)]
    pub session_id: SessionId,
    /// Size of the GLB in bytes.
    pub glb_size_bytes: usize,
    /// Intrinsics of each frame at the processed size, 3x3; pixel indices, the centre of
    /// the top left pixel is (0, 0).
    pub intrinsics: Vec<[[f64; 3]; 3]>,
    /// Radial distortion of each frame, k1 and k2: a normalised point at radius r from the
    /// principal point appears at r (1 + k1 r^2 + k2 r^4).
    pub distortion: Vec<[f64; 2]>,
    /// World-to-camera extrinsics of each frame, 4x4, in the world of this run of the model.
    pub extrinsics: Vec<[[f64; 4]; 4]>,
    /// Transform from the world of the extrinsics to the coordinates of the GLB, 4x4.
    pub world_to_glb: [[f64; 4]; 4],
    /// Processed width and height of the frames in pixels.
    pub processed_size: [usize; 2],
    /// Names of the images, in the order of the frames.
    #[schema(value_type = Vec<String>)]
    pub frames: Vec<Arc<str>>,
    /// Names of the images that could not be registered or were set aside because of their shape;
    /// they have no points in the cloud.
    #[schema(value_type = Vec<String>)]
    pub unregistered_frames: Vec<Arc<str>>,
    /// Names of the images that are placed but have no points of their own, since the camera hardly
    /// moved: an earlier image of the map shows the same from the same place.
    #[schema(value_type = Vec<String>)]
    pub still_frames: Vec<Arc<str>>,
    /// Points in the GLB.
    pub num_points: usize,
    /// Points that were left out because other frames contradict them; `null` if frames of different
    /// runs of the model were not compared.
    #[serde(default)]
    pub contradicted_points: Option<usize>,
    /// Smallest confidence of a pixel that became a point.
    pub confidence_threshold: f32,
    /// Whether this result has the same coordinates as the session's first one.
    pub aligned: bool,
    /// How it was aligned, and how well it fits.
    pub alignment: Alignment,
    /// Whether the model used the clients' own cameras: all frames have one and the model accepts
    /// them.
    pub known_cameras: bool,
    /// How the cameras that the client sent agree with the result, and whether it has their world; `null`
    /// if it sent none.
    #[serde(default)]
    pub anchors: Option<AnchorReport>,
    /// Unit of length: arbitrary or metres.
    pub scale: Scale,
    /// Relative standard deviation of the unit of length over the windows that a metric result is
    /// joined of; `null` for one run, and for an arbitrary unit.
    pub scale_spread: Option<f64>,
    /// Name and version of the model.
    pub model: String,
    /// Filters and compression that the client asked for.
    pub options: PointOptions,
    /// Whether the result can be relied on, and if not, why and what to do.
    pub quality: Quality,
    pub timings: Timings,
    /// What an update changes for a client with `deltas=append`; missing in all other results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub append: Option<AppendMetadata>,
}

/// Seconds spent in the parts of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timings {
    /// From submitting the job until a worker accepted it.
    pub queued: f64,
    /// Reading the prepared frames.
    pub frames: f64,
    /// Encoding the frames that were not encoded during the upload.
    pub encode: f64,
    /// The model: cameras and depth.
    pub model: f64,
    /// Thresholding, aligning, sampling and unprojecting.
    pub cloud: f64,
    /// Writing the GLB.
    pub glb: f64,
    /// Storing the prediction and the result.
    pub store: f64,
    /// From the request to the answer.
    pub total: f64,
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn readers_share_a_text_as_long_as_one_has_it() {
        let text = SharedText::default();
        let get = |made: &str| {
            let made = made.as_bytes().to_vec();
            let Ok(bytes) = text.get(|| Ok::<_, Infallible>(made));
            bytes
        };
        let first = get("first");
        let second = get("second");
        assert_eq!(first.as_ptr(), second.as_ptr());
        drop(first);
        assert_eq!(get("third"), "first");
        drop(second);
        assert_eq!(get("fourth"), "fourth");
    }

    #[test]
    fn what_cannot_be_made_is_tried_again() {
        let text = SharedText::default();
        assert_eq!(text.get(|| Err("no")), Err("no"));
        let made = text.get(|| Ok::<_, &str>(vec![1]));
        assert_eq!(made, Ok(Bytes::from_static(&[1])));
    }
}

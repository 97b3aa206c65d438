//! Arguments of the entry points: images, encoded frames, cameras and hints as tensors on the device.

use std::borrow::Cow;

use ::image::RgbImage;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::model::{
    CameraGroup, CameraHint, Device, Features, KnownCamera, ModelError,
};
use pointstream_reconstruction::prediction::{Camera, Link};
use tch::{Kind, Tensor};

use super::errors::{Work, call_error};
use super::numbers::{
    CAMERA_NUMBERS, DISTORTED_CAMERA_NUMBERS, HINT_NUMBERS, KNOWN_CAMERA_NUMBERS,
};
use super::transfer::send;
use crate::devices::torch_device;

/// What the model keeps of a frame: one row of the output of `encode` or `dense`.
pub(super) struct FrameTensor(pub(super) Tensor);

// SAFETY: the tensor is never written to after its construction, and libtorch allows several
// threads to read a tensor and to count references to it.
unsafe impl Sync for FrameTensor {}

/// Frames of one size as uint8 `[n, 3, H, W]` on the device. They are permuted there, which is
/// faster than on the CPU.
pub(super) fn image_tensor(
    frames: &[RgbImage],
    device: Device,
    work: Work,
) -> Result<Tensor, ModelError> {
    let shape = [
        frames.len() as i64,
        i64::from(work.size.height),
        i64::from(work.size.width),
        3,
    ];
    let bytes: Cow<'_, [u8]> = match frames {
        [frame] => Cow::Borrowed(frame.as_raw()),
        _ => {
            let parts: Vec<&[u8]> = frames
                .iter()
                .map(|frame| frame.as_raw().as_slice())
                .collect();
            Cow::Owned(parts.concat())
        }
    };
    let failed = |error| call_error("encode", &error, work);
    let pixels = Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8).map_err(failed)?;
    send(pixels, device, work)?
        .f_permute([0, 3, 1, 2])
        .and_then(|pixels| pixels.f_contiguous())
        .map_err(failed)
}

/// The rows of the encoded frames, concatenated as the input of `relate`.
pub(super) fn feature_rows(
    features: &[&Features],
    device: Device,
    work: Work,
) -> Result<Tensor, ModelError> {
    let rows = features
        .iter()
        .map(|frame| {
            if frame.size() != work.size {
                return Err(differing(work.size, frame.size()));
            }
            tensor_of(frame, device, work)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Tensor::f_cat(&rows, 0).map_err(|error| call_error("relate", &error, work))
}

/// The tensor of a frame on the device; the worker of another GPU may have computed it.
pub(super) fn tensor_of(
    frame: &Features,
    device: Device,
    work: Work,
) -> Result<Tensor, ModelError> {
    let row = frame
        .content::<FrameTensor>()
        .ok_or_else(|| ModelError::Features("they were encoded by another model".to_owned()))?;
    row.0
        .f_to_device(torch_device(device))
        .map_err(|error| call_error("the copy to the device", &error, work))
}

/// Placed cameras as float32 `[N, 22]`, or `[N, 24]` with distortion: rows of `cameras`, of zeros for
/// frames without a camera.
pub(super) fn placed_rows<'a>(
    cameras: impl ExactSizeIterator<Item = Option<&'a Camera>>,
    distortion: bool,
    entry_point: &'static str,
    device: Device,
    work: Work,
) -> Result<Tensor, ModelError> {
    let columns = match distortion {
        true => DISTORTED_CAMERA_NUMBERS,
        false => CAMERA_NUMBERS,
    };
    let mut numbers = Vec::with_capacity(cameras.len() * columns);
    for camera in cameras {
        let begin = numbers.len();
        if let Some(camera) = camera {
            let extrinsics = camera.extrinsics.fixed_view::<3, 4>(0, 0).transpose();
            let intrinsics = camera.intrinsics.transpose();
            let both = extrinsics.iter().chain(intrinsics.iter());
            numbers.extend(both.map(|number| *number as f32));
            numbers.push(1.0);
            if distortion {
                let terms = camera.distortion.coefficients();
                numbers.extend(terms.map(|number| number as f32));
            }
        }
        numbers.resize(begin + columns, 0.0);
    }
    matrix(&numbers, columns, entry_point, device, work)
}

/// Known cameras as float32 `[N, 21]`: extrinsics 3x4 and intrinsics 3x3, both row-major.
pub(super) fn camera_rows(
    cameras: &[KnownCamera],
    device: Device,
    work: Work,
) -> Result<Tensor, ModelError> {
    check_count(cameras.len(), "known cameras", work)?;
    let mut numbers = Vec::with_capacity(cameras.len() * KNOWN_CAMERA_NUMBERS);
    for camera in cameras {
        let extrinsics = camera.extrinsics.fixed_view::<3, 4>(0, 0).transpose();
        let intrinsics = camera.intrinsics.transpose();
        let both = extrinsics.iter().chain(intrinsics.iter());
        numbers.extend(both.map(|number| *number as f32));
    }
    matrix(&numbers, KNOWN_CAMERA_NUMBERS, "relate_posed", device, work)
}

/// Hints as float32 `[N, 3]`: number of the group by its first frame, focal length or 0, and its
/// relative standard deviation.
pub(super) fn hint_rows(
    hints: &[CameraHint],
    device: Device,
    work: Work,
) -> Result<Tensor, ModelError> {
    check_count(hints.len(), "hints", work)?;
    let mut groups: Vec<CameraGroup> = Vec::new();
    let mut numbers = Vec::with_capacity(hints.len() * HINT_NUMBERS);
    for hint in hints {
        let known = groups.iter().position(|group| *group == hint.group);
        let group = known.unwrap_or_else(|| {
            groups.push(hint.group);
            groups.len() - 1
        });
        let (pixels, deviation) = hint
            .focal_length
            .map_or((0.0, 0.0), |focal| (focal.pixels, focal.deviation));
        numbers.extend([group as f32, pixels as f32, deviation as f32]);
    }
    matrix(&numbers, HINT_NUMBERS, "relate_hinted", device, work)
}

/// Links as float32 `[O, 4]`: frame, x, y, track.
pub(super) fn link_rows(links: &[Link], device: Device, work: Work) -> Result<Tensor, ModelError> {
    const COLUMNS: usize = 4;
    let rows = links
        .iter()
        .flat_map(|link| [link.frame as f32, link.x, link.y, link.track as f32]);
    let numbers: Vec<f32> = rows.collect();
    let tensor = Tensor::f_from_slice(&numbers)
        .and_then(|tensor| tensor.f_reshape([links.len() as i64, COLUMNS as i64]))
        .map_err(|error| call_error("adjust", &error, work))?;
    send(tensor, device, work)
}

fn check_count(found: usize, what: &str, work: Work) -> Result<(), ModelError> {
    if found == work.frames {
        return Ok(());
    }
    Err(ModelError::Features(format!(
        "there are {} of them, but {found} {what}",
        work.frames
    )))
}

/// Numbers as rows of `columns` on the device.
fn matrix(
    numbers: &[f32],
    columns: usize,
    entry_point: &'static str,
    device: Device,
    work: Work,
) -> Result<Tensor, ModelError> {
    let shape = [work.frames as i64, columns as i64];
    let tensor = Tensor::f_from_slice(numbers)
        .and_then(|tensor| tensor.f_reshape(shape))
        .map_err(|error| call_error(entry_point, &error, work))?;
    send(tensor, device, work)
}

pub(super) fn differing(one: FrameSize, another: FrameSize) -> ModelError {
    ModelError::Features(format!("one is of {one} pixels, another of {another}"))
}

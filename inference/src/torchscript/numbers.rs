//! Converts the outputs of the entry points to checked numbers.

use nalgebra::{Matrix3, Matrix4};
use pointstream_reconstruction::geometry::Distortion;
use pointstream_reconstruction::model::ModelError;
use pointstream_reconstruction::prediction::{Camera, FrameReport, REPORT_NUMBERS};
use tch::{Kind, Tensor};

use super::errors::{Work, broken, call_error};

/// Numbers in a row of `cameras`: extrinsics 3x4, intrinsics 3x3, registered.
pub(super) const CAMERA_NUMBERS: usize = 22;

/// Numbers in a row of `cameras` with distortion: also k1 and k2.
pub(super) const DISTORTED_CAMERA_NUMBERS: usize = CAMERA_NUMBERS + 2;

/// Numbers of a known camera: extrinsics 3x4, intrinsics 3x3.
pub(super) const KNOWN_CAMERA_NUMBERS: usize = CAMERA_NUMBERS - 1;

/// Numbers of a hint: group, focal length, its relative standard deviation.
pub(super) const HINT_NUMBERS: usize = 3;

/// Collects depth and confidence, frame by frame.
pub(super) struct Maps {
    work: Work,
    pub(super) depth: Vec<f32>,
    pub(super) confidence: Vec<f32>,
}

impl Maps {
    pub(super) fn with_capacity(work: Work) -> Self {
        let pixels = work.frames * work.size.columns() * work.size.rows();
        Self {
            work,
            depth: Vec::with_capacity(pixels),
            confidence: Vec::with_capacity(pixels),
        }
    }

    /// Appends frames: float32 `[frames, 2, H, W]` on the CPU, depth in channel 0 and confidence in
    /// channel 1.
    pub(super) fn push(
        &mut self,
        maps: &Tensor,
        frames: usize,
        entry_point: &'static str,
    ) -> Result<(), ModelError> {
        let work = self.work;
        let (height, width) = (work.size.rows(), work.size.columns());
        check_shape(maps, entry_point, &[frames, 2, height, width])?;
        for frame in floats(maps, entry_point)?.chunks_exact(2 * height * width) {
            let (depth, confidence) = frame.split_at(height * width);
            self.push_frame(depth, confidence, entry_point)?;
        }
        Ok(())
    }

    fn push_frame(
        &mut self,
        depth: &[f32],
        confidence: &[f32],
        entry_point: &'static str,
    ) -> Result<(), ModelError> {
        if !all(depth, |value| value.is_finite() && value > 0.0) {
            return Err(broken(entry_point, "a depth is not finite and positive"));
        }
        if !all(confidence, |value| value.is_finite() && value >= 1.0) {
            return Err(broken(
                entry_point,
                "a confidence is not finite and at least 1",
            ));
        }
        self.depth.extend_from_slice(depth);
        self.confidence.extend_from_slice(confidence);
        Ok(())
    }
}

/// A tensor of two integers on the CPU: the model reads the numbers, which on a GPU would make the
/// CPU wait.
pub(super) fn integers(values: [i64; 2], work: Work) -> Result<Tensor, ModelError> {
    Tensor::f_from_slice(&values)
        .map_err(|error| call_error("the copy of its arguments", &error, work))
}

/// Copies a tensor of the given shape to the CPU as 32-bit floats.
pub(super) fn to_vec(
    tensor: &Tensor,
    entry_point: &'static str,
    shape: &[usize],
    work: Work,
) -> Result<Vec<f32>, ModelError> {
    check_shape(tensor, entry_point, shape)?;
    let mut numbers = vec![0.0; shape.iter().product()];
    tensor
        .f_to_device(tch::Device::Cpu)
        .and_then(|tensor| tensor.f_to_kind(Kind::Float))
        .and_then(|tensor| tensor.f_contiguous())
        .and_then(|tensor| tensor.f_copy_data(&mut numbers, tensor.numel()))
        .map_err(|error| call_error(entry_point, &error, work))?;
    Ok(numbers)
}

/// The first two channels of maps `[n, C >= 2, H, W]`.
pub(super) fn depth_and_confidence(
    maps: &Tensor,
    entry_point: &'static str,
) -> Result<Tensor, ModelError> {
    maps.f_narrow(1, 0, 2)
        .map_err(|_| broken(entry_point, "its output has fewer than two channels"))
}

fn check_shape(
    tensor: &Tensor,
    entry_point: &'static str,
    shape: &[usize],
) -> Result<(), ModelError> {
    let found = tensor.size();
    let wanted = shape.iter().map(|&side| i64::try_from(side).ok());
    if found.iter().map(|&side| Some(side)).eq(wanted) {
        return Ok(());
    }
    Err(broken(
        entry_point,
        &format!("its shape is {found:?} instead of {shape:?}"),
    ))
}

/// The numbers of a contiguous float32 tensor on the CPU, without a copy.
fn floats<'a>(tensor: &'a Tensor, entry_point: &'static str) -> Result<&'a [f32], ModelError> {
    let readable = tensor.device() == tch::Device::Cpu
        && tensor.kind() == Kind::Float
        && tensor.is_contiguous();
    if !readable {
        return Err(broken(
            entry_point,
            "its numbers are not contiguous float32 on the CPU",
        ));
    }
    if tensor.numel() == 0 {
        return Ok(&[]);
    }
    // SAFETY: the tensor has this many contiguous floats; they live as long as the tensor, which is
    // not written to while it is borrowed.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) })
}

/// Whether a condition holds for all numbers. Tests them in blocks without early exit, which
/// compiles to vector instructions.
fn all(numbers: &[f32], holds: impl Fn(f32) -> bool) -> bool {
    numbers
        .chunks(1024)
        .all(|some| some.iter().fold(true, |all, &number| all & holds(number)))
}

/// The camera of one row of `cameras`, with or without distortion.
pub(super) fn camera(row: &[f32]) -> Camera {
    let mut extrinsics = Matrix4::identity();
    for (index, &number) in row[..12].iter().enumerate() {
        extrinsics[(index / 4, index % 4)] = f64::from(number);
    }
    let distortion = match row[CAMERA_NUMBERS..] {
        [k1, k2] => Distortion {
            k1: f64::from(k1),
            k2: f64::from(k2),
        },
        _ => Distortion::NONE,
    };
    Camera {
        extrinsics,
        intrinsics: Matrix3::from_row_iterator(row[12..21].iter().map(|&number| f64::from(number))),
        distortion,
        registered: row[21] > 0.5,
    }
}

/// The rows of the output of `report`.
pub(super) fn report(rows: &Tensor, work: Work) -> Result<Vec<FrameReport>, ModelError> {
    const ENTRY_POINT: &str = "report";
    let numbers = to_vec(rows, ENTRY_POINT, &[work.frames, REPORT_NUMBERS], work)?;
    let (rows, _) = numbers.as_chunks();
    rows.iter()
        .map(|row| {
            FrameReport::from_row(row, work.frames)
                .map_err(|error| broken(ENTRY_POINT, &error.to_string()))
        })
        .collect()
}

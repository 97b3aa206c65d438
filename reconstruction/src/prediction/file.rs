//! A prediction as the bytes of a safetensors file (<https://github.com/huggingface/safetensors>).
//!
//! Tensors, row-major and little-endian, for `N` frames of `H` rows and `W` columns:
//!
//! | tensor | type | shape |
//! | --- | --- | --- |
//! | `depth` | F32 | `[N, H, W]` |
//! | `confidence` | F32 | `[N, H, W]` |
//! | `extrinsics` | F64 | `[N, 4, 4]` |
//! | `intrinsics` | F64 | `[N, 3, 3]` |
//! | `distortion` | F64 | `[N, 2]`, k1 and k2 |
//! | `registered` | U8 | `[N]`, 0 or 1 |
//! | `report`, if there is one | F32 | `[N, 8]`, as the model gives it |
//! | `links`, if there are any | F32 | `[F, L, 3]`, as the model gives them, for the `F` frames of the run |

use std::borrow::Cow;
use std::io;
use std::path::Path;

use nalgebra::{Matrix3, Matrix4, SMatrix};
use positioned_io::{ReadAt, Size};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError};
use thiserror::Error;

use super::tensors::TensorFile;
use super::{Camera, FrameReport, LINK_NUMBERS, Links, Prediction, REPORT_NUMBERS, ReportError};
use crate::geometry::{Distortion, FrameSize};

pub(super) const DEPTH: &str = "depth";
pub(super) const CONFIDENCE: &str = "confidence";
const EXTRINSICS: &str = "extrinsics";
const INTRINSICS: &str = "intrinsics";
const DISTORTION: &str = "distortion";
const REGISTERED: &str = "registered";
const REPORT: &str = "report";
const LINKS: &str = "links";

/// Why a prediction could not be written to, or read from, the bytes of a file.
#[derive(Debug, Error)]
pub enum PredictionFileError {
    /// The buffers of the prediction do not have the lengths that its size and cameras require.
    #[error("cannot write the prediction: {0}")]
    Write(#[source] SafeTensorError),
    /// The file cannot be read, or has become shorter meanwhile.
    #[error("cannot read the prediction: {0}")]
    Read(#[source] io::Error),
    /// The bytes are not a complete safetensors file.
    #[error("the bytes are not a safetensors file: {0}")]
    Format(#[source] SafeTensorError),
    /// A tensor is missing.
    #[error("the file has no tensor {0}")]
    Missing(&'static str),
    /// A tensor has another type of numbers.
    #[error("the tensor {tensor} has the type {found:?} instead of {expected:?}")]
    Dtype {
        tensor: &'static str,
        found: Dtype,
        expected: Dtype,
    },
    /// A tensor's shape is wrong or disagrees with the shape of `depth`.
    #[error("the tensor {tensor} has the shape {found:?} instead of {expected}")]
    Shape {
        tensor: &'static str,
        found: Vec<usize>,
        expected: String,
    },
    /// A number in `registered` is neither 0 nor 1.
    #[error("registered[{frame}] is {found} instead of 0 or 1")]
    Registered { frame: usize, found: u8 },
    /// A row of `report` has no meaning.
    #[error("report[{frame}]: {error}")]
    Report { frame: usize, error: ReportError },
}

impl Prediction {
    /// Writes the prediction to the file `path` as a safetensors file, without a copy of the maps in
    /// memory. All numbers keep their bits.
    ///
    /// # Errors
    /// [`PredictionFileError::Write`] if the file cannot be written, or if `depth` or `confidence`
    /// does not have `N * H * W` values.
    pub fn save_safetensors(&self, path: &Path) -> Result<(), PredictionFileError> {
        let frames = self.cameras.len();
        let maps = vec![frames, self.size.rows(), self.size.columns()];
        let depth = float_bytes(&self.depth);
        let confidence = float_bytes(&self.confidence);
        let cameras = self.cameras.iter();
        let extrinsics = matrix_bytes(cameras.clone().map(|camera| &camera.extrinsics));
        let intrinsics = matrix_bytes(cameras.clone().map(|camera| &camera.intrinsics));
        let distortion: Vec<u8> = cameras
            .clone()
            .flat_map(|camera| camera.distortion.coefficients())
            .flat_map(f64::to_le_bytes)
            .collect();
        let registered: Vec<u8> = cameras.map(|camera| camera.registered.into()).collect();
        let mut views = vec![
            (DEPTH, Dtype::F32, maps.clone(), &*depth),
            (CONFIDENCE, Dtype::F32, maps, &*confidence),
            (EXTRINSICS, Dtype::F64, vec![frames, 4, 4], &*extrinsics),
            (INTRINSICS, Dtype::F64, vec![frames, 3, 3], &*intrinsics),
            (DISTORTION, Dtype::F64, vec![frames, 2], &*distortion),
            (REGISTERED, Dtype::U8, vec![frames], &*registered),
        ];
        let report: Option<Vec<f32>> = self.report.as_ref().map(|report| {
            let rows = report.iter().map(|frame| frame.to_row());
            rows.flatten().collect()
        });
        let report = report.as_deref().map(float_bytes);
        if let Some(report) = &report {
            let shape = vec![frames, REPORT_NUMBERS];
            views.push((REPORT, Dtype::F32, shape, &**report));
        }
        let links = self.links.as_ref().and_then(links_tensor);
        if let Some((shape, numbers)) = &links {
            views.push((LINKS, Dtype::F32, shape.clone(), &**numbers));
        }
        let tensors = views
            .into_iter()
            .map(|(name, dtype, shape, data)| Ok((name, TensorView::new(dtype, shape, data)?)))
            .collect::<Result<Vec<_>, SafeTensorError>>()
            .map_err(PredictionFileError::Write)?;
        safetensors::serialize_to_file(tensors, None, path).map_err(PredictionFileError::Write)
    }

    /// Reads what [`save_safetensors`](Self::save_safetensors) wrote, tensor by tensor. The values of
    /// the maps and matrices are not checked.
    ///
    /// # Errors
    /// [`PredictionFileError`] if it is not a complete safetensors file, if a tensor is missing or has
    /// another type, if the shapes do not agree, or if a number in `registered` is neither 0 nor 1.
    pub fn from_safetensors(file: impl ReadAt + Size) -> Result<Prediction, PredictionFileError> {
        let file = TensorFile::open(file)?;
        let depth = file.tensor(DEPTH, Dtype::F32)?;
        let &[frames, height, width] = depth.shape() else {
            return Err(depth.wrong_shape("[N, H, W]".to_owned()));
        };
        let (Ok(columns), Ok(rows)) = (u32::try_from(width), u32::try_from(height)) else {
            let expected = "[N, H, W] with H and W below 2^32".to_owned();
            return Err(depth.wrong_shape(expected));
        };
        let size = FrameSize::new(columns, rows);
        let confidence = file.tensor_of(CONFIDENCE, Dtype::F32, &[frames, height, width])?;
        let extrinsics = file.tensor_of(EXTRINSICS, Dtype::F64, &[frames, 4, 4])?;
        let intrinsics = file.tensor_of(INTRINSICS, Dtype::F64, &[frames, 3, 3])?;
        let distortion = file.tensor_of(DISTORTION, Dtype::F64, &[frames, 2])?;
        let registered = file.tensor_of(REGISTERED, Dtype::U8, &[frames])?.bytes()?;
        let cameras = extrinsics
            .doubles::<16>()?
            .into_iter()
            .zip(intrinsics.doubles::<9>()?)
            .zip(distortion.doubles::<2>()?)
            .zip(registered.into_iter().enumerate())
            .map(
                |(((extrinsics, intrinsics), [k1, k2]), (frame, registered))| {
                    Ok(Camera {
                        extrinsics: Matrix4::from_row_slice(&extrinsics),
                        intrinsics: Matrix3::from_row_slice(&intrinsics),
                        distortion: Distortion { k1, k2 },
                        registered: match registered {
                            0 => false,
                            1 => true,
                            found => return Err(PredictionFileError::Registered { frame, found }),
                        },
                    })
                },
            )
            .collect::<Result<_, _>>()?;
        Ok(Prediction {
            size,
            cameras,
            depth: depth.floats()?,
            confidence: confidence.floats()?,
            report: report(&file, frames)?,
            links: links(&file)?,
        })
    }
}

impl Links {
    /// The links of the prediction in a file, if it has any, without the rest of it.
    ///
    /// # Errors
    /// [`PredictionFileError`] as [`Prediction::from_safetensors`].
    pub fn from_safetensors(file: impl ReadAt + Size) -> Result<Option<Self>, PredictionFileError> {
        links(&TensorFile::open(file)?)
    }

    /// The bytes of a file that has only these links, which [`from_safetensors`](Self::from_safetensors)
    /// reads.
    ///
    /// # Errors
    /// [`PredictionFileError::Write`] if they cannot be written.
    pub fn to_safetensors(links: Option<&Self>) -> Result<Vec<u8>, PredictionFileError> {
        let links = links.and_then(links_tensor);
        let tensor = links.as_ref().map(|(shape, numbers)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), numbers)?;
            Ok((LINKS, view))
        });
        let tensor = tensor.transpose().map_err(PredictionFileError::Write)?;
        safetensors::serialize(tensor, None).map_err(PredictionFileError::Write)
    }
}

/// The shape and the bytes of links, if there are any.
fn links_tensor(links: &Links) -> Option<(Vec<usize>, Cow<'_, [u8]>)> {
    let per_frame = links.per_frame();
    if per_frame == 0 {
        return None;
    }
    let run = links.numbers().len() / (LINK_NUMBERS * per_frame);
    let shape = vec![run, per_frame, LINK_NUMBERS];
    Some((shape, float_bytes(links.numbers())))
}

/// The links, if the file has any.
fn links(file: &TensorFile<impl ReadAt + Size>) -> Result<Option<Links>, PredictionFileError> {
    if !file.has(LINKS) {
        return Ok(None);
    }
    let links = file.tensor(LINKS, Dtype::F32)?;
    let &[frames, per_frame, LINK_NUMBERS] = links.shape() else {
        return Err(links.wrong_shape("[F, L, 3]".to_owned()));
    };
    Ok(Links::new(frames, per_frame, links.floats()?))
}

/// The report of the model, if the file has one.
fn report(
    file: &TensorFile<impl ReadAt + Size>,
    frames: usize,
) -> Result<Option<Vec<FrameReport>>, PredictionFileError> {
    if !file.has(REPORT) {
        return Ok(None);
    }
    let shape = [frames, REPORT_NUMBERS];
    let numbers = file.tensor_of(REPORT, Dtype::F32, &shape)?.floats()?;
    let (rows, _) = numbers.as_chunks();
    rows.iter()
        .enumerate()
        .map(|(frame, row)| {
            FrameReport::from_row(row, frames)
                .map_err(|error| PredictionFileError::Report { frame, error })
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// The little-endian bytes of the numbers, without a copy where the machine is little-endian.
fn float_bytes(numbers: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(numbers))
    } else {
        numbers.iter().copied().flat_map(f32::to_le_bytes).collect()
    }
}

/// The little-endian bytes of matrices, row-major.
fn matrix_bytes<'a, const R: usize, const C: usize>(
    matrices: impl Iterator<Item = &'a SMatrix<f64, R, C>>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in matrices.flat_map(SMatrix::row_iter) {
        for number in &row {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests;

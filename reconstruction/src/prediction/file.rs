//! A prediction as the bytes of a safetensors file (<https://github.com/huggingface/safetensors>).
//!
//! Five tensors, row-major and little-endian, for `N` frames of `H` rows and `W` columns:
//!
//! | tensor | type | shape |
//! | --- | --- | --- |
//! | `depth` | F32 | `[N, H, W]` |
//! | `confidence` | F32 | `[N, H, W]` |
//! | `extrinsics` | F64 | `[N, 4, 4]` |
//! | `intrinsics` | F64 | `[N, 3, 3]` |
//! | `registered` | U8 | `[N]`, 0 or 1 |

use std::borrow::Cow;

use nalgebra::{Matrix3, Matrix4};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use thiserror::Error;

use super::{Camera, Prediction};
use crate::geometry::FrameSize;

const DEPTH: &str = "depth";
const CONFIDENCE: &str = "confidence";
const EXTRINSICS: &str = "extrinsics";
const INTRINSICS: &str = "intrinsics";
const REGISTERED: &str = "registered";

/// Why a prediction could not be written to, or read from, the bytes of a file.
#[derive(Debug, Error)]
pub enum PredictionFileError {
    /// The buffers of the prediction do not have the lengths that its size and cameras require.
    #[error("cannot write the prediction: {0}")]
    Write(SafeTensorError),
    /// The bytes are not a complete safetensors file.
    #[error("the bytes are not a safetensors file: {0}")]
    Format(SafeTensorError),
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
}

impl Prediction {
    /// The prediction as a safetensors file. Copies each tensor once; all numbers keep their bits.
    ///
    /// # Errors
    /// [`PredictionFileError::Write`] if `depth` or `confidence` does not have
    /// `N * H * W` values.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, PredictionFileError> {
        let frames = self.cameras.len();
        let maps = vec![frames, self.size.rows(), self.size.columns()];
        let depth = float_bytes(&self.depth);
        let confidence = float_bytes(&self.confidence);
        // nalgebra iterates by columns; the rows of a matrix are the columns of its transpose.
        let extrinsics = self.cameras.iter().map(|camera| &camera.extrinsics);
        let extrinsics: Vec<u8> = extrinsics
            .flat_map(|matrix| matrix.transpose().data.0.into_iter().flatten())
            .flat_map(f64::to_le_bytes)
            .collect();
        let intrinsics = self.cameras.iter().map(|camera| &camera.intrinsics);
        let intrinsics: Vec<u8> = intrinsics
            .flat_map(|matrix| matrix.transpose().data.0.into_iter().flatten())
            .flat_map(f64::to_le_bytes)
            .collect();
        let registered: Vec<u8> = self
            .cameras
            .iter()
            .map(|camera| u8::from(camera.registered))
            .collect();
        let views = [
            (DEPTH, Dtype::F32, maps.clone(), &*depth),
            (CONFIDENCE, Dtype::F32, maps, &*confidence),
            (EXTRINSICS, Dtype::F64, vec![frames, 4, 4], &*extrinsics),
            (INTRINSICS, Dtype::F64, vec![frames, 3, 3], &*intrinsics),
            (REGISTERED, Dtype::U8, vec![frames], &*registered),
        ];
        let tensors = views
            .into_iter()
            .map(|(name, dtype, shape, data)| Ok((name, TensorView::new(dtype, shape, data)?)))
            .collect::<Result<Vec<_>, SafeTensorError>>()
            .map_err(PredictionFileError::Write)?;
        safetensors::serialize(tensors, None).map_err(PredictionFileError::Write)
    }

    /// Reads what [`to_safetensors`](Self::to_safetensors) wrote. Copies each tensor once; the
    /// bytes need no alignment. The values of the maps and matrices are not checked.
    ///
    /// # Errors
    /// [`PredictionFileError`] if the bytes are not a complete safetensors file, if a tensor is
    /// missing or has another type, if the shapes do not agree, or if a number in `registered` is
    /// neither 0 nor 1.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Prediction, PredictionFileError> {
        let file = SafeTensors::deserialize(bytes).map_err(PredictionFileError::Format)?;
        let depth = tensor(&file, DEPTH, Dtype::F32)?;
        let &[frames, height, width] = depth.shape() else {
            return Err(wrong_shape(DEPTH, &depth, "[N, H, W]".to_owned()));
        };
        let (Ok(columns), Ok(rows)) = (u32::try_from(width), u32::try_from(height)) else {
            let expected = "[N, H, W] with H and W below 2^32".to_owned();
            return Err(wrong_shape(DEPTH, &depth, expected));
        };
        let size = FrameSize::new(columns, rows);
        let confidence = tensor_of(&file, CONFIDENCE, Dtype::F32, &[frames, height, width])?;
        let extrinsics = tensor_of(&file, EXTRINSICS, Dtype::F64, &[frames, 4, 4])?;
        let intrinsics = tensor_of(&file, INTRINSICS, Dtype::F64, &[frames, 3, 3])?;
        let registered = tensor_of(&file, REGISTERED, Dtype::U8, &[frames])?;
        let cameras = doubles::<16>(&extrinsics)
            .zip(doubles::<9>(&intrinsics))
            .zip(registered.data().iter().enumerate())
            .map(|((extrinsics, intrinsics), (frame, &registered))| {
                Ok(Camera {
                    extrinsics: Matrix4::from_row_slice(&extrinsics),
                    intrinsics: Matrix3::from_row_slice(&intrinsics),
                    registered: match registered {
                        0 => false,
                        1 => true,
                        found => return Err(PredictionFileError::Registered { frame, found }),
                    },
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Prediction {
            size,
            cameras,
            depth: floats(&depth),
            confidence: floats(&confidence),
        })
    }
}

fn tensor<'a>(
    file: &SafeTensors<'a>,
    name: &'static str,
    expected: Dtype,
) -> Result<TensorView<'a>, PredictionFileError> {
    let tensor = file
        .tensor(name)
        .map_err(|_| PredictionFileError::Missing(name))?;
    if tensor.dtype() != expected {
        return Err(PredictionFileError::Dtype {
            tensor: name,
            found: tensor.dtype(),
            expected,
        });
    }
    Ok(tensor)
}

fn tensor_of<'a>(
    file: &SafeTensors<'a>,
    name: &'static str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<TensorView<'a>, PredictionFileError> {
    let tensor = tensor(file, name, dtype)?;
    if tensor.shape() != shape {
        return Err(wrong_shape(name, &tensor, format!("{shape:?}")));
    }
    Ok(tensor)
}

fn wrong_shape(name: &'static str, tensor: &TensorView, expected: String) -> PredictionFileError {
    PredictionFileError::Shape {
        tensor: name,
        found: tensor.shape().to_vec(),
        expected,
    }
}

/// The little-endian bytes of the numbers, without a copy where the machine is little-endian.
fn float_bytes(numbers: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(numbers))
    } else {
        numbers.iter().copied().flat_map(f32::to_le_bytes).collect()
    }
}

fn floats(tensor: &TensorView) -> Vec<f32> {
    let (numbers, _) = tensor.data().as_chunks();
    numbers.iter().copied().map(f32::from_le_bytes).collect()
}

/// The numbers of a tensor in groups of `N`.
fn doubles<'a, const N: usize>(tensor: &TensorView<'a>) -> impl Iterator<Item = [f64; N]> + 'a {
    let (numbers, _) = tensor.data().as_chunks();
    let (groups, _) = numbers.as_chunks::<N>();
    groups.iter().map(|group| group.map(f64::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction() -> Prediction {
        let number = |index: usize| index as f64 + 0.1;
        let camera = |frame: usize| Camera {
            extrinsics: Matrix4::from_fn(|row, column| number(100 * frame + 10 * row + column)),
            intrinsics: Matrix3::from_fn(|row, column| number(900 * frame + 10 * row + column)),
            registered: frame == 1,
        };
        Prediction {
            size: FrameSize::new(3, 2),
            cameras: (0..2).map(camera).collect(),
            depth: (0..12).map(|index| number(index) as f32).collect(),
            confidence: (0..12).map(|index| number(index + 50) as f32).collect(),
        }
    }

    fn refused(bytes: &[u8]) -> String {
        let error = Prediction::from_safetensors(bytes).expect_err("the bytes must be refused");
        error.to_string()
    }

    /// The file of [`prediction`] with one tensor replaced, or removed.
    fn with(name: &str, replacement: Option<(Dtype, &[usize])>) -> Vec<u8> {
        let bytes = prediction().to_safetensors().expect("it is written");
        let file = SafeTensors::deserialize(&bytes).expect("it is read");
        let content = [0; 1024];
        let tensors = file.iter().filter_map(|(found, tensor)| {
            if found != name {
                return Some((found, tensor));
            }
            let (dtype, shape) = replacement?;
            let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            let tensor = TensorView::new(dtype, shape.to_vec(), &content[..length]);
            Some((found, tensor.expect("it is a tensor")))
        });
        safetensors::serialize(tensors, None).expect("it is written")
    }

    #[test]
    fn round_trip_keeps_every_bit() {
        let mut written = prediction();
        // A signalling NaN with a payload, a negative zero, a subnormal number and an infinity.
        let special = [0x7fa1_2345, 0x8000_0000, 0x0000_0001, 0xff80_0000].map(f32::from_bits);
        written.depth[2..6].copy_from_slice(&special);
        written.cameras[0].extrinsics[(2, 3)] = f64::from_bits(0x7ff0_0000_0000_0001);
        let bytes = written.to_safetensors().expect("it is written");
        // At an odd address, so that the numbers are not aligned.
        let shifted = [&[0], bytes.as_slice()].concat();
        let read = Prediction::from_safetensors(&shifted[1..]).expect("it is read");
        assert_eq!(read.size, written.size);
        let bits = |numbers: &[f32]| -> Vec<u32> { numbers.iter().map(|n| n.to_bits()).collect() };
        assert_eq!(bits(&read.depth), bits(&written.depth));
        assert_eq!(bits(&read.confidence), bits(&written.confidence));
        for (read, written) in read.cameras.iter().zip(&written.cameras) {
            assert_eq!(
                read.extrinsics.map(f64::to_bits),
                written.extrinsics.map(f64::to_bits)
            );
            assert_eq!(
                read.intrinsics.map(f64::to_bits),
                written.intrinsics.map(f64::to_bits)
            );
            assert_eq!(read.registered, written.registered);
        }
        assert_eq!(read.to_safetensors().expect("it is written"), bytes);
    }

    #[test]
    fn matrices_are_row_major() {
        let bytes = prediction().to_safetensors().expect("it is written");
        let file = SafeTensors::deserialize(&bytes).expect("it is read");
        let extrinsics = file.tensor(EXTRINSICS).expect("it is there");
        assert_eq!(extrinsics.shape(), [2, 4, 4]);
        // Row 1, column 2 of frame 0.
        assert_eq!(extrinsics.data()[6 * 8..7 * 8], 12.1_f64.to_le_bytes());
    }

    #[test]
    fn a_prediction_without_frames_is_kept() {
        let empty = Prediction {
            cameras: Vec::new(),
            depth: Vec::new(),
            confidence: Vec::new(),
            ..prediction()
        };
        let bytes = empty.to_safetensors().expect("it is written");
        let read = Prediction::from_safetensors(&bytes).expect("it is read");
        assert_eq!(read, empty);
    }

    #[test]
    fn buffers_of_the_wrong_length_are_not_written() {
        let mut short = prediction();
        short.confidence.pop();
        let error = short.to_safetensors().expect_err("it must be refused");
        assert!(matches!(error, PredictionFileError::Write(_)), "{error}");
    }

    #[test]
    fn truncated_files_are_refused() {
        let bytes = prediction().to_safetensors().expect("it is written");
        for length in 0..bytes.len() {
            let error = refused(&bytes[..length]);
            assert!(
                error.contains("not a safetensors file"),
                "{length}: {error}"
            );
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(refused(&longer).contains("not a safetensors file"));
    }

    #[test]
    fn missing_tensors_are_refused() {
        for name in [DEPTH, CONFIDENCE, EXTRINSICS, INTRINSICS, REGISTERED] {
            assert_eq!(
                refused(&with(name, None)),
                format!("the file has no tensor {name}")
            );
        }
    }

    #[test]
    fn wrong_types_are_refused() {
        let cases: [(&str, Dtype, &[usize]); 5] = [
            (DEPTH, Dtype::F64, &[2, 2, 3]),
            (CONFIDENCE, Dtype::F16, &[2, 2, 3]),
            (EXTRINSICS, Dtype::F32, &[2, 4, 4]),
            (INTRINSICS, Dtype::F32, &[2, 3, 3]),
            (REGISTERED, Dtype::BOOL, &[2]),
        ];
        for (name, dtype, shape) in cases {
            let error = refused(&with(name, Some((dtype, shape))));
            let expected = format!("the tensor {name} has the type {dtype:?} instead of ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let cases: [(&str, Dtype, &[usize], &str); 8] = [
            (DEPTH, Dtype::F32, &[4, 3], "[N, H, W]"),
            (CONFIDENCE, Dtype::F32, &[2, 3, 2], "[2, 2, 3]"),
            (CONFIDENCE, Dtype::F32, &[12], "[2, 2, 3]"),
            (EXTRINSICS, Dtype::F64, &[3, 4, 4], "[2, 4, 4]"),
            (EXTRINSICS, Dtype::F64, &[2, 3, 4], "[2, 4, 4]"),
            (INTRINSICS, Dtype::F64, &[2, 9], "[2, 3, 3]"),
            (REGISTERED, Dtype::U8, &[3], "[2]"),
            (REGISTERED, Dtype::U8, &[2, 1], "[2]"),
        ];
        for (name, dtype, shape, expected) in cases {
            assert_eq!(
                refused(&with(name, Some((dtype, shape)))),
                format!("the tensor {name} has the shape {shape:?} instead of {expected}")
            );
        }
        // The other tensors are compared with `depth`.
        let error = refused(&with(DEPTH, Some((Dtype::F32, &[2, 2, 4]))));
        assert_eq!(
            error,
            "the tensor confidence has the shape [2, 2, 3] instead of [2, 2, 4]"
        );
    }

    #[test]
    fn registered_is_zero_or_one() {
        let mut bytes = prediction().to_safetensors().expect("it is written");
        // `registered` has the smallest type, so the format puts it last.
        if let Some(last) = bytes.last_mut() {
            *last = 2;
        }
        assert_eq!(refused(&bytes), "registered[1] is 2 instead of 0 or 1");
    }
}

//! Reads a safetensors file tensor by tensor.

use positioned_io::{ReadAt, Size};
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError};

use super::PredictionFileError;
use crate::stored;

/// Bytes of the length of the header, at the beginning of a file.
const LENGTH: u64 = 8;
/// Longest header in bytes. One of a prediction has a few hundred.
const LONGEST_HEADER: u64 = 1 << 20;

/// An open file.
#[derive(Debug)]
pub(super) struct TensorFile<F> {
    file: F,
    metadata: Metadata,
    /// Where the data of the first tensor begin.
    begin: u64,
}

impl<F: ReadAt + Size> TensorFile<F> {
    /// Reads the header.
    pub fn open(file: F) -> Result<Self, PredictionFileError> {
        let size = file.size().map_err(PredictionFileError::Read)?;
        let size = size.unwrap_or_default();
        if size < LENGTH {
            return Err(PredictionFileError::Format(SafeTensorError::HeaderTooSmall));
        }
        let mut length = [0; LENGTH as usize];
        file.read_exact_at(0, &mut length)
            .map_err(PredictionFileError::Read)?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER {
            return Err(PredictionFileError::Format(SafeTensorError::HeaderTooLarge));
        }
        let begin = LENGTH + length;
        if begin > size {
            let error = SafeTensorError::InvalidHeaderLength;
            return Err(PredictionFileError::Format(error));
        }
        let header =
            stored::bytes(&file, LENGTH, length as usize).map_err(PredictionFileError::Read)?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| {
            PredictionFileError::Format(SafeTensorError::InvalidHeaderDeserialization(error))
        })?;
        if begin.checked_add(metadata.data_len() as u64) != Some(size) {
            let error = SafeTensorError::MetadataIncompleteBuffer;
            return Err(PredictionFileError::Format(error));
        }
        Ok(Self {
            file,
            metadata,
            begin,
        })
    }

    pub fn has(&self, name: &str) -> bool {
        self.metadata.info(name).is_some()
    }

    /// A tensor, which must have this type.
    pub fn tensor(
        &self,
        name: &'static str,
        expected: Dtype,
    ) -> Result<Tensor<'_, F>, PredictionFileError> {
        let info = self.metadata.info(name);
        let info = info.ok_or(PredictionFileError::Missing(name))?;
        if info.dtype != expected {
            return Err(PredictionFileError::Dtype {
                tensor: name,
                found: info.dtype,
                expected,
            });
        }
        Ok(Tensor {
            name,
            file: self,
            info,
        })
    }

    /// A tensor, which must have this type and shape.
    pub fn tensor_of(
        &self,
        name: &'static str,
        dtype: Dtype,
        shape: &[usize],
    ) -> Result<Tensor<'_, F>, PredictionFileError> {
        let tensor = self.tensor(name, dtype)?;
        if tensor.shape() != shape {
            return Err(tensor.wrong_shape(format!("{shape:?}")));
        }
        Ok(tensor)
    }

    pub fn into_file(self) -> F {
        self.file
    }
}

/// A tensor that has not been read yet.
pub(super) struct Tensor<'a, F> {
    name: &'static str,
    file: &'a TensorFile<F>,
    info: &'a TensorInfo,
}

impl<F: ReadAt> Tensor<'_, F> {
    pub fn shape(&self) -> &[usize] {
        &self.info.shape
    }

    /// Where its data begin in the file.
    pub fn position(&self) -> u64 {
        self.file.begin + self.info.data_offsets.0 as u64
    }

    fn length(&self) -> usize {
        let (begin, end) = self.info.data_offsets;
        end - begin
    }

    pub fn bytes(&self) -> Result<Vec<u8>, PredictionFileError> {
        let bytes = stored::bytes(&self.file.file, self.position(), self.length());
        bytes.map_err(PredictionFileError::Read)
    }

    /// The numbers of a tensor of type F32.
    pub fn floats(&self) -> Result<Vec<f32>, PredictionFileError> {
        let count = self.length() / size_of::<f32>();
        let floats = stored::floats(&self.file.file, self.position(), count);
        floats.map_err(PredictionFileError::Read)
    }

    /// The numbers of a tensor of type F64, in groups of `N`.
    pub fn doubles<const N: usize>(&self) -> Result<Vec<[f64; N]>, PredictionFileError> {
        let bytes = self.bytes()?;
        let (numbers, _) = bytes.as_chunks();
        let (groups, _) = numbers.as_chunks::<N>();
        Ok(groups
            .iter()
            .map(|group| group.map(f64::from_le_bytes))
            .collect())
    }

    pub fn wrong_shape(&self, expected: String) -> PredictionFileError {
        PredictionFileError::Shape {
            tensor: self.name,
            found: self.shape().to_vec(),
            expected,
        }
    }
}

//! Images to send: files or bytes, with their cameras if these are known.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::matrix::{Matrix3, Matrix4};
use crate::refusal::Refusal;

/// The camera of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownCamera {
    /// In pixels of the image after EXIF orientation; (0, 0) is the centre of the top left pixel.
    pub intrinsics: Matrix3,
    /// World to camera (x right, y down, z forward), in one world and one unit for all images.
    pub extrinsics: Matrix4,
    /// Standard deviation of its position along each axis, in the unit of `extrinsics`, if it is known.
    pub position_deviation: Option<f64>,
    /// Standard deviation of its rotation about each axis, in degrees, if it is known.
    pub rotation_deviation: Option<f64>,
}

impl KnownCamera {
    /// A camera of which nobody says how far it may be off.
    pub fn new(intrinsics: Matrix3, extrinsics: Matrix4) -> Self {
        Self {
            intrinsics,
            extrinsics,
            position_deviation: None,
            rotation_deviation: None,
        }
    }
}

/// An image file, as a path or as its bytes.
#[derive(Clone, Debug)]
pub struct Image {
    source: Source,
    name: Option<String>,
    camera: Option<KnownCamera>,
}

#[derive(Clone, Debug)]
enum Source {
    File(PathBuf),
    Bytes(Bytes),
}

impl Image {
    /// A file. It is read when it is sent.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Source::File(path.into()))
    }

    /// The bytes of a file.
    pub fn bytes(data: impl Into<Bytes>) -> Self {
        Self::new(Source::Bytes(data.into()))
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            name: None,
            camera: None,
        }
    }

    /// A label, by default the name of the file. The server names images without one.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The camera, if it is known.
    #[must_use]
    pub fn camera(mut self, camera: KnownCamera) -> Self {
        self.camera = Some(camera);
        self
    }

    fn label(&self) -> Option<String> {
        if let (None, Source::File(path)) = (&self.name, &self.source) {
            return Some(path.file_name()?.to_string_lossy().into_owned());
        }
        self.name.clone()
    }

    /// The fields of its message but for the data.
    pub(crate) fn fields(&self) -> Result<Map<String, Value>, Error> {
        let mut fields = Map::new();
        if let Some(label) = self.label() {
            fields.insert("filename".to_owned(), label.into());
        }
        if let Some(KnownCamera {
            intrinsics,
            extrinsics,
            position_deviation,
            rotation_deviation,
        }) = &self.camera
        {
            let mut all = intrinsics
                .as_flattened()
                .iter()
                .chain(extrinsics.as_flattened());
            if !all.all(|value| value.is_finite()) {
                return Err(Error::InvalidArgument(
                    "the numbers of a camera must be finite".to_owned(),
                ));
            }
            fields.insert("intrinsics".to_owned(), json!(intrinsics));
            fields.insert("extrinsics".to_owned(), json!(extrinsics));
            for (name, deviation) in [
                ("position_deviation", position_deviation),
                ("rotation_deviation", rotation_deviation),
            ] {
                let Some(deviation) = deviation else { continue };
                if !(deviation.is_finite() && *deviation > 0.0) {
                    let message = format!("{name} must be a finite number above 0");
                    return Err(Error::InvalidArgument(message));
                }
                fields.insert(name.to_owned(), json!(deviation));
            }
        }
        Ok(fields)
    }

    /// The bytes of the file.
    pub(crate) async fn read(&self, longest: Option<u64>) -> Result<Bytes, Error> {
        match &self.source {
            Source::Bytes(data) => {
                self.check(data.len() as u64, longest)?;
                Ok(data.clone())
            }
            Source::File(path) => {
                let failed = |error: std::io::Error| Error::file(path, &error);
                // Before it is in memory.
                let size = tokio::fs::metadata(path).await.map_err(failed)?.len();
                self.check(size, longest)?;
                Ok(tokio::fs::read(path).await.map_err(failed)?.into())
            }
        }
    }

    /// The server would close the connection, and the image would be sent again for nothing.
    fn check(&self, size: u64, longest: Option<u64>) -> Result<(), Error> {
        let Some(longest) = longest.filter(|longest| size > *longest) else {
            return Ok(());
        };
        let message =
            format!("the image has {size} bytes, more than the {longest} that the server takes");
        let refusal = Refusal {
            filename: self.label(),
            ..Refusal::new(message).code("image_too_large")
        };
        Err(refusal.into_error())
    }
}

impl From<PathBuf> for Image {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}

impl From<&PathBuf> for Image {
    fn from(path: &PathBuf) -> Self {
        Self::file(path)
    }
}

impl From<&Path> for Image {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

impl From<Bytes> for Image {
    fn from(data: Bytes) -> Self {
        Self::bytes(data)
    }
}

impl From<Vec<u8>> for Image {
    fn from(data: Vec<u8>) -> Self {
        Self::bytes(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_names_unless_others_are_given() {
        let file = Image::file("photos/a.jpg");
        assert_eq!(file.fields().unwrap()["filename"], "a.jpg");
        assert_eq!(file.name("b").fields().unwrap()["filename"], "b");
        assert!(Image::bytes(vec![1]).fields().unwrap().is_empty());
    }

    #[test]
    fn cameras_must_be_finite() {
        let intrinsics = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let mut camera = KnownCamera::new(intrinsics, crate::matrix::IDENTITY);
        let fields = Image::bytes(vec![1])
            .camera(camera.clone())
            .fields()
            .unwrap();
        assert_eq!(fields["extrinsics"][3], json!([0.0, 0.0, 0.0, 1.0]));
        assert!(!fields.contains_key("position_deviation"));
        camera.position_deviation = Some(0.02);
        let image = Image::bytes(vec![1]).camera(camera.clone());
        assert_eq!(image.fields().unwrap()["position_deviation"], json!(0.02));
        camera.position_deviation = Some(-0.02);
        let image = Image::bytes(vec![1]).camera(camera.clone());
        assert!(image.fields().is_err());
        camera.position_deviation = None;
        camera.extrinsics[0][3] = f64::NAN;
        assert!(Image::bytes(vec![1]).camera(camera).fields().is_err());
    }

    #[tokio::test]
    async fn a_file_that_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        std::fs::write(&path, [0; 11]).unwrap();
        let image = Image::from(&path);
        assert_eq!(image.read(Some(11)).await.unwrap().len(), 11);
        let error = image.read(Some(10)).await.unwrap_err();
        let refusal = error.refusal().unwrap();
        assert_eq!(refusal.filename.as_deref(), Some("a.jpg"));
        assert!(matches!(error, Error::ImageRefused(_)));
        let error = Image::file("/nowhere/a.jpg").read(None).await.unwrap_err();
        assert!(matches!(error, Error::File { .. }));
    }
}

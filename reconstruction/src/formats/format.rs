//! File formats of a result.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A file format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultFormat {
    /// Binary glTF: points, cameras and frustums.
    Glb,
    /// Binary PLY: points with colour and confidence.
    Ply,
    /// A zip file of a COLMAP model, as text and binary, with the images.
    Colmap,
    /// Arrays for NumPy: depth, confidence and cameras.
    Npz,
    /// A zip file of `transforms.json` with the images and points.
    Nerfstudio,
}

/// No format has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no format {0:?}; use glb, ply, colmap, npz or nerfstudio")]
pub struct UnknownFormat(pub String);

impl ResultFormat {
    pub const ALL: [Self; 5] = [
        Self::Glb,
        Self::Ply,
        Self::Colmap,
        Self::Npz,
        Self::Nerfstudio,
    ];

    /// The name that clients use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Glb => "glb",
            Self::Ply => "ply",
            Self::Colmap => "colmap",
            Self::Npz => "npz",
            Self::Nerfstudio => "nerfstudio",
        }
    }

    /// The extension of such files, without the first dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Glb => "glb",
            Self::Ply => "ply",
            Self::Colmap => "colmap.zip",
            Self::Npz => "npz",
            Self::Nerfstudio => "nerfstudio.zip",
        }
    }

    /// The media type. PLY and NPZ have no registered one.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Glb => "model/gltf-binary",
            Self::Ply | Self::Npz => "application/octet-stream",
            Self::Colmap | Self::Nerfstudio => "application/zip",
        }
    }

    /// The format with the [extension](Self::extension) of a file name, in any case.
    pub fn of_file_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Self::ALL.into_iter().find(|format| {
            name.strip_suffix(format.extension())
                .is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

impl fmt::Display for ResultFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for ResultFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| UnknownFormat(text.chars().take(100).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for format in ResultFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            let file = format!("a.b/Scene.{}", format.extension().to_uppercase());
            assert_eq!(ResultFormat::of_file_name(&file), Some(format));
        }
        let error = "obj".parse::<ResultFormat>().unwrap_err().to_string();
        for format in ResultFormat::ALL {
            assert!(error.contains(format.name()), "{error}");
        }
    }

    #[test]
    fn other_file_names_have_no_format() {
        for name in ["scene", "ply", "scene.zip", "scene.obj", "scenecolmap.zip"] {
            assert_eq!(ResultFormat::of_file_name(name), None, "{name}");
        }
    }
}

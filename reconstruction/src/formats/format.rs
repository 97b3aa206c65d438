//! File formats of a result.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::word_list;

/// A file format of a result.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[strum(
    serialize_all = "snake_case",
    parse_err_fn = unknown_format,
    parse_err_ty = UnknownFormat
)]
pub enum ResultFormat {
    /// Binary glTF: points, cameras and frustums.
    Glb,
    /// Binary PLY: points with colour and confidence.
    Ply,
    /// A zip file of a COLMAP model, as text and binary, with the images.
    Colmap,
    /// The same with the photos at full resolution, without distortion.
    ColmapOriginal,
    /// Arrays for NumPy: depth, confidence and cameras.
    Npz,
    /// A zip file of `transforms.json` with the images, depth maps and points.
    Nerfstudio,
    /// The same with the photos at full resolution, without distortion.
    NerfstudioOriginal,
    /// LAS: points with colour and confidence.
    Las,
    /// LAZ: the same, compressed.
    Laz,
    /// E57: points with colour.
    E57,
    /// Text: points with colour.
    Xyz,
    /// Comma-separated values: points with colour and confidence.
    Csv,
    /// Binary glTF: a mesh with coloured vertices.
    MeshGlb,
    /// Binary PLY: the same.
    MeshPly,
    /// Wavefront OBJ: the same as text.
    MeshObj,
}

/// No format has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no format {0:?}; use {names}",
    names = word_list(ResultFormat::VARIANTS.iter().map(<&str>::from), "or")
)]
pub struct UnknownFormat(pub String);

fn unknown_format(name: &str) -> UnknownFormat {
    UnknownFormat(name.chars().take(100).collect())
}

impl ResultFormat {
    /// The extension of such files, without the first dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Glb => "glb",
            Self::Ply => "ply",
            Self::Colmap => "colmap.zip",
            Self::ColmapOriginal => "original.colmap.zip",
            Self::Npz => "npz",
            Self::Nerfstudio => "nerfstudio.zip",
            Self::NerfstudioOriginal => "original.nerfstudio.zip",
            Self::Las => "las",
            Self::Laz => "laz",
            Self::E57 => "e57",
            Self::Xyz => "xyz",
            Self::Csv => "csv",
            Self::MeshGlb => "mesh.glb",
            Self::MeshPly => "mesh.ply",
            Self::MeshObj => "obj",
        }
    }

    /// The [extension](Self::extension) of every format, after a dot.
    pub fn endings() -> impl Iterator<Item = String> {
        let formats = Self::VARIANTS.iter();
        formats.map(|format| format!(".{}", format.extension()))
    }

    /// The media type. PLY, NPZ, E57 and XYZ have no registered one.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Glb | Self::MeshGlb => "model/gltf-binary",
            Self::MeshObj => "model/obj",
            Self::Ply | Self::MeshPly | Self::Npz | Self::E57 | Self::Xyz => {
                "application/octet-stream"
            }
            Self::Colmap | Self::ColmapOriginal | Self::Nerfstudio | Self::NerfstudioOriginal => {
                "application/zip"
            }
            Self::Las => "application/vnd.las",
            Self::Laz => "application/vnd.laszip",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// Whether it is made of depth maps and not of points.
    pub const fn is_mesh(self) -> bool {
        matches!(self, Self::MeshGlb | Self::MeshPly | Self::MeshObj)
    }

    /// The format with the [extension](Self::extension) of a file name, in any case.
    pub fn of_file_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let fits = |format: &Self| {
            let rest = name.strip_suffix(format.extension());
            rest.is_some_and(|rest| rest.ends_with('.'))
        };
        let found = Self::VARIANTS.iter().copied().filter(fits);
        // An extension may end with that of another format.
        found.max_by_key(|format| format.extension().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for format in ResultFormat::VARIANTS.iter().copied() {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(serde_json::to_value(format).unwrap(), format.to_string());
            let file = format!("a.b/Scene.{}", format.extension().to_uppercase());
            assert_eq!(ResultFormat::of_file_name(&file), Some(format));
        }
        let error = "obj".parse::<ResultFormat>().unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no format \"obj\"; use glb, ply, colmap, colmap_original, npz, nerfstudio, \
             nerfstudio_original, las, laz, e57, xyz, csv, mesh_glb, mesh_ply or \
             mesh_obj"
        );
    }

    #[test]
    fn other_file_names_have_no_format() {
        for name in ["scene", "ply", "scene.zip", "scene.stl", "scenecolmap.zip"] {
            assert_eq!(ResultFormat::of_file_name(name), None, "{name}");
        }
    }
}

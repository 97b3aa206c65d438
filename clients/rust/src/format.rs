//! The formats of results.

use std::path::Path;

use crate::error::Error;

/// A format of results. docs/formats.md describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of the protocol")]
pub enum Format {
    Glb,
    Ply,
    Colmap,
    ColmapOriginal,
    Npz,
    Nerfstudio,
    NerfstudioOriginal,
    Las,
    Laz,
    Xyz,
    Csv,
    E57,
    MeshGlb,
    MeshPly,
    MeshObj,
    Html,
    Json,
}

/// All of them, in the order in which extensions are tried: some end as others do.
const ALL: [Format; 17] = [
    Format::MeshGlb,
    Format::MeshPly,
    Format::ColmapOriginal,
    Format::NerfstudioOriginal,
    Format::Glb,
    Format::Ply,
    Format::Npz,
    Format::Colmap,
    Format::Nerfstudio,
    Format::Las,
    Format::Laz,
    Format::Xyz,
    Format::Csv,
    Format::E57,
    Format::MeshObj,
    Format::Html,
    Format::Json,
];

impl Format {
    /// Its name in the protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.names().0
    }

    /// Its name, and the extension of its files.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Glb => ("glb", ".glb"),
            Self::Ply => ("ply", ".ply"),
            Self::Colmap => ("colmap", ".colmap.zip"),
            Self::ColmapOriginal => ("colmap_original", ".original.colmap.zip"),
            Self::Npz => ("npz", ".npz"),
            Self::Nerfstudio => ("nerfstudio", ".nerfstudio.zip"),
            Self::NerfstudioOriginal => ("nerfstudio_original", ".original.nerfstudio.zip"),
            Self::Las => ("las", ".las"),
            Self::Laz => ("laz", ".laz"),
            Self::Xyz => ("xyz", ".xyz"),
            Self::Csv => ("csv", ".csv"),
            Self::E57 => ("e57", ".e57"),
            Self::MeshGlb => ("mesh_glb", ".mesh.glb"),
            Self::MeshPly => ("mesh_ply", ".mesh.ply"),
            Self::MeshObj => ("mesh_obj", ".obj"),
            Self::Html => ("html", ".html"),
            Self::Json => ("json", ".json"),
        }
    }

    /// The format that the extension of a file names.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_lowercase();
        let mut all = ALL.into_iter();
        let found = all.find(|format| name.ends_with(format.names().1));
        found.ok_or_else(|| {
            let extensions = ALL.map(|format| format.names().1);
            Error::InvalidArgument(format!(
                "{name} has none of the extensions {}: give the format",
                extensions.join(", ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_name_formats() {
        for (name, format) in [
            ("a.glb", Format::Glb),
            ("A.LAZ", Format::Laz),
            ("a.mesh.glb", Format::MeshGlb),
            ("a.colmap.zip", Format::Colmap),
            ("a.original.colmap.zip", Format::ColmapOriginal),
        ] {
            assert_eq!(Format::of(Path::new(name)).unwrap(), format);
        }
        let error = Format::of(Path::new("a.zip")).unwrap_err().to_string();
        assert!(error.contains("a.zip") && error.contains(".nerfstudio.zip"));
    }
}

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
    Html,
    Json,
}

/// Formats with their names, and the extensions of their files. The first that fits counts.
const ALL: [(Format, &str, &str); 13] = [
    (
        Format::ColmapOriginal,
        "colmap_original",
        ".original.colmap.zip",
    ),
    (
        Format::NerfstudioOriginal,
        "nerfstudio_original",
        ".original.nerfstudio.zip",
    ),
    (Format::Glb, "glb", ".glb"),
    (Format::Ply, "ply", ".ply"),
    (Format::Npz, "npz", ".npz"),
    (Format::Colmap, "colmap", ".colmap.zip"),
    (Format::Nerfstudio, "nerfstudio", ".nerfstudio.zip"),
    (Format::Las, "las", ".las"),
    (Format::Laz, "laz", ".laz"),
    (Format::Xyz, "xyz", ".xyz"),
    (Format::Csv, "csv", ".csv"),
    (Format::Html, "html", ".html"),
    (Format::Json, "json", ".json"),
];

impl Format {
    /// Its name in the protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = ALL.iter().find(|(format, ..)| *format == self);
        found.map_or("glb", |(_, name, _)| name)
    }

    /// The format that the extension of a file names.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_lowercase();
        let found = ALL.iter().find(|(.., extension)| name.ends_with(extension));
        found.map(|(format, ..)| *format).ok_or_else(|| {
            let extensions: Vec<&str> = ALL.iter().map(|(.., extension)| *extension).collect();
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
            ("a.colmap.zip", Format::Colmap),
            ("a.original.colmap.zip", Format::ColmapOriginal),
        ] {
            assert_eq!(Format::of(Path::new(name)).unwrap(), format);
        }
        let error = Format::of(Path::new("a.zip")).unwrap_err().to_string();
        assert!(error.contains("a.zip") && error.contains(".nerfstudio.zip"));
    }
}

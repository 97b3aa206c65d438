//! How a GLB stores its points.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::word_list;

/// How the points of a GLB are stored. Colours are always exact; cameras and their lines are never
/// compressed.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(
    serialize_all = "snake_case",
    parse_err_fn = unknown_compression,
    parse_err_ty = UnknownGlbCompression
)]
pub enum GlbCompression {
    /// 16 bytes a point: positions in single precision. Any glTF 2.0 viewer can read it.
    #[default]
    None,
    /// 12 bytes a point: positions with 16 bits for each axis of their bounding box
    /// (`KHR_mesh_quantization`).
    Quantized,
    /// The quantised numbers, compressed without loss (`EXT_meshopt_compression`).
    Meshopt,
}

/// No [`GlbCompression`] has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown compression {0:?}; the compressions are {names}",
    names = word_list(GlbCompression::VARIANTS.iter().map(<&str>::from), "and")
)]
pub struct UnknownGlbCompression(pub String);

fn unknown_compression(name: &str) -> UnknownGlbCompression {
    UnknownGlbCompression(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for compression in GlbCompression::VARIANTS.iter().copied() {
            assert_eq!(compression.to_string().parse(), Ok(compression));
            let json = serde_json::to_value(compression).unwrap();
            assert_eq!(json, compression.to_string());
        }
        let error = "gzip".parse::<GlbCompression>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown compression \"gzip\"; the compressions are none, quantized and meshopt"
        );
    }
}

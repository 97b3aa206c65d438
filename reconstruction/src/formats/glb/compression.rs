//! How a GLB stores its points.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the points of a GLB are stored. Colours are always exact; cameras and their lines are never
/// compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
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

impl GlbCompression {
    pub const ALL: [Self; 3] = [Self::None, Self::Quantized, Self::Meshopt];

    /// The name that clients use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quantized => "quantized",
            Self::Meshopt => "meshopt",
        }
    }
}

impl fmt::Display for GlbCompression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// No [`GlbCompression`] has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression {0:?}; the compressions are none, quantized and meshopt")]
pub struct UnknownGlbCompression(pub String);

impl FromStr for GlbCompression {
    type Err = UnknownGlbCompression;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|compression| compression.as_str() == name)
            .ok_or_else(|| UnknownGlbCompression(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for compression in GlbCompression::ALL {
            assert_eq!(compression.to_string().parse(), Ok(compression));
            let json = serde_json::to_value(compression).unwrap();
            assert_eq!(json, compression.as_str());
        }
        let error = "gzip".parse::<GlbCompression>().unwrap_err().to_string();
        for compression in GlbCompression::ALL {
            assert!(error.contains(compression.as_str()), "{error}");
        }
    }
}

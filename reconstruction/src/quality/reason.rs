//! What can be wrong with a result, and what to do.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::prediction::ReportedReason;

/// What is wrong with a result or one of its images.
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
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum QualityReason {
    /// The camera hardly moved, so depth cannot be measured.
    NoParallax,
    /// The camera turned, but did not move.
    RotationOnly,
    /// Too few details were found again in other images.
    TooFewMatches,
    /// The image shares nothing with the rest, or the images are separate pieces.
    NotConnected,
    /// Several placements of the camera explain the image.
    Ambiguous,
    /// The size of the scene is arbitrary between the images: they are too close together.
    DegenerateScale,
    /// The field of view of the camera is uncertain, and with it the depth of the scene.
    UncertainFocalLength,
    /// The image is nearly black.
    TooDark,
    /// The image is blurred, or has no detail.
    Blurred,
    /// The image has the same pixels as an earlier one.
    Duplicates,
    /// The images come from cameras or zoom settings that do not fit one another.
    MixedCameras,
    /// The image's shape differs too much from that of the others to be cropped with them.
    OddShape,
    /// No pixel, or hardly any, has a reliable depth.
    NoConfidentPixels,
    /// Depth or cameras are impossible, so they are not used.
    ImplausibleGeometry,
    /// One image, or copies of one, are not enough for this model.
    TooFewImages,
    /// The filters of the request removed all points.
    AllFiltered,
}

impl QualityReason {
    /// The name in the protocol.
    pub fn wire_name(self) -> &'static str {
        self.into()
    }

    /// What it means and what to do, in a sentence for people.
    pub fn advice(self) -> &'static str {
        match self {
            Self::NoParallax => {
                "the camera hardly moved between photos, so depth is a guess: take a step to the \
                 side between photos"
            }
            Self::RotationOnly => {
                "the camera turned but did not move: take a step to the side between photos"
            }
            Self::TooFewMatches => {
                "too few details were found again in other photos: move less between photos, and \
                 avoid bare, shiny or moving things"
            }
            Self::NotConnected => {
                "photos do not overlap with the others: add photos in between, so that each one \
                 shows most of what the one before shows"
            }
            Self::Ambiguous => {
                "photos fit in several ways, for example because things in the scene look alike: \
                 add photos in between, with more of the surroundings"
            }
            Self::DegenerateScale => {
                "the photos were taken too close together for the distance of the scene: take \
                 longer steps to the side"
            }
            Self::UncertainFocalLength => {
                "the camera's field of view could not be found out, so depth may be stretched: add \
                 photos from the sides or send the known intrinsics"
            }
            Self::TooDark => "photos are too dark: take them again with more light",
            Self::Blurred => {
                "photos are blurred or show nothing with detail: take them again and hold the \
                 camera still"
            }
            Self::Duplicates => {
                "some photos are copies of others and add nothing: leave them out, or take photos \
                 from other places instead"
            }
            Self::MixedCameras => {
                "the photos come from different cameras or zoom settings: use one camera and do \
                 not zoom"
            }
            Self::OddShape => {
                "photos of another shape, such as panoramas, were set aside: send photos of one \
                 shape"
            }
            Self::NoConfidentPixels => {
                "hardly anything in the photos has a reliable depth: take sharp photos of a scene \
                 with detail, from several places"
            }
            Self::ImplausibleGeometry => {
                "the model gave impossible depths or camera positions, which were left out: take \
                 more photos that overlap, and move to the side between them"
            }
            Self::TooFewImages => {
                "there are too few different photos: add photos of the same scene from other places"
            }
            Self::AllFiltered => {
                "the filters removed all points: turn off filter_black_bg, filter_white_bg or \
                 filter_edges"
            }
        }
    }
}

impl From<ReportedReason> for QualityReason {
    fn from(reason: ReportedReason) -> Self {
        match reason {
            ReportedReason::TooFewMatches => Self::TooFewMatches,
            ReportedReason::NotConnected => Self::NotConnected,
            ReportedReason::NoParallax => Self::NoParallax,
            ReportedReason::RotationOnly => Self::RotationOnly,
            ReportedReason::Ambiguous => Self::Ambiguous,
            ReportedReason::MixedCameras => Self::MixedCameras,
            ReportedReason::DegenerateScale => Self::DegenerateScale,
            ReportedReason::UncertainFocalLength => Self::UncertainFocalLength,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_says_something_of_its_own() {
        let advice: std::collections::BTreeSet<_> = QualityReason::VARIANTS
            .iter()
            .map(|reason| reason.advice())
            .collect();
        assert_eq!(advice.len(), QualityReason::VARIANTS.len());
        assert!(advice.iter().all(|advice| advice.contains(": ")));
    }

    #[test]
    fn the_protocol_lists_every_reason_with_its_advice() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");
        let protocol = std::fs::read_to_string(path).expect("it is in the repository");
        for reason in QualityReason::VARIANTS {
            let (name, advice) = (reason.wire_name(), format!("| {} |", reason.advice()));
            let row = protocol
                .lines()
                .find(|line| line.starts_with(&format!("| `{name}` | ")));
            let row = row.unwrap_or_else(|| panic!("{name} is missing"));
            assert!(row.ends_with(&advice), "{row}");
        }
    }
}

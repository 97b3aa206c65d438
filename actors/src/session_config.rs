//! The parameters that a client chooses for its session.

use pointstream_reconstruction::cloud::{CloudOptions, PointFilters, VoxelSize};
use pointstream_reconstruction::formats::glb::GlbCompression;
use pointstream_reconstruction::image::ProcessResMethod;
use pointstream_reconstruction::map::WindowPlan;
use pointstream_reconstruction::word_list;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use thiserror::Error;
use utoipa::ToSchema;

/// Parameters of a session, with the protocol's names and defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionConfig {
    /// Images that the session may hold.
    pub max_images: u32,
    /// Processing resolution in pixels: the longest side for `upper_bound_*`, the shortest for
    /// `lower_bound_*`.
    pub process_res: u32,
    /// How images are brought to the processing resolution.
    pub process_res_method: ProcessResMethod,
    /// Points whose confidence is below this percentile are left out, 0 to 100.
    pub conf_thresh_percentile: f64,
    /// Points of a result at most.
    pub num_max_points: u64,
    /// Whether a result shows the cameras as lines.
    pub show_cameras: bool,
    /// Frames of one run of the model; more are placed a few at a time. 0 lets the service choose.
    pub window: u32,
    /// How the final result of more frames is made.
    pub finalize_mode: FinalizeMode,
    /// The options of the point cloud.
    #[serde(flatten)]
    pub points: PointOptions,
}

/// How the final result of more frames than one run of the model takes is made.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
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
    parse_err_fn = unknown_mode,
    parse_err_ty = UnknownFinalizeMode
)]
pub enum FinalizeMode {
    /// `whole` for up to 120 images, else `refine`.
    #[default]
    Auto,
    /// From the map, after another try to place the frames that could not be placed.
    Refine,
    /// By one run of the model over all frames.
    Whole,
}

/// No mode has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "there is no mode {0:?}; use {names}",
    names = word_list(FinalizeMode::VARIANTS.iter().map(<&str>::from), "or")
)]
pub struct UnknownFinalizeMode(pub String);

fn unknown_mode(name: &str) -> UnknownFinalizeMode {
    UnknownFinalizeMode(name.chars().take(100).collect())
}

/// The options of the point cloud: parameters of a session beyond the base protocol.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PointOptions {
    /// Whether points at discontinuities of the depth are left out.
    pub filter_edges: bool,
    /// Edge of the cubes of which each keeps one point, in units of the GLB; 0 keeps all points.
    pub voxel_size: f64,
    /// Whether black points are left out.
    pub filter_black_bg: bool,
    /// Whether white points are left out.
    pub filter_white_bg: bool,
    /// How a GLB holds its points.
    pub glb_compression: GlbCompression,
}

impl PointOptions {
    /// Which points are left out.
    pub(crate) fn filters(&self) -> PointFilters {
        PointFilters {
            edges: self.filter_edges,
            black_background: self.filter_black_bg,
            white_background: self.filter_white_bg,
            voxel_size: VoxelSize::new(self.voxel_size),
        }
    }
}

/// Frames of a window if the client does not choose: the embedded model needs about so many for
/// its lens, and takes a few seconds for them.
const DEFAULT_WINDOW: usize = 24;

/// Largest `voxel_size`. Sessions have worlds of a few units, or of metres.
pub const MAX_VOXEL_SIZE: f64 = 1e6;

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            max_images: 100,
            process_res: 504,
            process_res_method: ProcessResMethod::UpperBoundResize,
            conf_thresh_percentile: 10.0,
            num_max_points: 10_000_000,
            show_cameras: true,
            window: 0,
            finalize_mode: FinalizeMode::Auto,
            points: PointOptions::default(),
        }
    }
}

/// Largest values that a session may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigLimits {
    /// For `max_images`.
    pub max_images: u32,
    /// Smallest `process_res`: the model's patch size.
    pub min_process_res: u32,
    /// Largest `process_res`: what the model accepts.
    pub max_process_res: u32,
    /// For `num_max_points`.
    pub num_max_points: u64,
}

/// A parameter outside its range.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{parameter} must be between {min} and {max}, but it is {value}")]
pub struct OutOfRange {
    /// Name of the parameter.
    pub parameter: &'static str,
    /// The requested value.
    pub value: f64,
    /// Smallest value allowed.
    pub min: f64,
    /// Largest value allowed.
    pub max: f64,
}

/// A parameter and the range that it may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Name of the parameter.
    pub parameter: &'static str,
    /// The value.
    pub value: f64,
    /// Smallest value allowed.
    pub min: f64,
    /// Largest value allowed.
    pub max: f64,
}

impl SessionConfig {
    /// How a point cloud is made of a prediction.
    pub fn cloud_options(&self) -> CloudOptions {
        CloudOptions {
            conf_thresh_percentile: self.conf_thresh_percentile,
            num_max_points: usize::try_from(self.num_max_points).unwrap_or(usize::MAX),
            show_cameras: self.show_cameras,
            filters: self.points.filters(),
        }
    }

    /// How many frames a run of the model gets; by the service's choice at most `fitting`, the number
    /// that its device has memory for. `extends` says whether the model can extend a map.
    pub(crate) fn window_plan(&self, extends: bool, fitting: usize) -> WindowPlan {
        let frames = match self.window {
            0 => DEFAULT_WINDOW.min(fitting),
            window => usize::try_from(window).unwrap_or(usize::MAX),
        };
        match extends {
            true => WindowPlan::of(frames),
            false => WindowPlan::joined(frames),
        }
    }

    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`OutOfRange`] for the first one that does not fit.
    pub fn check(&self, limits: &ConfigLimits) -> Result<(), OutOfRange> {
        for Range {
            parameter,
            value,
            min,
            max,
        } in self.ranges(limits)
        {
            // Written so that NaN is refused too.
            if !(value >= min && value <= max) {
                return Err(OutOfRange {
                    parameter,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }

    /// The numeric parameters and their ranges.
    pub fn ranges(&self, limits: &ConfigLimits) -> Vec<Range> {
        let ranges = [
            (
                "max_images",
                f64::from(self.max_images),
                1.0,
                f64::from(limits.max_images),
            ),
            (
                "process_res",
                f64::from(self.process_res),
                f64::from(limits.min_process_res),
                f64::from(limits.max_process_res),
            ),
            (
                "conf_thresh_percentile",
                self.conf_thresh_percentile,
                0.0,
                100.0,
            ),
            (
                "num_max_points",
                self.num_max_points as f64,
                1.0,
                limits.num_max_points as f64,
            ),
            ("voxel_size", self.points.voxel_size, 0.0, MAX_VOXEL_SIZE),
            (
                "window",
                f64::from(self.window),
                // 0 is no number of frames, but stands for the service's choice.
                if self.window == 0 {
                    0.0
                } else {
                    WindowPlan::LEAST as f64
                },
                f64::from(limits.max_images).max(WindowPlan::LEAST as f64),
            ),
        ];
        ranges
            .into_iter()
            .map(|(parameter, value, min, max)| Range {
                parameter,
                value,
                min,
                max,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConfigLimits = ConfigLimits {
        max_images: 1000,
        min_process_res: 14,
        max_process_res: 1008,
        num_max_points: 10_000_000,
    };

    #[test]
    fn defaults_are_in_range() {
        assert_eq!(SessionConfig::default().check(&LIMITS), Ok(()));
    }

    #[test]
    fn names_the_parameter_and_its_range() {
        let config = SessionConfig {
            process_res: 2000,
            ..SessionConfig::default()
        };
        let error = config.check(&LIMITS).expect_err("2000 is beyond the limit");
        assert_eq!(
            error.to_string(),
            "process_res must be between 14 and 1008, but it is 2000"
        );
    }

    #[test]
    fn refuses_not_a_number() {
        let config = SessionConfig {
            conf_thresh_percentile: f64::NAN,
            ..SessionConfig::default()
        };
        assert!(config.check(&LIMITS).is_err());
        for voxel_size in [f64::NAN, f64::INFINITY, -1.0] {
            let points = PointOptions {
                voxel_size,
                ..PointOptions::default()
            };
            let config = SessionConfig {
                points,
                ..SessionConfig::default()
            };
            assert!(config.check(&LIMITS).is_err(), "{voxel_size}");
        }
    }

    #[test]
    fn no_filter_is_on_by_default() {
        assert!(SessionConfig::default().cloud_options().filters.is_off());
    }
}

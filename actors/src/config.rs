//! What a client decides about its session.

use pointstream_reconstruction::image::ProcessResMethod;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Parameters of a session, with the protocol's names and defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            max_images: 100,
            process_res: 504,
            process_res_method: ProcessResMethod::UpperBoundResize,
            conf_thresh_percentile: 10.0,
            num_max_points: 10_000_000,
            show_cameras: true,
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
    /// What was asked for.
    pub value: f64,
    /// Smallest value allowed.
    pub min: f64,
    /// Largest value allowed.
    pub max: f64,
}

impl SessionConfig {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`OutOfRange`] for the first one that does not fit.
    pub fn check(&self, limits: &ConfigLimits) -> Result<(), OutOfRange> {
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
        ];
        for (parameter, value, min, max) in ranges {
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
    }
}

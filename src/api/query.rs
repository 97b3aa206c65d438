//! Parameters in the query of a URL.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use pointstream_actors::{
    AttachOptions, ConfigLimits, Deltas, DeltasKind, ErrorCode, OutOfRange, PointOptions,
    SessionConfig,
};
use pointstream_reconstruction::word_list;
use warp::http::StatusCode;

use super::error::ApiError;
use crate::nearest::nearest;

/// The parameters of a new session.
pub const SESSION_PARAMETERS: [&str; 13] = [
    "max_images",
    "process_res",
    "process_res_method",
    "conf_thresh_percentile",
    "num_max_points",
    "show_cameras",
    "window",
    "finalize_mode",
    "filter_edges",
    "voxel_size",
    "filter_black_bg",
    "filter_white_bg",
    "glb_compression",
];
/// Whether unknown parameters and bodies that nobody reads are refused; true if it is missing.
pub const STRICT: &str = "strict";

/// The decoded parameters of a query. The last value of a repeated parameter counts.
#[derive(Debug, Default)]
pub struct Query(HashMap<String, String>);

impl From<Vec<(String, String)>> for Query {
    fn from(pairs: Vec<(String, String)>) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Query {
    /// Whether the client leaves it to the server to find its mistakes.
    ///
    /// # Errors
    /// 422 if `strict` is not a boolean.
    pub fn is_strict(&self) -> Result<bool, ApiError> {
        Ok(self.boolean(STRICT)?.unwrap_or(true))
    }

    /// Checks that there are no other parameters than these, unless the client sends `strict=false`.
    ///
    /// # Errors
    /// 422 that names the nearest known parameter.
    pub fn only<'a>(
        &self,
        known: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Result<(), ApiError> {
        if !self.is_strict()? {
            return Ok(());
        }
        let is_unknown = |name: &&String| {
            *name != STRICT && !known.clone().into_iter().any(|known| known == *name)
        };
        // The first by name, as the order of the map is arbitrary.
        match self.0.keys().filter(is_unknown).min() {
            None => Ok(()),
            Some(name) => Err(unknown(name, known)),
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A boolean: `true`, `1`, `yes`, `on` or their opposites, in any case.
    ///
    /// # Errors
    /// 422 if the value is not a boolean.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        self.text(name)
            .map(|text| match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
                "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
                _ => Err(wrong_type(name, "true or false", text)),
            })
            .transpose()
    }

    /// # Errors
    /// 422 if the value is not an integer.
    pub fn integer(&self, name: &str) -> Result<Option<i128>, ApiError> {
        self.number(name, "an integer")
    }

    /// # Errors
    /// 422 if the value is not a number.
    pub fn float(&self, name: &str) -> Result<Option<f64>, ApiError> {
        self.number(name, "a number")
    }

    fn number<T: FromStr>(&self, name: &str, kind: &str) -> Result<Option<T>, ApiError> {
        self.text(name)
            .map(|text| {
                text.trim()
                    .parse()
                    .map_err(|_| wrong_type(name, kind, text))
            })
            .transpose()
    }

    /// A value of an enumeration, by its name.
    ///
    /// # Errors
    /// 422 if there is no such value.
    pub fn choice<T>(&self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: FromStr<Err: Display>,
    {
        self.text(name)
            .map(|text| {
                text.parse()
                    .map_err(|error| ApiError::invalid(format!("{name}: {error}")))
            })
            .transpose()
    }

    /// An integer that fits its type; the error text names the range.
    ///
    /// # Errors
    /// 422 if it is not an integer, or does not fit.
    pub fn bounded<T: TryFrom<i128>>(
        &self,
        parameter: &'static str,
        default: T,
        min: u64,
        max: u64,
    ) -> Result<T, ApiError> {
        let Some(value) = self.integer(parameter)? else {
            return Ok(default);
        };
        T::try_from(value).map_err(|_| {
            OutOfRange {
                parameter,
                value: value as f64,
                min: min as f64,
                max: max as f64,
            }
            .into()
        })
    }

    /// How a client joins a session.
    ///
    /// # Errors
    /// 422 for the first parameter of the wrong type, or out of place.
    pub fn attach_options(&self) -> Result<AttachOptions, ApiError> {
        if self.boolean("watch")?.unwrap_or(false) {
            let others = ["resume", "deltas", "since"];
            return match others.iter().find(|name| self.text(name).is_some()) {
                None => Ok(AttachOptions::Watch),
                Some(name) => Err(ApiError::invalid(format!(
                    "{name} does not work with watch=true: who watches gets no answers to requests"
                ))),
            };
        }
        let kind = self.choice("deltas")?.unwrap_or(DeltasKind::Cumulative);
        let since = match self.text("since") {
            None => None,
            Some(_) => Some(self.bounded("since", 0_u64, 0, u64::MAX)?),
        };
        let deltas = match (kind, since) {
            (DeltasKind::Append, since) => Deltas::Append { since },
            (DeltasKind::Cumulative, None) => Deltas::Cumulative,
            (DeltasKind::Cumulative, Some(_)) => {
                let message = "since needs deltas=append: other deltas have the whole cloud";
                return Err(ApiError::invalid(message));
            }
        };
        Ok(AttachOptions::Use {
            resume: self.boolean("resume")?.unwrap_or(false),
            deltas,
        })
    }

    /// The parameters of a new session.
    ///
    /// # Errors
    /// 422 for the first parameter of the wrong type or out of its range.
    pub fn session_config(&self, limits: &ConfigLimits) -> Result<SessionConfig, ApiError> {
        self.session_config_like(&SessionConfig::default(), limits)
    }

    /// The parameters of a new session; those that are missing are as in another one.
    ///
    /// # Errors
    /// 422 for the first parameter of the wrong type or out of its range.
    pub fn session_config_like(
        &self,
        default: &SessionConfig,
        limits: &ConfigLimits,
    ) -> Result<SessionConfig, ApiError> {
        let config = SessionConfig {
            max_images: self.bounded(
                "max_images",
                default.max_images.min(limits.max_images),
                1,
                limits.max_images.into(),
            )?,
            process_res: self.bounded(
                "process_res",
                default.process_res.min(limits.max_process_res),
                limits.min_process_res.into(),
                limits.max_process_res.into(),
            )?,
            process_res_method: self
                .choice("process_res_method")?
                .unwrap_or(default.process_res_method),
            conf_thresh_percentile: self
                .float("conf_thresh_percentile")?
                .unwrap_or(default.conf_thresh_percentile),
            num_max_points: self.bounded(
                "num_max_points",
                default.num_max_points.min(limits.num_max_points),
                1,
                limits.num_max_points,
            )?,
            show_cameras: self
                .boolean("show_cameras")?
                .unwrap_or(default.show_cameras),
            window: self.bounded("window", default.window, 0, limits.max_images.into())?,
            finalize_mode: self
                .choice("finalize_mode")?
                .unwrap_or(default.finalize_mode),
            points: self.point_options(default.points)?,
        };
        config.check(limits)?;
        Ok(config)
    }

    fn point_options(&self, default: PointOptions) -> Result<PointOptions, ApiError> {
        let switch = |name, default| self.boolean(name).map(|value| value.unwrap_or(default));
        Ok(PointOptions {
            filter_edges: switch("filter_edges", default.filter_edges)?,
            voxel_size: self.float("voxel_size")?.unwrap_or(default.voxel_size),
            filter_black_bg: switch("filter_black_bg", default.filter_black_bg)?,
            filter_white_bg: switch("filter_white_bg", default.filter_white_bg)?,
            glb_compression: self
                .choice("glb_compression")?
                .unwrap_or(default.glb_compression),
        })
    }
}

fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> ApiError {
    let shown: String = name.chars().take(100).collect();
    let advice = match nearest(&shown, known.clone()) {
        Some(name) => format!("did you mean {name}?"),
        None if known.clone().into_iter().next().is_none() => "there are none here".to_owned(),
        None => format!("there are {}", word_list(known.into_iter(), "and")),
    };
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::UnknownParameter,
        format!("unknown parameter {shown:?}: {advice} (strict=false ignores unknown parameters)"),
    )
}

fn wrong_type(name: &str, kind: &str, text: &str) -> ApiError {
    let shown: String = text.chars().take(100).collect();
    ApiError::invalid(format!("{name} must be {kind}, but it is {shown:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pointstream_actors::FinalizeMode;
    use pointstream_reconstruction::formats::glb::GlbCompression;
    use pointstream_reconstruction::image::ProcessResMethod;

    const LIMITS: ConfigLimits = ConfigLimits {
        max_images: 1000,
        min_process_res: 14,
        max_process_res: 1008,
        num_max_points: 10_000_000,
    };

    fn query(pairs: &[(&str, &str)]) -> Query {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<Vec<_>>()
            .into()
    }

    fn refusal(name: &str, value: &str) -> String {
        query(&[(name, value)])
            .session_config(&LIMITS)
            .expect_err("should be refused")
            .detail()
            .to_owned()
    }

    #[test]
    fn defaults_are_those_of_the_protocol() {
        let config = query(&[]).session_config(&LIMITS).expect("defaults");
        assert_eq!(config, SessionConfig::default());
    }

    #[test]
    fn defaults_are_clamped_to_smaller_limits() {
        let limits = ConfigLimits {
            max_images: 10,
            num_max_points: 1000,
            ..LIMITS
        };
        let config = query(&[]).session_config(&limits).expect("defaults");
        assert_eq!((config.max_images, config.num_max_points), (10, 1000));
    }

    #[test]
    fn reads_every_parameter() {
        let config = query(&[
            ("max_images", "7"),
            ("process_res", " 252 "),
            ("process_res_method", "lower_bound_crop"),
            ("conf_thresh_percentile", "12.5"),
            ("num_max_points", "1000"),
            ("show_cameras", "False"),
            ("window", "12"),
            ("finalize_mode", "whole"),
            ("filter_edges", "1"),
            ("voxel_size", "0.05"),
            ("filter_black_bg", "yes"),
            ("filter_white_bg", "on"),
            ("glb_compression", "meshopt"),
            ("unknown", "ignored"),
        ])
        .session_config(&LIMITS)
        .expect("valid");
        let expected = SessionConfig {
            max_images: 7,
            process_res: 252,
            process_res_method: ProcessResMethod::LowerBoundCrop,
            conf_thresh_percentile: 12.5,
            num_max_points: 1000,
            show_cameras: false,
            window: 12,
            finalize_mode: FinalizeMode::Whole,
            points: PointOptions {
                filter_edges: true,
                voxel_size: 0.05,
                filter_black_bg: true,
                filter_white_bg: true,
                glb_compression: GlbCompression::Meshopt,
            },
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn the_last_value_of_a_repeated_parameter_counts() {
        let config = query(&[("max_images", "7"), ("max_images", "8")])
            .session_config(&LIMITS)
            .expect("valid");
        assert_eq!(config.max_images, 8);
    }

    #[test]
    fn an_error_names_the_parameter_of_the_wrong_type() {
        for name in ["max_images", "process_res", "num_max_points"] {
            assert_eq!(
                refusal(name, "many"),
                format!("{name} must be an integer, but it is \"many\"")
            );
            assert_eq!(
                refusal(name, "1.5"),
                format!("{name} must be an integer, but it is \"1.5\"")
            );
        }
        assert_eq!(
            refusal("conf_thresh_percentile", ""),
            "conf_thresh_percentile must be a number, but it is \"\""
        );
        for name in [
            "show_cameras",
            "filter_edges",
            "filter_black_bg",
            "filter_white_bg",
        ] {
            assert_eq!(
                refusal(name, "maybe"),
                format!("{name} must be true or false, but it is \"maybe\"")
            );
        }
        assert!(refusal("process_res_method", "stretch").starts_with("process_res_method: "));
        assert!(refusal("glb_compression", "gzip").starts_with("glb_compression: "));
        assert!(refusal("finalize_mode", "fast").contains("auto, refine or whole"));
    }

    #[test]
    fn an_error_names_the_range() {
        let expected = "max_images must be between 1 and 1000, but it is ";
        for value in ["0", "-3", "1001", "99999999999999999999"] {
            let detail = refusal("max_images", value);
            assert!(detail.starts_with(expected), "{detail}");
        }
        assert!(refusal("conf_thresh_percentile", "NaN").contains("between 0 and 100"));
        for value in ["NaN", "inf", "-0.1", "1e7"] {
            assert!(refusal("voxel_size", value).contains("between 0 and 1000000"));
        }
        assert!(refusal("process_res", "13").contains("between 14 and 1008"));
        assert!(refusal("window", "3").contains("between 6 and 1000"));
    }

    #[test]
    fn deltas_are_cumulative_unless_the_client_says_otherwise() {
        let options = |pairs: &[(&str, &str)]| query(pairs).attach_options();
        assert_eq!(options(&[]), Ok(AttachOptions::default()));
        let append = |since| AttachOptions::Use {
            resume: true,
            deltas: Deltas::Append { since },
        };
        let resume = ("resume", "true");
        assert_eq!(options(&[("deltas", "append"), resume]), Ok(append(None)));
        let since = ("since", "7");
        let found = options(&[("deltas", "append"), resume, since]);
        assert_eq!(found, Ok(append(Some(7))));
        assert_eq!(options(&[("watch", "true")]), Ok(AttachOptions::Watch));
        for (pairs, words) in [
            (&[("deltas", "all")][..], "cumulative or append"),
            (&[since], "since needs deltas=append"),
            (
                &[("watch", "true"), ("resume", "false")],
                "resume does not work with watch",
            ),
            (
                &[("deltas", "append"), ("since", "-1")],
                "since must be between",
            ),
            (
                &[("deltas", "append"), ("since", "x")],
                "since must be an integer",
            ),
        ] {
            let error = options(pairs).expect_err("should be refused");
            assert!(error.detail().contains(words), "{}", error.detail());
        }
    }

    #[test]
    fn booleans_have_several_spellings() {
        for text in ["true", "True", "1", "yes", "on"] {
            assert_eq!(query(&[("x", text)]).boolean("x"), Ok(Some(true)));
        }
        for text in ["false", "FALSE", "0", "no", "off"] {
            assert_eq!(query(&[("x", text)]).boolean("x"), Ok(Some(false)));
        }
        assert_eq!(query(&[]).boolean("x"), Ok(None));
    }
}

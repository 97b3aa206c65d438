//! The parameters of a session, a webhook for it, and how its socket is used.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What a new session can be told. The server's defaults apply to what is `None`.
///
/// [The protocol](https://github.com/pointstream/pointstream/blob/main/docs/protocol.md) gives the ranges.
///
/// ```
/// use pointstream_client::Parameters;
///
/// let parameters = Parameters { process_res: Some(336), ..Parameters::default() };
/// # assert!(parameters.window.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// How many images the session takes.
    pub max_images: Option<u32>,
    /// The longest or shortest side of processed images, in pixels.
    pub process_res: Option<u32>,
    /// How images get that size.
    pub process_res_method: Option<ResizeMethod>,
    /// The percentile of confidence below which a pixel is no point.
    pub conf_thresh_percentile: Option<f64>,
    /// How many points a result has at most.
    pub num_max_points: Option<u64>,
    /// Whether the cloud shows the cameras as pyramids.
    pub show_cameras: Option<bool>,
    /// Images that are reconstructed together; more are placed in a map. 0: the server chooses.
    pub window: Option<u32>,
    /// How the final result of more than `window` images is made.
    pub finalize_mode: Option<FinalizeMode>,
    /// Removes points at depth discontinuities.
    pub filter_edges: Option<bool>,
    /// Keeps one point for each voxel of this size, in GLB units. Not with [`Deltas::Append`].
    pub voxel_size: Option<f64>,
    /// Removes dark points.
    pub filter_black_bg: Option<bool>,
    /// Removes bright points.
    pub filter_white_bg: Option<bool>,
    /// How the GLB stores its points.
    pub glb_compression: Option<GlbCompression>,
}

/// How images get the size in which they are processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names of the protocol")]
pub enum ResizeMethod {
    UpperBoundResize,
    LowerBoundResize,
    UpperBoundCrop,
    LowerBoundCrop,
}

/// How a final result is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalizeMode {
    /// The server chooses.
    Auto,
    /// From the map of the updates.
    Refine,
    /// By one run of the model over all images.
    Whole,
}

/// How a GLB stores its points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GlbCompression {
    /// As 32-bit floats.
    None,
    /// As 16-bit integers.
    Quantized,
    /// The same, encoded with `EXT_meshopt_compression`. [`Cloud`](crate::Cloud) does not read it.
    Meshopt,
}

/// A URL that the server tells of results and of the end of the session.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Webhook {
    /// Where messages go.
    pub url: String,
    /// Which ones; all if it is `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// `whsec_...`; if it is `None`, the server makes one: see [`Session::webhook_secret`](crate::Session::webhook_secret).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the secret, which logs may show.
        let mut shown = formatter.debug_struct("Webhook");
        shown.field("url", &self.url).field("events", &self.events);
        shown.finish_non_exhaustive()
    }
}

/// What an update has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deltas {
    /// Only what is new; [`Session::cloud`](crate::Session::cloud) grows by it.
    Append,
    /// The whole cloud.
    Cumulative,
}

/// How a session is used over its socket.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketOptions {
    /// Images and results as bytes: a quarter smaller than in JSON, and less work for both sides.
    pub binary: bool,
    /// What an update has. `None` is [`Deltas::Append`], unless the parameters do not allow it.
    pub deltas: Option<Deltas>,
    /// Images that are sent and not acknowledged; they are in memory. The server takes 16.
    pub max_in_flight: usize,
    /// Bytes of a message of the server. A larger whole result is fetched over HTTP. Of a larger
    /// update [`Session::generate`](crate::Session::generate) returns [`Error::ResultTooLarge`].
    pub max_message_bytes: usize,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            binary: true,
            deltas: None,
            max_in_flight: 8,
            max_message_bytes: 256 << 20,
        }
    }
}

/// A new session: what it computes, whom the server tells of it, and how its socket is used.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// What the session is told.
    pub parameters: Parameters,
    /// A URL that the server tells of results.
    pub webhook: Option<Webhook>,
    /// How it is used over its socket.
    pub socket: SocketOptions,
}

impl From<Parameters> for SessionOptions {
    fn from(parameters: Parameters) -> Self {
        Self {
            parameters,
            ..Self::default()
        }
    }
}

impl SessionOptions {
    /// What updates have: what is asked for, or what fits to the parameters.
    pub(crate) fn deltas(&self) -> Result<Deltas, Error> {
        let reason = match &self.parameters {
            Parameters {
                voxel_size: Some(size),
                ..
            } if *size != 0.0 => "voxel_size",
            Parameters {
                glb_compression: Some(GlbCompression::Meshopt),
                ..
            } => "glb_compression: Meshopt",
            _ => return Ok(self.socket.deltas.unwrap_or(Deltas::Append)),
        };
        match self.socket.deltas {
            Some(Deltas::Append) => Err(Error::InvalidArgument(format!(
                "{reason} needs deltas: Cumulative"
            ))),
            _ => Ok(Deltas::Cumulative),
        }
    }
}

impl SocketOptions {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.max_in_flight == 0 {
            return Err(Error::InvalidArgument(
                "max_in_flight must be at least 1".to_owned(),
            ));
        }
        Ok(())
    }
}

impl Parameters {
    /// The parameters that are given, as the query of a URL writes them.
    pub(crate) fn query(&self) -> Result<Vec<(String, String)>, Error> {
        let numbers = [self.conf_thresh_percentile, self.voxel_size];
        if numbers
            .into_iter()
            .flatten()
            .any(|number| !number.is_finite())
        {
            // JSON has no such numbers, so they would count as missing.
            return Err(Error::InvalidArgument(
                "conf_thresh_percentile and voxel_size must be finite".to_owned(),
            ));
        }
        let fields = serde_json::to_value(self);
        let fields = fields.map_err(|error| Error::InvalidArgument(error.to_string()))?;
        let mut given = Vec::new();
        for (name, value) in fields.as_object().into_iter().flatten() {
            match value {
                serde_json::Value::Null => {}
                serde_json::Value::String(text) => given.push((name.clone(), text.clone())),
                other => given.push((name.clone(), other.to_string())),
            }
        }
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_what_is_given() {
        let parameters = Parameters {
            process_res_method: Some(ResizeMethod::LowerBoundCrop),
            conf_thresh_percentile: Some(12.5),
            show_cameras: Some(false),
            ..Parameters::default()
        };
        let found = parameters.query().unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let expected = [
            ("conf_thresh_percentile", "12.5"),
            ("process_res_method", "lower_bound_crop"),
            ("show_cameras", "false"),
        ];
        assert_eq!(found.len(), expected.len());
        assert!(
            expected.iter().all(|pair| found.contains(pair)),
            "{found:?}"
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let webhook = Webhook {
            url: "https://example.org".to_owned(),
            secret: Some("whsec_hidden".to_owned()),
            ..Webhook::default()
        };
        let options = SessionOptions {
            webhook: Some(webhook),
            ..SessionOptions::default()
        };
        let attach = crate::Attach::new("a-session").token("hidden");
        let client = crate::Client::new("http://127.0.0.1")
            .unwrap()
            .token("hidden");
        let shown = format!("{options:?} {attach:?} {client:?}");
        assert!(shown.contains("example.org") && shown.contains("a-session"));
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn what_does_not_work_with_appending_updates_is_refused() {
        let voxels = Parameters {
            voxel_size: Some(0.5),
            ..Parameters::default()
        };
        let mut options = SessionOptions::from(voxels);
        assert_eq!(options.deltas().unwrap(), Deltas::Cumulative);
        options.socket.deltas = Some(Deltas::Append);
        assert!(
            options
                .deltas()
                .unwrap_err()
                .to_string()
                .contains("voxel_size")
        );
        let nan = Parameters {
            voxel_size: Some(f64::NAN),
            ..Parameters::default()
        };
        assert!(nan.query().is_err());
        let plain = SessionOptions::default();
        assert_eq!(plain.deltas().unwrap(), Deltas::Append);
    }
}

//! Headers of this service's own.

use warp::http::header::HeaderName;

/// The verdict on a result.
pub const QUALITY: HeaderName = HeaderName::from_static("x-quality");
/// The reasons for the verdict, separated by a comma and a space; missing if there are none.
pub const QUALITY_REASONS: HeaderName = HeaderName::from_static("x-quality-reasons");
/// What to do about them, sentences separated by a semicolon and a space; missing if there are none.
pub const QUALITY_ADVICE: HeaderName = HeaderName::from_static("x-quality-advice");

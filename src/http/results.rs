//! REST: a session's last result.

use std::convert::Infallible;

use futures_util::stream;
use pointstream_actors::{Answer, AnswerKind, ResultMetadata};
use serde::Serialize;
use warp::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use warp::reply::{Reply, Response};

use super::{ApiError, App, Query, sessions};

/// Bytes that are handed to the connection at a time.
const PIECE: usize = 256 << 10;

/// What a result can be fetched as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// The point cloud.
    Glb,
    /// All but the point cloud.
    Json,
}

impl Format {
    fn from_query(query: &Query) -> Result<Self, ApiError> {
        match query.text("format") {
            None | Some("glb") => Ok(Self::Glb),
            Some("json") => Ok(Self::Json),
            Some(other) => {
                let shown: String = other.chars().take(100).collect();
                Err(ApiError::invalid(format!(
                    "format must be glb or json, but it is {shown:?}"
                )))
            }
        }
    }
}

/// `GET /ws/session/{session_id}/result`
pub async fn fetch(app: App, id: String, query: Query) -> Result<Response, ApiError> {
    let format = Format::from_query(&query)?;
    let session = sessions::find(&app, &id).await?;
    let result = session.result().await?.ok_or_else(|| {
        ApiError::not_found("Session has no result yet; send a generate message first")
    })?;
    Ok(match format {
        Format::Glb => glb(&result),
        Format::Json => json(&result),
    })
}

/// The bytes are a view of the file, sent piece by piece: what the client has not taken yet costs
/// no memory.
fn glb(result: &Answer) -> Response {
    let mut rest = result.glb.clone();
    let pieces = std::iter::from_fn(move || {
        let piece = rest.split_to(rest.len().min(PIECE));
        (!piece.is_empty()).then_some(Ok::<_, Infallible>(piece))
    });
    let mut response = warp::reply::stream(stream::iter(pieces)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("model/gltf-binary"));
    headers.insert(CONTENT_LENGTH, result.glb.len().into());
    let name = format!(
        "attachment; filename=\"{}.glb\"",
        result.metadata.session_id
    );
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    response
}

/// The message that carried the result, without the point cloud.
#[derive(Serialize)]
struct Description<'a> {
    #[serde(rename = "type")]
    kind: AnswerKind,
    image_count: u32,
    metadata: &'a ResultMetadata,
}

fn json(result: &Answer) -> Response {
    warp::reply::json(&Description {
        kind: result.kind,
        image_count: result.image_count,
        metadata: &result.metadata,
    })
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(value: &str) -> Result<Format, ApiError> {
        Format::from_query(&Query::from(vec![("format".to_owned(), value.to_owned())]))
    }

    #[test]
    fn the_point_cloud_is_the_default() {
        assert_eq!(Format::from_query(&Query::default()), Ok(Format::Glb));
        assert_eq!(format("glb"), Ok(Format::Glb));
        assert_eq!(format("json"), Ok(Format::Json));
    }

    #[test]
    fn names_the_formats_that_there_are() {
        assert_eq!(
            format("obj").expect_err("unknown").detail(),
            "format must be glb or json, but it is \"obj\""
        );
    }
}

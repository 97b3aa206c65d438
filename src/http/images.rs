//! REST: the list of a session's images, and their thumbnails.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use pointstream_actors::ImageSummary;
use serde::Serialize;
use utoipa::ToSchema;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::{Reply, Response};

use super::download::{Download, decided};
use super::sessions;
use crate::api::schemas::File;
use crate::api::{ApiError, ErrorBody, Request};

/// Bytes of the list that are made at a time. The last image of a piece may exceed it.
const PIECE: usize = 64 << 10;

/// The images of a session.
#[derive(ToSchema)]
#[schema(as = ImageList)]
#[expect(dead_code, reason = "only describes what `Listing` writes in pieces")]
pub struct Images<'a> {
    /// In the order in which they were stored.
    images: Vec<Image<'a>>,
}

/// An image of a session.
#[derive(Serialize, ToSchema)]
#[schema(as = ImageOfSession)]
struct Image<'a> {
    /// Position in the list, from 0.
    index: usize,
    /// The `id` of the image's message, or null.
    id: Option<&'a str>,
    /// The client's name of the image, or a generated one.
    image_path: &'a str,
    /// Width of the processed image in pixels.
    width: u32,
    /// Height of the processed image in pixels.
    height: u32,
}

impl<'a> Image<'a> {
    fn new(index: usize, image: &'a ImageSummary) -> Self {
        Self {
            index,
            id: image.id.as_ref().map(|id| id.as_str()),
            image_path: &image.name,
            width: image.width,
            height: image.height,
        }
    }
}

/// A list that is being sent. All readers share the images, and each has one piece of text: names are
/// long, and a reader that does not read keeps what was made for it.
struct Listing {
    images: Arc<[ImageSummary]>,
    /// The image that is written next.
    next: usize,
    /// Whether the end is written.
    ended: bool,
}

impl Listing {
    fn new(images: Arc<[ImageSummary]>) -> Self {
        Self {
            images,
            next: 0,
            ended: false,
        }
    }

    /// The next piece; none after the last one.
    fn piece(&mut self) -> io::Result<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        let mut piece = Vec::new();
        if self.next == 0 {
            piece.extend_from_slice(b"{\"images\":[");
        }
        while piece.len() < PIECE {
            let Some(image) = self.images.get(self.next) else {
                piece.extend_from_slice(b"]}");
                self.ended = true;
                break;
            };
            if self.next > 0 {
                piece.push(b',');
            }
            serde_json::to_writer(&mut piece, &Image::new(self.next, image))?;
            self.next += 1;
        }
        Ok(Some(piece.into()))
    }

    /// The response; the connection takes the next piece after it has sent the one before.
    fn respond(self) -> Response {
        let pieces = stream::try_unfold(self, async |mut listing| {
            Ok::<_, io::Error>(listing.piece()?.map(|piece| (piece, listing)))
        });
        let mut response = warp::reply::stream(pieces).into_response();
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

/// Lists a session's images in the order in which they were stored.
#[utoipa::path(
    get, path = "/ws/session/{session_id}/images", operation_id = "list_images", tag = "sessions",
    security(("token" = ["use"])),
    params(("session_id" = uuid::Uuid, Path, description = "The session")),
    responses(
        (status = 200, description = "The images", body = Images),
        (status = 404, description = "The session does not exist", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn list_images(request: Request<String>) -> Result<Response, ApiError> {
    request.query.only([])?;
    let session = sessions::find(&request.app, &request.target, request.caller.own()).await?;
    Ok(Listing::new(session.images().await?).respond())
}

/// Returns a thumbnail of a processed image; its longest side has at most 256 pixels.
#[utoipa::path(
    get, path = "/ws/session/{session_id}/images/{index}/thumbnail",
    operation_id = "get_thumbnail", tag = "sessions",
    security(("token" = ["use"])),
    params(
        ("session_id" = uuid::Uuid, Path, description = "The session"),
        ("index" = usize, Path, description = "Position of the image in the session's list, from 0"),
    ),
    responses(
        (status = 200, description = "The thumbnail", content_type = "image/jpeg", body = inline(File)),
        (status = 206, description = "The requested range", content_type = "image/jpeg", body = inline(File)),
        (status = 304, description = "The client has the current version"),
        (status = 404, description = "The session or image does not exist", body = ErrorBody),
        (status = 412, description = "`If-Match` names another version", body = ErrorBody),
        (status = 416, description = "The file does not have the range", body = ErrorBody),
        (status = 500, description = "The stored image cannot be read", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn thumbnail(request: Request<(String, String)>) -> Result<Response, ApiError> {
    let Request {
        app,
        target: (id, index),
        query,
        method,
        headers,
        caller,
        ..
    } = request;
    query.only([])?;
    let session = sessions::find(&app, &id, caller.own()).await?;
    let shown: String = index.chars().take(20).collect();
    let no_image = || ApiError::not_found(format!("Session has no image {shown:?}"));
    let index: usize = index.parse().map_err(|_| no_image())?;
    let count = session.summary().await?.image_count;
    if u64::try_from(index).map_or(true, |index| index >= u64::from(count)) {
        return Err(no_image());
    }
    let tag = format!("{}-image-{index}-thumbnail", session.id());
    if let Some(decided) = decided(&tag, &headers)? {
        return Ok(decided);
    }
    let bytes = session.thumbnail(index).await?.ok_or_else(no_image)?;
    let thumbnail = Download {
        bytes: bytes.into(),
        tag,
        content_type: "image/jpeg",
        file_name: None,
    };
    thumbnail.respond(&method, &headers)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The text of a list of so many images, and the length of its longest piece.
    fn listed(count: usize) -> (Vec<u8>, usize) {
        let images = (0..count).map(|index| ImageSummary {
            id: None,
            name: format!("{index}{}", "\"".repeat(1000)).into(),
            width: 4,
            height: 3,
        });
        let mut listing = Listing::new(images.collect());
        let (mut text, mut longest) = (Vec::new(), 0);
        while let Some(piece) = listing.piece().expect("written") {
            longest = longest.max(piece.len());
            text.extend_from_slice(&piece);
        }
        (text, longest)
    }

    #[test]
    fn pieces_are_short_and_make_one_text() {
        assert_eq!(listed(0).0, br#"{"images":[]}"#);
        for count in [1, 31, 32, 33, 500] {
            let (text, longest) = listed(count);
            assert!(longest < PIECE + 4096, "{longest}");
            let found: Value = serde_json::from_slice(&text).expect("JSON");
            let images = found["images"].as_array().expect("a list");
            assert_eq!(images.len(), count);
            let last = json!({
                "index": count - 1, "id": null, "width": 4, "height": 3,
                "image_path": format!("{}{}", count - 1, "\"".repeat(1000)),
            });
            assert_eq!(images.last(), Some(&last));
        }
    }
}

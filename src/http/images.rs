//! REST: the list of a session's images, the images, and their thumbnails.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use pointstream_actors::{ImageSummary, SessionHandle};
use serde::Serialize;
use utoipa::ToSchema;
use warp::http::Method;
use warp::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
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
    security(("token" = ["use"]), ("token" = ["watch"])),
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
    security(("token" = ["use"]), ("token" = ["watch"])),
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
    let (wanted, method, headers) = Wanted::find(request).await?;
    let tag = format!("{}-image-{}-thumbnail", wanted.session.id(), wanted.index);
    if let Some(decided) = decided(&tag, &headers)? {
        return Ok(decided);
    }
    let bytes = wanted.session.thumbnail(wanted.index).await?;
    let thumbnail = Download {
        content: bytes
            .ok_or_else(|| no_image(&wanted.index.to_string()))?
            .into(),
        tag,
        content_type: "image/jpeg",
        file_name: None,
    };
    thumbnail.respond(&method, &headers)
}

/// Returns an image as its client sent it, whole or in ranges.
#[utoipa::path(
    get, path = "/ws/session/{session_id}/images/{index}", operation_id = "get_image", tag = "sessions",
    security(("token" = ["use"]), ("token" = ["watch"])),
    params(
        ("session_id" = uuid::Uuid, Path, description = "The session"),
        ("index" = usize, Path, description = "Position of the image in the session's list, from 0"),
    ),
    responses(
        (
            status = 200, description = "The image",
            content((inline(File) = "image/jpeg"), (inline(File) = "image/png"),
                (inline(File) = "image/webp"), (inline(File) = "image/heic")),
        ),
        (status = 206, description = "The requested range"),
        (status = 304, description = "The client has the current version"),
        (status = 404, description = "The session or image does not exist", body = ErrorBody),
        (status = 412, description = "`If-Match` names another version", body = ErrorBody),
        (status = 416, description = "The file does not have the range", body = ErrorBody),
        (status = 500, description = "The stored image cannot be read", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn original(request: Request<(String, String)>) -> Result<Response, ApiError> {
    let (wanted, method, headers) = Wanted::find(request).await?;
    let tag = format!("{}-image-{}", wanted.session.id(), wanted.index);
    if let Some(decided) = decided(&tag, &headers)? {
        return Ok(decided);
    }
    let found = wanted.session.original(wanted.index).await?;
    let image = found.ok_or_else(|| no_image(&wanted.index.to_string()))?;
    // Afterwards the response has begun, and can only be cut off.
    let checked = image.bytes.check().await;
    checked.map_err(|error| ApiError::internal(&error))?;
    let original = Download {
        content: image.bytes.into(),
        file_name: Some(format!("{tag}.{}", image.format.extension())),
        tag,
        content_type: image.format.content_type(),
    };
    original.respond(&method, &headers)
}

/// An image of a session, which a request asks for.
struct Wanted {
    session: SessionHandle,
    index: usize,
}

impl Wanted {
    /// The image, and the method and headers of the request for it.
    ///
    /// # Errors
    /// 404 if there is no such session or image, 422 if the request has a query.
    async fn find(
        request: Request<(String, String)>,
    ) -> Result<(Self, Method, HeaderMap), ApiError> {
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
        let index: usize = index.parse().map_err(|_| no_image(&shown))?;
        let count = session.summary().await?.image_count;
        match u64::try_from(index).is_ok_and(|index| index < u64::from(count)) {
            true => Ok((Self { session, index }, method, headers)),
            false => Err(no_image(&shown)),
        }
    }
}

fn no_image(index: &str) -> ApiError {
    ApiError::not_found(format!("Session has no image {index:?}"))
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

//! REST: the list of a session's images, and their thumbnails.

use pointstream_actors::ImageSummary;
use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::{Json, Response};

use super::download::{Download, decided};
use super::sessions;
use crate::api::schemas::File;
use crate::api::{ApiError, ErrorBody, Request};

/// The images of a session.
#[derive(Serialize, ToSchema)]
#[schema(as = ImageList)]
pub struct Images {
    /// In the order in which they were stored.
    images: Vec<Image>,
}

/// An image of a session.
#[derive(Serialize, ToSchema)]
#[schema(as = ImageOfSession)]
struct Image {
    /// Position in the list, from 0.
    index: usize,
    /// The `id` of the image's message, or null.
    id: Option<String>,
    /// The client's name of the image, or a generated one.
    image_path: String,
    /// Width of the processed image in pixels.
    width: u32,
    /// Height of the processed image in pixels.
    height: u32,
}

impl Image {
    fn new(index: usize, image: ImageSummary) -> Self {
        Self {
            index,
            id: image.id.map(|id| id.as_str().to_owned()),
            image_path: image.name,
            width: image.width,
            height: image.height,
        }
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
pub async fn list_images(request: Request<String>) -> Result<Json, ApiError> {
    request.query.only([])?;
    let images = sessions::find(&request.app, &request.target, request.caller.own())
        .await?
        .images()
        .await?;
    let images = images.into_iter().enumerate();
    Ok(warp::reply::json(&Images {
        images: images
            .map(|(index, image)| Image::new(index, image))
            .collect(),
    }))
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

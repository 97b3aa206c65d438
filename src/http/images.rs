//! REST: the images of a session, as a list and as small copies.

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
    /// Its place among them, counted from 0.
    index: usize,
    /// What the client called its message, or null.
    id: Option<String>,
    /// The client's name of the image, or the one that was made up.
    image_path: String,
    /// Width at which it is processed, in pixels.
    width: u32,
    /// Height at which it is processed.
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
    params(("session_id" = uuid::Uuid, Path, description = "The session")),
    responses(
        (status = 200, description = "The images", body = Images),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn list_images(request: Request<String>) -> Result<Json, ApiError> {
    let images = sessions::find(&request.app, &request.target)
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

/// Gives a small copy of an image as it is processed: its longest side has 256 pixels at most.
#[utoipa::path(
    get, path = "/ws/session/{session_id}/images/{index}/thumbnail",
    operation_id = "get_thumbnail", tag = "sessions",
    params(
        ("session_id" = uuid::Uuid, Path, description = "The session"),
        ("index" = usize, Path, description = "The image's place among those of the session"),
    ),
    responses(
        (status = 200, description = "The picture", content_type = "image/jpeg", body = inline(File)),
        (status = 206, description = "The range that was asked for", content_type = "image/jpeg", body = inline(File)),
        (status = 304, description = "The client has it already"),
        (status = 404, description = "There is no such session or image", body = ErrorBody),
        (status = 412, description = "It is another one than the client has", body = ErrorBody),
        (status = 416, description = "It has no such range", body = ErrorBody),
        (status = 500, description = "The stored image cannot be read", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn thumbnail(request: Request<(String, String)>) -> Result<Response, ApiError> {
    let Request {
        app,
        target: (id, index),
        method,
        headers,
        ..
    } = request;
    let session = sessions::find(&app, &id).await?;
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
        bytes,
        tag,
        content_type: "image/jpeg",
        file_name: None,
    };
    thumbnail.respond(&method, &headers)
}

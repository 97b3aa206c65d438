//! Photos to try the service with: the sample scene, embedded in the program.

use bytes::Bytes;
use warp::reply::Response;

use super::download::Download;
use crate::api::schemas::File;
use crate::api::{ApiError, ErrorBody, Request};

/// A photo of `examples/sample_scene`.
macro_rules! photo {
    ($name:literal) => {
        (
            concat!($name, ".jpg"),
            include_bytes!(concat!("../../examples/sample_scene/", $name, ".jpg")),
        )
    };
}
/// The photos in their order, by the names of their files.
const PHOTOS: [(&str, &[u8]); 8] = [
    photo!("000"),
    photo!("001"),
    photo!("002"),
    photo!("003"),
    photo!("004"),
    photo!("005"),
    photo!("006"),
    photo!("007"),
];

/// Returns a photo of the sample scene, with which people try the service.
#[utoipa::path(
    get, path = "/sample/{photo}", operation_id = "get_sample_photo", tag = "pages",
    params(("photo" = String, Path, description = "Name of the photo: `000.jpg` to `007.jpg`")),
    responses(
        (status = 200, description = "The photo", content_type = "image/jpeg", body = inline(File)),
        (status = 206, description = "The requested range", content_type = "image/jpeg", body = inline(File)),
        (status = 304, description = "The client has the current version"),
        (status = 404, description = "There is no such photo", body = ErrorBody),
        (status = 412, description = "`If-Match` names another version", body = ErrorBody),
        (status = 416, description = "The file does not have the range", body = ErrorBody),
    )
)]
pub async fn photo(request: Request<String>) -> Result<Response, ApiError> {
    request.query.only([])?;
    let (name, bytes) = PHOTOS
        .into_iter()
        .find(|(name, _)| *name == request.target)
        .ok_or_else(|| ApiError::not_found("The sample scene has no such photo"))?;
    let file = Download {
        content: Bytes::from_static(bytes).into(),
        tag: format!("sample-{name}-{}", env!("CARGO_PKG_VERSION")),
        content_type: "image/jpeg",
        file_name: None,
    };
    file.respond(&request.method, &request.headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_photos_are_jpeg_files() {
        for (name, bytes) in PHOTOS {
            assert!(bytes.starts_with(&[0xff, 0xd8, 0xff]), "{name}");
        }
    }
}

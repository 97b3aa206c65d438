//! Swagger UI: a page that shows the description of the REST interface.

use std::sync::Arc;

use utoipa_swagger_ui::Config;
use warp::http::header::{
    CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION,
};
use warp::http::{Response as HttpResponse, StatusCode};
use warp::path::FullPath;
use warp::reply::{Reply, Response};

use crate::api::schemas::File;
use crate::api::{ApiError, ErrorBody, Request};

/// Redirects to the page that shows this description.
///
/// Addresses here are relative, so that they hold behind every proxy.
#[utoipa::path(
    get, path = "/docs", operation_id = "get_docs", tag = "documents",
    responses((status = 302, description = "The page is at /docs/"))
)]
pub async fn page(request: Request<FullPath>) -> Result<Response, ApiError> {
    if request.target.as_str() != "/docs" {
        return serve("");
    }
    let mut response = StatusCode::FOUND.into_response();
    response
        .headers_mut()
        .insert(LOCATION, HeaderValue::from_static("docs/"));
    Ok(response)
}

/// The page may load nothing from other servers.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; frame-ancestors 'none'";

/// Returns a file of the page that shows this description.
#[utoipa::path(
    get, path = "/docs/{file}", operation_id = "get_docs_file", tag = "documents",
    params(("file" = String, Path, description = "Name of the file; `index.html` or nothing for the page")),
    responses(
        (status = 200, description = "The file", content(
            (String = "text/html"), (String = "text/css"), (String = "text/javascript"), (inline(File) = "image/png"),
        )),
        (status = 404, description = "The file does not exist", body = ErrorBody),
    )
)]
pub async fn file(request: Request<String>) -> Result<Response, ApiError> {
    serve(&request.target)
}

fn serve(file: &str) -> Result<Response, ApiError> {
    // By default, the page sends the description to a validator on the internet.
    let config = Config::from("../openapi.json").validator_url("none");
    let found = utoipa_swagger_ui::serve(file, Arc::new(config))
        .map_err(|error| ApiError::internal(&error))?
        .ok_or_else(|| ApiError::not_found("Not found"))?;
    let mut response = HttpResponse::new(found.bytes.into_owned()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    if let Ok(kind) = HeaderValue::try_from(found.content_type) {
        headers.insert(CONTENT_TYPE, kind);
    }
    if found.gzpipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

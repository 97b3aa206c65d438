//! REST: a session's last result.

use bytes::Bytes;
use pointstream_actors::{
    Answer, AnswerKind, BlobView, ErrorCode, ResultFile, ResultFormat, ResultMetadata,
    SessionHandle, SessionId,
};
use pointstream_reconstruction::word_list;
use serde::Serialize;
use strum::VariantArray;
use utoipa::ToSchema;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::download::{Download, decided};
use super::{scene_page, sessions};
use crate::api::{ApiError, ErrorBody, Query, Request};
use crate::auth::{Action, Target};

/// The form in which a result is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    File(ResultFormat),
    /// A web page that shows the point cloud.
    Html,
    /// The metadata without the point cloud.
    Json,
}

impl Format {
    /// Every format, in the order in which errors list them.
    pub fn all() -> impl Iterator<Item = Self> {
        let files = ResultFormat::VARIANTS.iter().copied().map(Self::File);
        files.chain([Self::Html, Self::Json])
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::File(format) => format.into(),
            Self::Html => "html",
            Self::Json => "json",
        }
    }

    /// The format that a query asks for; glb by default.
    ///
    /// # Errors
    /// 422 if the format is unknown.
    pub fn from_query(query: &Query) -> Result<Self, ApiError> {
        let Some(wanted) = query.text("format") else {
            return Ok(Self::File(ResultFormat::Glb));
        };
        let found = Self::all().find(|format| format.name() == wanted);
        found.ok_or_else(|| {
            let shown: String = wanted.chars().take(100).collect();
            let names = word_list(Self::all().map(Self::name), "or");
            ApiError::invalid(format!("format must be {names}, but it is {shown:?}"))
        })
    }
}

/// Returns the newest result of a session as a file, whole or in ranges.
#[utoipa::path(
    get, path = "/ws/session/{session_id}/result", operation_id = "get_result", tag = "sessions",
    security(("token" = ["use"]), ("token" = ["watch"])),
    params(
        ("session_id" = uuid::Uuid, Path, description = "The session"),
        ("format" = Option<String>, Query, description = "The form of the answer: a file, or \
          `json` for all but the point cloud"),
    ),
    responses(
        (
            status = 200, description = "The file",
            content((Description = "application/json")),
        ),
        (status = 206, description = "The requested range of the file"),
        (status = 304, description = "The client has the current version"),
        (status = 404, description = "The session does not exist, or has no result yet", body = ErrorBody),
        (status = 412, description = "`If-Match` names another version", body = ErrorBody),
        (status = 416, description = "The file does not have the range", body = ErrorBody),
        (status = 422, description = "The format is unknown", body = ErrorBody),
        (status = 500, description = "The file cannot be written", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
        (status = 504, description = "Writing the file took too long", body = ErrorBody),
        (status = 507, description = "The disk is full", body = ErrorBody),
    )
)]
pub async fn fetch(request: Request<String>) -> Result<Response, ApiError> {
    let Request {
        app,
        target: id,
        method,
        query,
        headers,
        caller,
        arrival,
        ..
    } = request;
    query.only(["format"])?;
    let format = Format::from_query(&query)?;
    let session = sessions::find(&app, &id, caller.own()).await?;
    // If the client has the file already, it need not be written.
    if let Some(result) = session.result().await?
        && let Some(decided) = decided(&tag(session.id(), result.number, format), &headers)?
    {
        return Ok(decided);
    }
    let response = download(&session, format)
        .await?
        .respond(&method, &headers)?;
    if method == Method::GET && response.status().is_success() {
        let (from, target) = (arrival.client, Target::Session(session.id()));
        app.audit
            .done(Action::ResultDownloaded, &caller, from, target);
    }
    Ok(response)
}

/// The entity tag of a result in a format.
fn tag(session: SessionId, number: u64, format: Format) -> String {
    format!("{session}-{number}-{}", format.name())
}

/// A session's newest result in a format.
///
/// # Errors
/// 404 if there is no result or the session has ended, 500 if the file cannot be written.
pub async fn download(session: &SessionHandle, format: Format) -> Result<Download, ApiError> {
    let download = match format {
        Format::File(format) => session.file(format).await?.map(file),
        Format::Html => session
            .result()
            .await?
            .map(|result| page(&result))
            .transpose()?,
        Format::Json => session
            .result()
            .await?
            .map(|result| json(&result))
            .transpose()?,
    };
    let Some(download) = download else {
        return Err(no_result(session).await);
    };
    // Afterwards the response has begun, and can only be cut off.
    let checked = download.content.check().await;
    checked.map_err(|error| ApiError::internal(&error))?;
    Ok(download)
}

/// A 404 that says why a session has no result.
async fn no_result(session: &SessionHandle) -> ApiError {
    let summary = match session.summary().await {
        Ok(summary) => summary,
        Err(error) => return error.into(),
    };
    let detail = match summary.error_message {
        _ if summary.requests > 0 => {
            "Session has no result yet; it is being made, ask again later".to_owned()
        }
        Some(error) => format!("Session has no result; making it failed: {error}"),
        None => "Session has no result yet; send a generate message first".to_owned(),
    };
    ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NoResult, detail)
}

/// A file of a result, with its media type and name.
pub fn file(file: ResultFile) -> Download {
    let ResultFile {
        session,
        number,
        format,
        bytes,
    } = file;
    Download {
        content: bytes.into(),
        tag: tag(session, number, Format::File(format)),
        content_type: format.content_type(),
        file_name: Some(format!("{session}.{}", format.extension())),
    }
}

/// A result as a web page.
fn page(result: &Answer) -> Result<Download, ApiError> {
    let session = result.metadata.session_id;
    Ok(Download {
        content: scene_page::content(description(result)?, result.glb.clone()),
        tag: tag(session, result.number, Format::Html),
        content_type: "text/html; charset=utf-8",
        file_name: Some(format!("{session}.html")),
    })
}

/// The message of a result without the point cloud.
#[derive(Serialize, ToSchema)]
#[schema(as = ResultDescription)]
pub struct Description<'a> {
    #[serde(rename = "type")]
    kind: AnswerKind,
    image_count: u32,
    /// Number of the request within the session.
    number: u64,
    metadata: &'a ResultMetadata,
}

/// The description of a result.
fn json(result: &Answer) -> Result<Download, ApiError> {
    Ok(Download {
        content: BlobView::from(description(result)?).into(),
        tag: tag(result.metadata.session_id, result.number, Format::Json),
        content_type: "application/json",
        file_name: None,
    })
}

/// The description of a result as JSON. It has the names of all images, so readers share it. It stands in a
/// web page, too, so that no name may end its block.
fn description(result: &Answer) -> Result<Bytes, ApiError> {
    let description = Description {
        kind: result.kind,
        image_count: result.image_count,
        number: result.number,
        metadata: &result.metadata,
    };
    let text = result.description.get(|| {
        let text = serde_json::to_string(&description)?;
        Ok::<_, serde_json::Error>(text.replace('<', "\\u003c").into_bytes())
    });
    text.map_err(|error| ApiError::internal(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(value: &str) -> Result<Format, ApiError> {
        Format::from_query(&Query::from(vec![("format".to_owned(), value.to_owned())]))
    }

    #[test]
    fn glb_is_the_default() {
        let glb = Ok(Format::File(ResultFormat::Glb));
        assert_eq!(Format::from_query(&Query::default()), glb);
        assert_eq!(format("json"), Ok(Format::Json));
        for one in ResultFormat::VARIANTS.iter().copied() {
            assert_eq!(format(one.into()), Ok(Format::File(one)));
        }
    }

    #[test]
    fn an_unknown_format_is_answered_with_the_known_ones() {
        assert_eq!(
            format("obj").expect_err("unknown").detail(),
            "format must be glb, ply, colmap, colmap_original, npz, nerfstudio, nerfstudio_original, las, \
             laz, e57, xyz, csv, mesh_glb, mesh_ply, mesh_obj, html or json, but it is \"obj\""
        );
    }
}

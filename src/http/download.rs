//! Files over HTTP: validators, conditional requests and ranges (RFC 9110, sections 8.8, 13 and
//! 14).

use std::io;
use std::ops::Range;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use headers::{
    AcceptRanges, CacheControl, ContentLength, ContentRange, ETag, Header, HeaderMapExt, IfMatch,
    IfNoneMatch, IfRange,
};
use pointstream_actors::{BlobView, ErrorCode};
use warp::http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{Method, StatusCode};
use warp::reply::{Reply, Response};

use crate::api::ApiError;

/// Bytes that are passed to the connection at a time.
const PIECE: usize = 256 << 10;
/// The same of a file within a page: three bytes become four characters.
const PIECE_OF_PAGE: usize = 192 << 10;

/// A file to be sent.
#[derive(Debug, Clone)]
pub struct Download {
    pub content: Content,
    /// The strong entity tag, without quotes.
    pub tag: String,
    pub content_type: &'static str,
    /// Name under which a browser saves the file: ASCII without quotes. Without one, it is shown.
    pub file_name: Option<String>,
}

/// What is sent. A file on disk needs no memory but for the piece that is being sent.
#[derive(Debug, Clone)]
pub enum Content {
    Plain(BlobView),
    /// A page with a file in it, as base64. What is before it comes in pieces that readers share.
    Page {
        before: Vec<Bytes>,
        file: BlobView,
        after: Bytes,
    },
}

impl Content {
    /// Fails if it cannot be read as a whole any more.
    ///
    /// # Errors
    /// If a file has become shorter, or the system does not tell.
    pub async fn check(&self) -> io::Result<()> {
        match self {
            Self::Plain(file) | Self::Page { file, .. } => file.check().await,
        }
    }
}

impl<B: Into<BlobView>> From<B> for Content {
    fn from(bytes: B) -> Self {
        Self::Plain(bytes.into())
    }
}

impl Download {
    /// The response to a `GET` or `HEAD` with these headers: the whole file, a range of it, or
    /// what the conditions of the request ask for.
    ///
    /// # Errors
    /// 412 if `If-Match` names another tag, 500 if the tag is not a valid header value.
    pub fn respond(self, method: &Method, request: &HeaderMap) -> Result<Response, ApiError> {
        if let Some(decided) = decided(&self.tag, request)? {
            return Ok(decided);
        }
        let etag = entity_tag(&self.tag)?;
        let response = self.content(self.wanted(method, request, &etag));
        Ok(validated(response, etag))
    }

    /// The whole file without a tag, for a file that cannot be fetched again.
    pub fn whole(&self) -> Response {
        self.content(Wanted::Whole)
    }

    fn wanted(&self, method: &Method, request: &HeaderMap, etag: &ETag) -> Wanted {
        let changed =
            request
                .get(IfRange::name())
                .is_some_and(|_| match request.typed_get::<IfRange>() {
                    Some(condition) => condition.is_modified(Some(etag), None),
                    None => true,
                });
        match request.get(RANGE).map(HeaderValue::to_str) {
            Some(Ok(range)) if *method == Method::GET && !changed => match &self.content {
                Content::Plain(bytes) => Wanted::parse(range, bytes.len()),
                Content::Page { .. } => Wanted::Whole,
            },
            _ => Wanted::Whole,
        }
    }

    fn content(&self, wanted: Wanted) -> Response {
        let bytes = match &self.content {
            Content::Plain(bytes) => bytes,
            Content::Page {
                before,
                file,
                after,
            } => return self.page(before, file, after),
        };
        let total = bytes.len() as u64;
        let (status, bytes, range) = match wanted {
            Wanted::Whole => (StatusCode::OK, bytes.clone(), None),
            Wanted::Part(part) => (
                StatusCode::PARTIAL_CONTENT,
                bytes.slice(part.clone()),
                ContentRange::bytes(part.start as u64..part.end as u64, total).ok(),
            ),
            Wanted::Unsatisfiable => {
                let detail = format!("the file has {total} bytes, and the range is beyond them");
                let mut response = ApiError::new(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    ErrorCode::RangeNotSatisfiable,
                    detail,
                )
                .into_response();
                let headers = response.headers_mut();
                headers.typed_insert(ContentRange::unsatisfied_bytes(total));
                return response;
            }
        };
        let length = bytes.len() as u64;
        let response = warp::reply::stream(pieces(bytes, PIECE)).into_response();
        let mut response = self.described(response, length);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.typed_insert(AcceptRanges::bytes());
        if let Some(range) = range {
            headers.typed_insert(range);
        }
        response
    }

    /// A page with a file in it; always the whole page.
    fn page(&self, before: &[Bytes], file: &BlobView, after: &Bytes) -> Response {
        let encoded = file.len().div_ceil(3) * 4;
        let length = before.iter().map(Bytes::len).sum::<usize>() + encoded + after.len();
        let begin = stream::iter(before.to_vec()).map(Ok);
        let end = stream::iter([Ok(after.clone())]);
        let file = pieces(file.clone(), PIECE_OF_PAGE)
            .map_ok(|piece| Bytes::from(BASE64_STANDARD.encode(piece)));
        let response = warp::reply::stream(begin.chain(file).chain(end)).into_response();
        let mut response = self.described(response, length as u64);
        // If a browser shows it in place of saving it, it must not act as one of the server's own.
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
        response
    }

    fn described(&self, mut response: Response, length: u64) -> Response {
        let headers = response.headers_mut();
        headers.typed_insert(ContentLength(length));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        // Clients chose the bytes: a browser must take them for nothing else.
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(name) = &self.file_name
            && let Ok(name) = HeaderValue::try_from(format!("attachment; filename=\"{name}\""))
        {
            headers.insert(CONTENT_DISPOSITION, name);
        }
        response
    }
}

/// The response if the conditions of the request determine it. Then the file is not needed.
///
/// # Errors
/// 412 if `If-Match` names another tag, 500 if the tag is not a valid header value.
pub fn decided(tag: &str, request: &HeaderMap) -> Result<Option<Response>, ApiError> {
    let etag = entity_tag(tag)?;
    if let Some(condition) = request.typed_get::<IfMatch>()
        && !condition.precondition_passes(&etag)
    {
        return Err(ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            ErrorCode::PreconditionFailed,
            "the file has changed; fetch it without If-Match",
        ));
    }
    let kept = request
        .typed_get::<IfNoneMatch>()
        .is_some_and(|condition| !condition.precondition_passes(&etag));
    Ok(kept.then(|| {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        validated(response, etag)
    }))
}

fn entity_tag(tag: &str) -> Result<ETag, ApiError> {
    format!("\"{tag}\"")
        .parse()
        .map_err(|_| ApiError::internal(&format!("{tag:?} is not a valid entity tag")))
}

/// A response with the headers that later conditional requests need.
fn validated(mut response: Response, etag: ETag) -> Response {
    let headers = response.headers_mut();
    headers.typed_insert(etag);
    // Caches must ask again: the same URL gives a newer result later.
    headers.typed_insert(CacheControl::new().with_no_cache());
    response
}

/// The bytes in pieces; the connection takes the next one after it has sent the one before. If one
/// cannot be read, the connection ends before the announced length.
fn pieces(bytes: BlobView, size: usize) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(bytes.into_pieces(size), async |mut rest| {
        let piece = rest.next().await.inspect_err(|error| {
            tracing::error!(%error, "a file cannot be read to its end");
        })?;
        Ok(piece.map(|piece| (piece, rest)))
    })
}

/// The part of a file that a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    Part(Range<usize>),
    Unsatisfiable,
}

impl Wanted {
    /// Parses one range of bytes. Other ranges, and several ranges, may be answered with the whole
    /// file (RFC 9110, section 14.2).
    pub(super) fn parse(range: &str, length: usize) -> Self {
        let Some((unit, range)) = range.split_once('=') else {
            return Self::Whole;
        };
        let Some((first, last)) = range.trim().split_once('-') else {
            return Self::Whole;
        };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        let (Ok(first), Ok(last)) = (number(first), number(last)) else {
            return Self::Whole;
        };
        let part = match (first, last) {
            (Some(first), Some(last)) if first > last => return Self::Whole,
            (Some(first), Some(last)) => first..last.saturating_add(1).min(length),
            (Some(first), None) => first..length,
            (None, Some(suffix)) => length.saturating_sub(suffix)..length,
            (None, None) => return Self::Whole,
        };
        if part.is_empty() {
            Self::Unsatisfiable
        } else {
            Self::Part(part)
        }
    }
}

/// The text has a character that is not a digit.
struct NotANumber;

/// A number, or none for an empty text. A number beyond `usize` becomes its maximum.
fn number(text: &str) -> Result<Option<usize>, NotANumber> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotANumber);
    }
    Ok((!text.is_empty()).then(|| text.parse().unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_parsed() {
        for (range, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("Bytes = 2-5", 2..6),
            ("bytes=2-", 2..10),
            ("bytes=2-100", 2..10),
            ("bytes=9-99999999999999999999999", 9..10),
            ("bytes=-3", 7..10),
            ("bytes=-100", 0..10),
        ] {
            assert_eq!(Wanted::parse(range, 10), Wanted::Part(expected), "{range}");
        }
    }

    #[test]
    fn ranges_beyond_the_end_are_unsatisfiable() {
        for range in [
            "bytes=10-",
            "bytes=10-20",
            "bytes=99999999999999999999999-",
            "bytes=-0",
        ] {
            assert_eq!(Wanted::parse(range, 10), Wanted::Unsatisfiable, "{range}");
        }
        assert_eq!(Wanted::parse("bytes=0-", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn other_ranges_mean_the_whole_file() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=1",
            "bytes=a-b",
            "bytes=-1-2",
            "bytes=+1-2",
            "bytes=0-1,3-4",
            "items=0-1",
        ] {
            assert_eq!(Wanted::parse(range, 10), Wanted::Whole, "{range}");
        }
    }
}

//! JSON bodies of requests. Parameters are in the URL, so a body is a mistake; only that of a request for a
//! new session may have something: a webhook, whose secret does not belong in a URL.

use std::time::Duration;

use futures_util::StreamExt;
use pointstream_actors::ErrorCode;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use warp::http::StatusCode;

use super::multipart::Body;
use crate::api::{ApiError, Query, Request, SESSION_PARAMETERS};
use crate::nearest::nearest;
use crate::webhooks::WantedWebhook;

/// Bytes of a body that are looked at.
const LOOKED_AT: usize = 64 << 10;
/// The only field.
const WEBHOOK: &str = "webhook";

/// What a new session has beside its parameters.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only describes the fields that are read one by one"
)]
pub struct NewSession {
    /// Where the events of the session are sent; nowhere if it is missing.
    #[schema(nullable = false)]
    webhook: Option<WantedWebhook>,
}

/// Reads the webhook of a body. Anything else in it is refused, unless the client sends `strict=false`;
/// an empty body, `null` or an empty object says nothing. A body that cannot be read but seems to have a
/// webhook is always refused: the client would wait for messages in vain.
///
/// # Errors
/// 422 that says where parameters belong, or what is wrong with the webhook; 400 if the body breaks off, and
/// 408 if it does not come in time.
pub async fn webhook_of(
    body: Body,
    query: &Query,
    timeout: Duration,
) -> Result<Option<WantedWebhook>, ApiError> {
    let strict = query.is_strict()?;
    let text = text_of(body, timeout).await?;
    let mut fields = match fields_of(&text) {
        Some(fields) => fields,
        None if text
            .windows(WEBHOOK.len())
            .any(|part| part == WEBHOOK.as_bytes()) =>
        {
            return Err(ApiError::invalid(format!(
                "the body seems to have a {WEBHOOK}, but is no JSON object of at most {LOOKED_AT} bytes"
            )));
        }
        None if !strict => Map::new(),
        None => return Err(unexpected("", &SESSION_PARAMETERS)),
    };
    let webhook = fields.remove(WEBHOOK).filter(|value| !value.is_null());
    let is_wrong = |name: &&String| strict || nearest(name, [WEBHOOK]).is_some();
    if let Some(name) = fields.keys().find(is_wrong) {
        return Err(unexpected(name, &SESSION_PARAMETERS));
    }
    let webhook = webhook.map(serde_json::from_value).transpose();
    webhook.map_err(|error| ApiError::invalid(format!("{WEBHOOK}: {error}")))
}

/// Refuses parameters and a body of a request that has none, unless the client sends `strict=false`.
///
/// # Errors
/// 422 that says what there is too much of; 400 if the body breaks off, and 408 if it does not come in time.
pub async fn nothing<P>(request: &Request<P>, body: Body) -> Result<(), ApiError> {
    request.query.only([])?;
    if !request.query.is_strict()? {
        return Ok(());
    }
    let text = text_of(body, request.app.options.receive_timeout).await?;
    match fields_of(&text) {
        None => Err(unexpected("", &[])),
        Some(fields) => match fields.keys().next() {
            Some(name) => Err(unexpected(name, &[])),
            None => Ok(()),
        },
    }
}

/// The beginning of a body.
async fn text_of(body: Body, timeout: Duration) -> Result<Vec<u8>, ApiError> {
    let text = tokio::time::timeout(timeout, read(body)).await;
    let text = text.map_err(|_| {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorCode::SendsTooSlowly,
            "the body of the request did not come in time; this request needs none",
        )
    })?;
    text.map_err(|error| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::InvalidForm,
            format!("the body of the request cannot be read: {error}"),
        )
    })
}

/// The fields of a body, or none if it is no JSON object. An empty body and `null` have no fields.
fn fields_of(text: &[u8]) -> Option<Map<String, Value>> {
    if text.trim_ascii().is_empty() {
        return Some(Map::new());
    }
    match serde_json::from_slice(text) {
        Ok(Value::Null) => Some(Map::new()),
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

async fn read(mut body: Body) -> Result<Vec<u8>, warp::Error> {
    let mut text = Vec::new();
    while text.len() < LOOKED_AT
        && let Some(piece) = body.next().await
    {
        text.extend_from_slice(&piece?);
    }
    Ok(text)
}

/// The body has a field of this name, or is no object, where the URL can have these parameters.
fn unexpected(name: &str, known: &[&str]) -> ApiError {
    let name: String = name.chars().take(100).collect();
    let example = nearest(&name, known.iter().copied()).or(known.first().copied());
    let advice = match example {
        Some(_) if nearest(&name, [WEBHOOK]).is_some() => {
            format!("is {WEBHOOK:?} meant? That is the only field")
        }
        Some(example) => format!(
            "parameters belong in the URL, such as ?{example}=... (strict=false ignores the body, but \
             for \"{WEBHOOK}\")"
        ),
        None => "it has no parameters (strict=false ignores the body)".to_owned(),
    };
    let found = match name.is_empty() {
        true => "a body".to_owned(),
        false => format!("a body with {name:?}"),
    };
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::UnexpectedBody,
        format!("the request has {found}, which is not read: {advice}"),
    )
}

//! REST for operators: the messages of webhooks.

use std::str::FromStr;
use std::time::SystemTime;

use pointstream_actors::{DeliveryFilter, DeliveryReport, DeliveryState, SessionId};
use serde::Serialize;
use strum::VariantArray as _;
use utoipa::ToSchema;
use warp::reply::Json;

use pointstream_reconstruction::word_list;

use super::multipart::Body;
use super::operators::Done;
use super::request_body;
use super::time::unix_seconds;
use crate::api::{ApiError, ErrorBody, Query, Request};
use crate::auth::{Action, Target};

/// Messages of one answer, unless the caller asks for fewer or more.
const PAGE: u32 = 100;
/// The most messages of one answer.
const LARGEST_PAGE: u32 = 1000;
const PARAMETERS: [&str; 4] = ["before", "limit", "state", "session"];

/// Messages of webhooks.
#[derive(Serialize, ToSchema)]
pub struct Deliveries {
    /// The newest first.
    deliveries: Vec<Delivery>,
    /// The parameter `before` of the next page; null if this is the last one.
    next: Option<u64>,
}

/// A message of a webhook.
#[derive(Serialize, ToSchema)]
struct Delivery {
    /// Larger than that of every earlier message.
    number: u64,
    /// The `webhook-id` of the message.
    message_id: String,
    /// The type of the event.
    #[schema(example = "result.made")]
    event: String,
    #[schema(value_type = uuid::Uuid)]
    session_id: String,
    /// `session` for the webhook of the session, `operator` for that of the operator.
    receiver: String,
    /// Scheme, host and port of the receiver.
    #[schema(example = "https://example.org")]
    host: String,
    /// `waiting`, `delivered` or `failed`.
    state: String,
    attempts: u32,
    /// When the event happened, in seconds since 1970-01-01 UTC, like the other times.
    created_at: f64,
    last_attempt_at: Option<f64>,
    /// The status of the last answer.
    last_status: Option<u16>,
    /// Why the last attempt failed.
    last_error: Option<String>,
    /// When it is tried again at the earliest.
    next_attempt_at: Option<f64>,
}

impl From<DeliveryReport> for Delivery {
    fn from(report: DeliveryReport) -> Self {
        let seconds = |time: Option<SystemTime>| time.map(unix_seconds);
        Self {
            number: report.number,
            message_id: report.message_id,
            event: report.event,
            session_id: report.session,
            receiver: report.receiver,
            host: report.host,
            state: report.state,
            attempts: report.attempts,
            created_at: unix_seconds(report.created_at),
            last_attempt_at: seconds(report.last_attempt_at),
            last_status: report.last_status,
            last_error: report.last_error,
            next_attempt_at: seconds(report.next_attempt_at),
        }
    }
}

/// Lists the messages of webhooks, the newest first: those that wait, and the last that do not any more.
#[utoipa::path(
    get, path = "/webhooks/deliveries", operation_id = "list_deliveries", tag = "operators",
    security(("token" = ["operate"])),
    params(
        ("before" = Option<u64>, Query, description = "Only messages with a smaller number"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many at most; 100 if it is missing"),
        ("state" = Option<String>, Query, description = "Only messages in this state: `waiting`, `delivered` or `failed`"),
        ("session" = Option<uuid::Uuid>, Query, description = "Only messages about this session"),
    ),
    responses(
        (status = 200, description = "The messages", body = Deliveries),
        (status = 422, description = "A parameter is invalid", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn list(request: Request) -> Result<Json, ApiError> {
    let query = &request.query;
    query.only(PARAMETERS)?;
    let filter = filter(query)?;
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let one_more = DeliveryFilter {
        limit: filter.limit + 1,
        ..filter
    };
    let mut found = request.app.system.deliveries(one_more).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok(warp::reply::json(&Deliveries {
        next: found.last().map(|last| last.number).filter(|_| more),
        deliveries: found.into_iter().map(Delivery::from).collect(),
    }))
}

fn filter(query: &Query) -> Result<DeliveryFilter, ApiError> {
    let before = query.integer("before")?;
    let before =
        before.map(|number| u64::try_from(number.clamp(0, i64::MAX.into())).unwrap_or_default());
    let limit = query.integer("limit")?.unwrap_or(PAGE.into());
    let limit = u32::try_from(limit)
        .ok()
        .filter(|limit| (1..=LARGEST_PAGE).contains(limit));
    let limit = limit
        .ok_or_else(|| ApiError::invalid(format!("limit must be between 1 and {LARGEST_PAGE}")))?;
    let state = query.text("state").map(|text| {
        DeliveryState::from_str(text).map_err(|_| {
            let known = word_list(DeliveryState::VARIANTS.iter().map(<&str>::from), "or");
            ApiError::invalid(format!("state must be {known}"))
        })
    });
    let session = query.text("session").map(|text| {
        SessionId::try_parse(text)
            .map_err(|_| ApiError::invalid("session must be the identifier of a session"))
    });
    Ok(DeliveryFilter {
        before,
        state: state.transpose()?,
        session: session.transpose()?,
        limit,
    })
}

/// The number of a message in a URL: digits without a sign or leading zeros.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryNumber(u64);

impl FromStr for DeliveryNumber {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text.parse::<i64>().map_err(|_| ())?;
        let number = u64::try_from(number).map_err(|_| ())?;
        (number.to_string() == text)
            .then_some(Self(number))
            .ok_or(())
    }
}

/// Tries to deliver a message again, at once and with all attempts, also if it was delivered or given up.
#[utoipa::path(
    post, path = "/webhooks/deliveries/{number}/redeliver", operation_id = "redeliver",
    tag = "operators",
    security(("token" = ["operate"])),
    params(("number" = u64, Path, description = "The number of the message")),
    responses(
        (status = 200, description = "The message is tried again", body = Done),
        (status = 400, description = "The body breaks off", body = ErrorBody),
        (status = 404, description = "The message does not exist", body = ErrorBody),
        (status = 408, description = "The body was not received in time", body = ErrorBody),
        (status = 422, description = "A parameter or a body that there is none of", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn redeliver(request: Request<(DeliveryNumber, Body)>) -> Result<Json, ApiError> {
    let (request, (DeliveryNumber(number), body)) = request.take_target();
    request_body::nothing(&request, body).await?;
    request.app.system.redeliver(number).await?;
    request.did(Action::WebhookRedelivered, Target::Delivery(number));
    Ok(warp::reply::json(&Done {
        success: true,
        message: format!("Message {number} is delivered again"),
    }))
}

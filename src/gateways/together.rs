//! Answers about the sessions of all gateways.

use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Body;
use pointstream_actors::{GatewayRecord, Unanswered};
use serde_json::{Map, Value};
use warp::http::header::{self, HeaderMap};
use warp::http::{Method, Request, StatusCode};
use warp::reply::{Reply as _, Response};

use super::peer::PeerError;
use super::{Gateways, MEANT, PROOF};
use crate::api::ApiError;

/// The list of sessions.
const SESSIONS: &str = "/ws/sessions";
/// Most bytes of the list of another gateway.
const LARGEST_LIST: usize = 64 << 20;

impl Gateways {
    /// Whether a client asks for the list of all sessions.
    pub(super) fn wants_all_sessions<B>(&self, request: &Request<B>) -> bool {
        let is_list = request.method() == Method::GET && request.uri().path() == SESSIONS;
        is_list && !self.recognize(request.headers())
    }

    /// Adds the lists of the other gateways to that of this one, or answers that one of them does not say.
    /// `headers` are those of the client's request: each gateway asks itself who the client is.
    pub(super) async fn all_sessions(&self, own: Response, headers: &HeaderMap) -> Response {
        let others = self.system.other_gateways();
        if own.status() != StatusCode::OK || others.is_empty() {
            return own;
        }
        let asked = others.iter().map(|gateway| self.list(gateway, headers));
        // With what lets the page of a client read it.
        let (mut head, body) = own.into_parts();
        let (own, lists) = tokio::join!(read(body), join_all(asked));
        let mut all = match own {
            Ok(own) => own,
            Err(error) => return ApiError::internal(&error).into_response(),
        };
        for (gateway, list) in others.iter().zip(lists) {
            match list {
                Ok(list) => add(&mut all, list),
                Err(PeerFailure::Gone) => self.system.gateway_is_gone(gateway.id),
                Err(PeerFailure::Silent(error)) => {
                    tracing::warn!(
                        gateway = gateway.address,
                        error,
                        "the sessions of another gateway are not known"
                    );
                    return ApiError::from(Unanswered::Busy).into_response();
                }
            }
        }
        if let Some(sessions) = all["sessions"].as_array_mut() {
            let created = |session: &Value| session["created_at"].as_f64().unwrap_or(0.0);
            sessions.sort_by(|one, other| created(one).total_cmp(&created(other)));
        }
        let mut answer = warp::reply::json(&all).into_response();
        head.headers.remove(header::CONTENT_LENGTH);
        answer.headers_mut().extend(head.headers);
        answer
    }
}

/// Reads a list.
async fn read<B>(body: B) -> Result<Value, String>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = Limited::new(body, LARGEST_LIST).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

/// Why there is no list of another gateway.
enum PeerFailure {
    /// It is not there any more.
    Gone,
    Silent(String),
}

impl From<PeerError> for PeerFailure {
    fn from(error: PeerError) -> Self {
        match error.is_refused() {
            true => Self::Gone,
            false => Self::Silent(error.to_string()),
        }
    }
}

impl Gateways {
    /// The sessions of another gateway that the client of a request with these headers may reach.
    async fn list(
        &self,
        gateway: &GatewayRecord,
        headers: &HeaderMap,
    ) -> Result<Value, PeerFailure> {
        let silent = |error: &dyn std::fmt::Display| PeerFailure::Silent(error.to_string());
        let mut request = Request::get(SESSIONS)
            .header(PROOF, &self.proof)
            .header(MEANT, gateway.id.to_string());
        for name in [header::AUTHORIZATION, header::HOST] {
            if let Some(value) = headers.get(&name) {
                request = request.header(name, value);
            }
        }
        let request = request.body(Empty::<bytes::Bytes>::new());
        let request = request.map_err(|error| silent(&error))?;
        let connection = self.connect(gateway).await?;
        let (answer, _driver) = connection.send(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(silent(&answer.status()));
        }
        read(answer.into_body()).await.map_err(PeerFailure::Silent)
    }
}

/// Adds a list to another: its sessions, and its counts.
fn add(all: &mut Value, other: Value) {
    let Value::Object(mut other) = other else {
        return;
    };
    if let (Some(all), Some(Value::Array(sessions))) =
        (all["sessions"].as_array_mut(), other.remove("sessions"))
    {
        all.extend(sessions);
    }
    if let (Some(all), Some(Value::Object(counts))) =
        (all["stats"].as_object_mut(), other.remove("stats"))
    {
        add_counts(all, &counts);
    }
}

/// Adds whole numbers; what is no count is the same everywhere.
fn add_counts(all: &mut Map<String, Value>, other: &Map<String, Value>) {
    for (name, count) in all {
        let counts = count.as_u64().zip(other.get(name).and_then(Value::as_u64));
        if let Some((one, other)) = counts {
            *count = one.saturating_add(other).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_are_added_and_times_are_not() {
        let stats = json!({"total_sessions": 1, "max_sessions": 10, "session_timeout": 3600.0});
        let mut all = json!({"stats": stats, "sessions": [{"created_at": 2.0}]});
        let other = json!({"stats": stats, "sessions": [{"created_at": 1.0}]});
        add(&mut all, other);
        assert_eq!(
            all["stats"],
            json!({"total_sessions": 2, "max_sessions": 20, "session_timeout": 3600.0})
        );
        assert_eq!(all["sessions"].as_array().map(Vec::len), Some(2));
    }
}

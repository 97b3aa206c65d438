//! Verifies messages of webhooks, which follow <https://www.standardwebhooks.com>.

use hyper::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, Webhook};

/// A message that was verified.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WebhookMessage {
    /// The same for all attempts to deliver a message: handle each only once.
    #[serde(skip)]
    pub id: String,
    /// `result.made`, `request.failed`, `session.ended`, `session.failed`, or a later addition.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened, as the server writes it (RFC 3339).
    pub timestamp: String,
    /// What happened, as docs/webhooks.md describes it.
    pub data: Map<String, Value>,
}

/// A message of a webhook is not from the server, too old, or malformed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The secret is not one of the server.
    #[error("the secret is not `whsec_` and base64 of at least one byte")]
    Secret,
    /// A header is missing or malformed, the message is more than five minutes old, or no signature
    /// fits.
    #[error("{0}; the secret may be another one, the clocks may differ, or the body was changed")]
    Unverified(String),
    /// It is signed, but no message.
    #[error("the body is not a message of a webhook ({0})")]
    Malformed(String),
}

/// Checks that a message is from the server and at most five minutes old.
///
/// `body` is the body as it came, before any parser.
///
/// ```
/// use pointstream_client::{HeaderMap, webhooks};
///
/// fn status(secret: &str, headers: &HeaderMap, body: &[u8]) -> u16 {
///     match webhooks::verify(secret, headers, body) {
///         Ok(message) => {
///             println!("{} {} {:?}", message.id, message.kind, message.data);
///             204
///         }
///         Err(_) => 400,
///     }
/// }
/// # assert_eq!(status("whsec_c2VjcmV0", &HeaderMap::new(), b"{}"), 400);
/// ```
pub fn verify(
    secret: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<WebhookMessage, WebhookError> {
    if secret.trim_start_matches("whsec_").is_empty() {
        // Anybody could sign with an empty key.
        return Err(WebhookError::Secret);
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // The library computes with any number.
    let timestamp = text(HEADER_WEBHOOK_TIMESTAMP).unwrap_or_default();
    let digits = timestamp.bytes().all(|digit| digit.is_ascii_digit());
    if !digits || timestamp.is_empty() || timestamp.len() > 12 {
        return Err(WebhookError::Unverified(
            "webhook-timestamp is not a number of seconds".to_owned(),
        ));
    }
    let key = Webhook::new(secret).map_err(|_| WebhookError::Secret)?;
    key.verify(body, headers)
        .map_err(|error| WebhookError::Unverified(error.to_string()))?;
    let mut message: WebhookMessage =
        serde_json::from_slice(body).map_err(|error| WebhookError::Malformed(error.to_string()))?;
    message.id = text(HEADER_WEBHOOK_ID).unwrap_or_default().to_owned();
    Ok(message)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    const SECRET: &str = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
    const BODY: &[u8] =
        br#"{"type": "result.made", "timestamp": "2030-01-01T00:00:00Z", "data": {"number": 1}}"#;

    fn now() -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_secs() as i64
    }

    fn signed(secret: &str, timestamp: i64, body: &[u8]) -> HeaderMap {
        let signature = Webhook::new(secret).unwrap().sign("msg_1", timestamp, body);
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg_1".parse().unwrap());
        headers.insert("webhook-timestamp", timestamp.to_string().parse().unwrap());
        headers.insert("webhook-signature", signature.unwrap().parse().unwrap());
        headers
    }

    #[test]
    fn a_message_of_the_server_is_read() {
        let message = verify(SECRET, &signed(SECRET, now(), BODY), BODY).unwrap();
        assert_eq!(
            (message.id.as_str(), message.kind.as_str()),
            ("msg_1", "result.made")
        );
        assert_eq!(message.data["number"], 1);
    }

    #[test]
    fn one_of_several_signatures_suffices() {
        let mut headers = signed(SECRET, now(), BODY);
        let good = headers["webhook-signature"].to_str().unwrap().to_owned();
        let both = format!("v1,AAAA {good}");
        headers.insert("webhook-signature", both.parse().unwrap());
        assert!(verify(SECRET, &headers, BODY).is_ok());
    }

    #[test]
    fn others_are_refused() {
        let other = "whsec_b3RoZXJvdGhlcm90aGVy";
        let refused = |secret, headers: &HeaderMap, body: &[u8]| {
            matches!(
                verify(secret, headers, body),
                Err(WebhookError::Unverified(_))
            )
        };
        let good = signed(SECRET, now(), BODY);
        assert!(refused(other, &good, BODY));
        assert!(refused(SECRET, &good, &BODY[1..]));
        assert!(refused(SECRET, &signed(SECRET, now() - 301, BODY), BODY));
        assert!(refused(SECRET, &signed(SECRET, now() + 330, BODY), BODY));
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            let mut headers = good.clone();
            headers.remove(name);
            assert!(refused(SECRET, &headers, BODY), "{name}");
        }
        for timestamp in ["", "soon", "-9223372036854775808", "99999999999999"] {
            let mut headers = good.clone();
            headers.insert("webhook-timestamp", timestamp.parse().unwrap());
            assert!(refused(SECRET, &headers, BODY), "{timestamp}");
        }
    }

    #[test]
    fn an_empty_secret_verifies_nothing() {
        for secret in ["", "whsec_", "whsec_whsec_", "whsec_?"] {
            let found = verify(secret, &signed(SECRET, now(), BODY), BODY);
            assert!(matches!(found, Err(WebhookError::Secret)), "{secret}");
        }
    }

    #[test]
    fn a_signed_body_must_be_a_message() {
        let found = verify(SECRET, &signed(SECRET, now(), b"[]"), b"[]");
        assert!(matches!(found, Err(WebhookError::Malformed(_))));
    }
}

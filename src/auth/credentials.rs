//! Where a request carries its token.
//!
//! Never in the URL: those are logged by proxies and kept by browsers.

use warp::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use super::refusal::Refusal;
use super::secret::Secret;

/// The WebSocket subprotocol that the server selects if a client offers it.
pub const PROTOCOL: &str = "pointstream";
/// Begins a subprotocol that carries a token: pages cannot set other headers of a WebSocket.
const CARRIER: &str = "pointstream.bearer.";
/// Longest token in bytes.
pub(super) const MAX_TOKEN: usize = 8 << 10;

/// The token that a request presents, if it does.
///
/// # Errors
/// [`Refusal::Malformed`] if there is a header for it without a token.
pub fn presented(headers: &HeaderMap) -> Result<Option<Secret>, Refusal> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    if let Some(value) = given.next() {
        let text = value.to_str().map_err(|_| Refusal::Malformed)?;
        let (scheme, token) = text.split_once(' ').ok_or(Refusal::Malformed)?;
        let token = token.trim();
        let is_one = given.next().is_none();
        if !scheme.eq_ignore_ascii_case("bearer") || !is_token(token) || !is_one {
            return Err(Refusal::Malformed);
        }
        return Ok(Some(Secret::presented(token)));
    }
    let carried = offered(headers).find_map(|name| name.strip_prefix(CARRIER));
    match carried {
        Some(token) if is_token(token) => Ok(Some(Secret::presented(token))),
        Some(_) => Err(Refusal::Malformed),
        None => Ok(None),
    }
}

/// Whether a client offers the subprotocol of the service.
pub fn offers_protocol(headers: &HeaderMap) -> bool {
    offered(headers).any(|name| name == PROTOCOL)
}

/// The headers without tokens, so that no handler, error or log has them.
pub fn without_secrets(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(AUTHORIZATION);
    let offers = offers_protocol(&headers);
    if headers.remove(SEC_WEBSOCKET_PROTOCOL).is_some() && offers {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    headers
}

/// The subprotocols that a client offers.
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    !text.is_empty() && text.len() <= MAX_TOKEN && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn token(given: &[(&'static str, &'static str)]) -> Result<Option<String>, Refusal> {
        let presented = presented(&headers(given))?;
        Ok(presented.map(|secret| secret.reveal().to_owned()))
    }

    #[test]
    fn a_token_comes_in_a_header_or_beside_the_subprotocol() {
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(token(&[("authorization", "Bearer pst_a")]), some("pst_a"));
        assert_eq!(token(&[("authorization", "bearer  pst_a ")]), some("pst_a"));
        let both = "pointstream, pointstream.bearer.pst_b";
        assert_eq!(token(&[("sec-websocket-protocol", both)]), some("pst_b"));
        let apart = [
            ("sec-websocket-protocol", "pointstream"),
            ("sec-websocket-protocol", "pointstream.bearer.a.b-c_d"),
        ];
        assert_eq!(token(&apart), some("a.b-c_d"));
        assert_eq!(
            token(&[("sec-websocket-protocol", "pointstream")]),
            Ok(None)
        );
        assert_eq!(token(&[]), Ok(None));
    }

    #[test]
    fn other_credentials_are_malformed() {
        for value in [
            "Basic dXNlcjpwYXNz",
            "Bearer",
            "Bearer ",
            "pst_a",
            "Bearer a b",
        ] {
            let header = [("authorization", value)];
            assert_eq!(token(&header), Err(Refusal::Malformed), "{value:?}");
        }
        let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
        assert_eq!(token(&twice), Err(Refusal::Malformed));
        let empty = [("sec-websocket-protocol", "pointstream.bearer.")];
        assert_eq!(token(&empty), Err(Refusal::Malformed));
    }

    #[test]
    fn handlers_get_headers_without_tokens() {
        let given = headers(&[
            ("authorization", "Bearer pst_a"),
            (
                "sec-websocket-protocol",
                "pointstream, pointstream.bearer.pst_b",
            ),
            ("range", "bytes=0-1"),
        ]);
        let left = without_secrets(given);
        assert_eq!(left.len(), 2);
        assert_eq!(left[SEC_WEBSOCKET_PROTOCOL], "pointstream");
        let only = headers(&[("sec-websocket-protocol", "pointstream.bearer.pst_b")]);
        assert!(without_secrets(only).is_empty());
    }
}

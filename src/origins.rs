//! Origins of web pages that may use the server.
//!
//! A browser lets any web page send requests to a server on the user's machine. Without CORS headers
//! it only hides the responses from the page, and it does not even do that for a WebSocket. So unsafe
//! methods and WebSockets are refused to pages of other origins.

use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tower_http::cors::{AllowOrigin, CorsLayer, MaxAge};
use warp::http::header::{self, HeaderMap, HeaderValue};
use warp::http::{Method, Uri};

use crate::api::headers::{QUALITY, QUALITY_ADVICE, QUALITY_REASONS};
use crate::entrance::{Arrival, Authority, Host, Scheme, parse_origin};

/// Allowed origins besides the server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginPolicy {
    /// All origins.
    Any,
    /// Some origins.
    Listed {
        /// Whether `localhost` and loopback addresses are allowed, at any port.
        local: bool,
        /// Compared exactly.
        origins: Vec<String>,
    },
}

/// An item of the list is not an origin.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not an origin; write scheme://host or scheme://host:port, *, local, or null for \
     pages opened as files"
)]
pub struct UnknownOrigin(String);

/// A web page of this origin may not make the request.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("pages of {0} may not use this server; its operator can allow them with --cors-origins")]
pub struct ForbiddenOrigin(String);

impl FromStr for OriginPolicy {
    type Err = UnknownOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut local = false;
        let mut origins = Vec::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            match item {
                "*" => return Ok(Self::Any),
                "local" => local = true,
                "null" => origins.push(item.to_owned()),
                origin => {
                    origins
                        .push(normalize(origin).ok_or_else(|| UnknownOrigin(origin.to_owned()))?);
                }
            }
        }
        Ok(Self::Listed { local, origins })
    }
}

/// An origin as browsers write it; none if the text is not an origin.
fn normalize(origin: &str) -> Option<String> {
    let uri: Uri = origin.strip_suffix('/').unwrap_or(origin).parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let authority = uri.authority()?.as_str().to_ascii_lowercase();
    if authority.contains('@') || uri.query().is_some() || !matches!(uri.path(), "" | "/") {
        return None;
    }
    let default_port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    Some(format!("{scheme}://{authority}"))
}

impl OriginPolicy {
    /// Allows pages of one more origin.
    pub fn allow(&mut self, scheme: Scheme, authority: &Authority) {
        if let Self::Listed { origins, .. } = self {
            origins.push(format!("{scheme}://{authority}"));
        }
    }

    /// Whether only pages of this machine are allowed.
    pub fn is_local(&self) -> bool {
        let is_local = |origin: &String| {
            let origin = parse_origin(origin);
            origin.is_some_and(|(_, authority)| authority.is_of_this_machine())
        };
        match self {
            Self::Any => false,
            Self::Listed { origins, .. } => origins.iter().all(is_local),
        }
    }

    /// The hosts of the listed origins; `None` if all are allowed.
    pub fn hosts(&self) -> Option<impl Iterator<Item = Host>> {
        match self {
            Self::Any => None,
            Self::Listed { origins, .. } => {
                let origins = origins.iter().filter_map(|origin| parse_origin(origin));
                Some(origins.map(|(_, authority)| authority.host))
            }
        }
    }

    /// Whether a page of this origin may use the server. The arrival of the request gives the server's
    /// own origin.
    fn allows(&self, origin: &HeaderValue, arrival: Option<&Arrival>) -> bool {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        match self {
            Self::Any => true,
            Self::Listed { local, origins } => {
                origins.iter().any(|known| known == origin)
                    || parse_origin(origin).is_some_and(|(scheme, authority)| {
                        (*local && authority.host.is_local())
                            || arrival.is_some_and(|arrival| arrival.is_own(scheme, &authority))
                    })
            }
        }
    }

    /// Refuses unsafe methods and WebSockets to pages that are not allowed.
    ///
    /// # Errors
    /// [`ForbiddenOrigin`].
    pub fn check(
        &self,
        method: &Method,
        headers: &HeaderMap,
        arrival: &Arrival,
    ) -> Result<(), ForbiddenOrigin> {
        let safe = (method == Method::GET || method == Method::HEAD || method == Method::OPTIONS)
            && !headers.contains_key(header::UPGRADE);
        match headers.get(header::ORIGIN) {
            Some(origin) if !safe && !self.allows(origin, Some(arrival)) => {
                let origin = String::from_utf8_lossy(origin.as_bytes());
                Err(ForbiddenOrigin(origin.into_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The layer that answers preflight requests and adds CORS headers to responses.
    pub fn cors(&self) -> CorsLayer {
        let origins = match self {
            Self::Any => AllowOrigin::any(),
            Self::Listed { .. } => {
                let policy = self.clone();
                AllowOrigin::predicate(move |origin, request| {
                    policy.allows(origin, request.extensions.get::<Arrival>())
                })
            }
        };
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::IF_MATCH,
                header::IF_NONE_MATCH,
                header::IF_RANGE,
                header::RANGE,
            ])
            .expose_headers([
                header::ACCEPT_RANGES,
                header::CONTENT_DISPOSITION,
                header::CONTENT_RANGE,
                header::ETAG,
                header::LOCATION,
                header::RETRY_AFTER,
                header::WWW_AUTHENTICATE,
                QUALITY,
                QUALITY_REASONS,
                QUALITY_ADVICE,
            ])
            .max_age(MaxAge::exact(Duration::from_secs(600)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> OriginPolicy {
        text.parse().expect("valid")
    }

    fn allows(policy: &str, origin: &'static str) -> bool {
        let arrival = arrival("192.168.0.7:8000", None);
        self::policy(policy).allows(&HeaderValue::from_static(origin), Some(&arrival))
    }

    fn arrival(host: &str, scheme: Option<Scheme>) -> Arrival {
        Arrival::at(Some(host), scheme)
    }

    #[test]
    fn local_pages_are_those_of_loopback_addresses() {
        for origin in [
            "http://localhost:8080",
            "https://localhost",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
            "http://app.localhost",
        ] {
            assert!(allows("local", origin), "{origin}");
        }
        for origin in [
            "http://example.org",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "http://192.168.0.8:8000",
            "null",
        ] {
            assert!(!allows("local", origin), "{origin}");
        }
    }

    #[test]
    fn the_servers_own_pages_are_always_allowed() {
        assert!(allows("", "http://192.168.0.7:8000"));
        assert!(!allows("", "http://192.168.0.7:9000"));
        let own = |host, scheme, origin| {
            let origin = HeaderValue::from_static(origin);
            policy("").allows(&origin, Some(&arrival(host, scheme)))
        };
        for host in ["a.test", "A.test:443"] {
            assert!(own(host, None, "https://a.test"), "{host}");
            assert!(own(host, Some(Scheme::Https), "https://a.test"), "{host}");
        }
        assert!(own("a.test", None, "http://a.test"));
        assert!(!own("a.test", Some(Scheme::Https), "http://a.test"));
        assert!(!own("a.test:443", Some(Scheme::Http), "https://a.test"));
        assert!(!policy("").allows(&HeaderValue::from_static("http://a.test"), None));
    }

    #[test]
    fn listed_origins_match_exactly() {
        let list = "https://Example.org:443/, http://a.test:8080,null";
        assert!(allows(list, "https://example.org"));
        assert!(allows(list, "http://a.test:8080"));
        assert!(allows(list, "null"));
        assert!(!allows(list, "http://a.test"));
        assert!(!allows(list, "http://localhost"));
        assert!(allows("http://a.test,*", "https://anything.test"));
    }

    #[test]
    fn invalid_origins_are_refused() {
        for text in [
            "example.org",
            "ftp://a.test",
            "http://a.test/path",
            "http://u@a.test",
        ] {
            assert_eq!(
                text.parse::<OriginPolicy>(),
                Err(UnknownOrigin(text.to_owned()))
            );
        }
    }

    #[test]
    fn other_pages_may_only_use_safe_methods() {
        let arrival = arrival("192.168.0.7:8000", None);
        let policy = policy("local");
        let check = |method, headers: &HeaderMap| policy.check(method, headers, &arrival);
        let mut headers = HeaderMap::new();
        assert!(check(&Method::POST, &headers).is_ok(), "no browser");
        headers.insert(
            header::ORIGIN,
            HeaderValue::from_static("http://example.org"),
        );
        assert!(check(&Method::GET, &headers).is_ok());
        assert!(check(&Method::POST, &headers).is_err());
        assert!(check(&Method::DELETE, &headers).is_err());
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        assert!(check(&Method::GET, &headers).is_err());
        headers.insert(
            header::ORIGIN,
            HeaderValue::from_static("http://localhost:8080"),
        );
        assert!(check(&Method::GET, &headers).is_ok());
    }
}

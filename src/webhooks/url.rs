//! URLs of receivers.

use std::str::FromStr;

use thiserror::Error;
use warp::http::Uri;

use crate::entrance::{Authority, Host, Scheme};

/// The longest URL in bytes.
const LONGEST: usize = 2048;

/// A URL that messages can be sent to. It may have secrets in its path and query.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiverUrl {
    pub scheme: Scheme,
    pub authority: Authority,
    /// Path and query.
    pub path: String,
}

/// The text is not such a URL. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadUrl {
    #[error("the URL is longer than {LONGEST} bytes")]
    Long,
    #[error("the URL must be like https://example.org/path")]
    Form,
    #[error("the URL has a user name or password; the signature shows who sends a message")]
    UserInfo,
    #[error("the URL has a fragment, which is never sent; leave out # and what follows")]
    Fragment,
}

impl FromStr for ReceiverUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        if text.len() > LONGEST {
            return Err(BadUrl::Long);
        }
        if text.contains('#') {
            return Err(BadUrl::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| BadUrl::Form)?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(BadUrl::Form),
        };
        let authority = uri.authority().ok_or(BadUrl::Form)?.as_str();
        if authority.contains('@') {
            return Err(BadUrl::UserInfo);
        }
        let authority: Authority = authority.parse().map_err(|_| BadUrl::Form)?;
        if authority.port == Some(0) {
            return Err(BadUrl::Form);
        }
        Ok(Self {
            scheme,
            authority: authority.without_default_port(scheme),
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }
}

impl ReceiverUrl {
    /// The part that may be shown: scheme, host and port.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    pub fn port(&self) -> u16 {
        self.authority.port.unwrap_or(self.scheme.port())
    }

    /// The host as resolvers and certificates name it: addresses without brackets.
    pub fn host(&self) -> String {
        match &self.authority.host {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name.clone(),
        }
    }
}

impl std::fmt::Debug for ReceiverUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ReceiverUrl({})", self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_an_origin_that_may_be_shown() {
        for (text, origin, path, port) in [
            (
                "https://Hooks.Example.org",
                "https://hooks.example.org",
                "/",
                443,
            ),
            (
                "https://a.test:443/b?key=c",
                "https://a.test",
                "/b?key=c",
                443,
            ),
            (
                "http://127.0.0.1:9000/x",
                "http://127.0.0.1:9000",
                "/x",
                9000,
            ),
            (
                "https://[2001:db8::1]:8443/",
                "https://[2001:db8::1]:8443",
                "/",
                8443,
            ),
        ] {
            let url: ReceiverUrl = text.parse().expect("valid");
            assert_eq!(url.origin(), origin);
            assert_eq!((url.path.as_str(), url.port()), (path, port));
            assert_eq!(format!("{url:?}"), format!("ReceiverUrl({origin})"));
        }
    }

    #[test]
    fn what_is_no_url_is_refused_and_not_repeated() {
        let long = format!("https://a.test/{}", "x".repeat(LONGEST));
        for (text, error) in [
            ("", BadUrl::Form),
            ("a.test", BadUrl::Form),
            ("/path", BadUrl::Form),
            ("ftp://a.test/", BadUrl::Form),
            ("https://", BadUrl::Form),
            ("https://a.test:0/", BadUrl::Form),
            ("https://a.test:99999/", BadUrl::Form),
            ("https://a b/", BadUrl::Form),
            ("https://user:pass@a.test/", BadUrl::UserInfo),
            ("https://a.test/#b", BadUrl::Fragment),
            (&long, BadUrl::Long),
        ] {
            assert_eq!(text.parse::<ReceiverUrl>(), Err(error), "{text}");
        }
    }
}

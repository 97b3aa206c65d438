//! A path below which a reverse proxy shows the server, such as `/pointstream`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;
use warp::http::Uri;
use warp::http::uri::{self, PathAndQuery};

/// A path that begins with a slash and does not end with one, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathPrefix(Option<Arc<str>>);

/// The text is not such a path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a path; write for example /pointstream")]
pub struct InvalidPrefix(String);

/// How a path lies to the prefix.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// Below it; this is the address without it.
    Below(Uri),
    /// It is the prefix without the slash that would make relative links work.
    Itself,
    Elsewhere,
}

impl FromStr for PathPrefix {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPrefix(text.chars().take(100).collect());
        let path = text.trim_end_matches('/');
        if path.is_empty() {
            return if text.len() <= 1 {
                Ok(Self(None))
            } else {
                Err(invalid())
            };
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let segment =
            |text: &str| !text.is_empty() && text != "." && text != ".." && text.bytes().all(plain);
        match path.strip_prefix('/') {
            Some(segments) if segments.split('/').all(segment) => Ok(Self(Some(path.into()))),
            _ => Err(invalid()),
        }
    }
}

impl PathPrefix {
    /// The path, or an empty text.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Finds an address below the prefix.
    pub fn place(&self, address: &Uri) -> Place {
        let Some(prefix) = self.0.as_deref() else {
            return Place::Elsewhere;
        };
        let Some(rest) = address
            .path_and_query()
            .and_then(|path| path.as_str().strip_prefix(prefix))
        else {
            return Place::Elsewhere;
        };
        if rest.is_empty() || rest.starts_with('?') {
            return Place::Itself;
        }
        let path = rest.starts_with('/').then(|| rest.parse::<PathAndQuery>());
        let Some(Ok(path)) = path else {
            return Place::Elsewhere;
        };
        let mut parts = uri::Parts::from(address.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_or(Place::Elsewhere, Place::Below)
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_path_without_special_characters() {
        for (text, path) in [("", ""), ("/", ""), ("/a", "/a"), ("/a/b-c/", "/a/b-c")] {
            assert_eq!(text.parse::<PathPrefix>().expect("valid").as_str(), path);
        }
        for text in [
            "a",
            "//",
            "//a",
            "/a//b",
            "/a/../b",
            "/a?b",
            "/a#b",
            "/%61",
            "/a\"b",
            "/a b",
            "https://a",
        ] {
            assert!(text.parse::<PathPrefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_below_it_lose_it() {
        let prefix: PathPrefix = "/a".parse().expect("valid");
        let place = |path: &str| prefix.place(&path.parse().expect("an address"));
        let below = |path: &str| Place::Below(path.parse().expect("an address"));
        assert_eq!(place("/a/b?c=/d"), below("/b?c=/d"));
        assert_eq!(place("/a/"), below("/"));
        assert_eq!(place("/a/a/b"), below("/a/b"));
        assert_eq!(place("/a//b"), below("//b"));
        assert_eq!(place("http://h.test/a/b"), below("http://h.test/b"));
        assert_eq!(place("/a"), Place::Itself);
        assert_eq!(place("/a?b"), Place::Itself);
        for path in ["/ab/c", "/b/a", "/", "*"] {
            assert_eq!(place(path), Place::Elsewhere, "{path}");
        }
    }
}

//! The address under which people reach the server.

use std::str::FromStr;

use thiserror::Error;

use super::authority::{Authority, Scheme, parse_origin};
use super::prefix::PathPrefix;

/// An address such as `https://example.org/pointstream`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    pub scheme: Scheme,
    pub authority: Authority,
    pub prefix: PathPrefix,
}

/// The text is not such an address.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not an address; write for example https://example.org or https://example.org/pointstream"
)]
pub struct InvalidUrl(String);

impl FromStr for PublicUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let begin = text.find("://").map_or(0, |place| place + 3);
        let end = text[begin..]
            .find('/')
            .map_or(text.len(), |place| begin + place);
        let (origin, path) = text.split_at(end);
        match (parse_origin(&origin.to_ascii_lowercase()), path.parse()) {
            (Some((scheme, authority)), Ok(prefix)) => Ok(Self {
                scheme,
                authority,
                prefix,
            }),
            _ => Err(InvalidUrl(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_an_origin_and_a_path() {
        let parse = |text: &str| text.parse::<PublicUrl>().expect("valid");
        let url = parse("https://Example.org:443/a/");
        assert_eq!(url.authority.to_string(), "example.org");
        assert_eq!((url.scheme, url.prefix.as_str()), (Scheme::Https, "/a"));
        assert!(parse("http://a.test:8080").prefix.is_empty());
        for text in [
            "example.org",
            "ftp://a.test",
            "https://",
            "https://a.test/?b",
            "https://u@a.test/",
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(InvalidUrl(text.to_owned())));
        }
    }
}

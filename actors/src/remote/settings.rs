//! Where NATS and the shared files are.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// How gateways and nodes reach each other.
#[derive(Debug, Clone)]
pub struct NatsSettings {
    /// Addresses of servers of one cluster, such as `nats://10.0.0.5:4222`, separated by commas.
    pub url: String,
    /// A file of credentials (`.creds`).
    pub credentials: Option<PathBuf>,
    /// A file of certificates that the server's is signed by, beside those of the system.
    pub ca: Option<PathBuf>,
    /// The client's certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// What all names of streams, buckets and subjects begin with.
    pub prefix: String,
    /// How many servers keep what is stored.
    pub replicas: usize,
    /// Where frames and predictions travel.
    pub blobs: BlobPlace,
}

/// Where frames and predictions travel between gateways and nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobPlace {
    /// The object store of JetStream.
    Nats,
    /// A bucket of S3 or of a server that speaks its protocol, and a prefix: `s3://bucket/prefix`. The
    /// environment variables of the AWS tools say how it is reached.
    S3(String),
    /// A folder that all machines see.
    Folder(PathBuf),
}

/// The text names no place for blobs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is not nats, s3://BUCKET/PREFIX or an absolute path of a folder")]
pub struct BadBlobPlace(String);

impl FromStr for BlobPlace {
    type Err = BadBlobPlace;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bucket = text.strip_prefix("s3://");
        let path = PathBuf::from(text.strip_prefix("file://").unwrap_or(text));
        match bucket {
            _ if text == "nats" => Ok(Self::Nats),
            Some(bucket) if !bucket.is_empty() && !bucket.starts_with('/') => {
                Ok(Self::S3(text.to_owned()))
            }
            None if path.is_absolute() => Ok(Self::Folder(path)),
            _ => Err(BadBlobPlace(text.to_owned())),
        }
    }
}

impl fmt::Display for BlobPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nats => formatter.write_str("nats"),
            Self::S3(url) => formatter.write_str(url),
            Self::Folder(path) => write!(formatter, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let folder = BlobPlace::Folder("/mnt/shared".into());
        for (text, place) in [
            ("nats", BlobPlace::Nats),
            (
                "s3://bucket/some/prefix",
                BlobPlace::S3("s3://bucket/some/prefix".to_owned()),
            ),
            ("/mnt/shared", folder.clone()),
            ("file:///mnt/shared", folder),
        ] {
            assert_eq!(text.parse(), Ok(place));
        }
        for text in [
            "",
            "s3://",
            "shared",
            "https://example.org",
            "file://shared",
        ] {
            assert!(text.parse::<BlobPlace>().is_err(), "{text}");
        }
    }
}

//! The options of servers and workers that say where NATS is.

use std::path::PathBuf;

use clap::Args;
use pointstream_actors::{BlobPlace, NatsSettings};

use crate::values::at_least_one;

/// How servers and workers on other machines reach each other.
#[derive(Debug, Clone, Args)]
pub struct NatsOptions {
    /// Addresses of NATS servers with JetStream, such as nats://10.0.0.5:4222, through which servers and
    /// workers on other machines work together. Several of one cluster are separated by commas.
    #[arg(long, env = "POINTSTREAM_NATS", value_name = "URL")]
    pub nats: Option<String>,

    /// A file of credentials for NATS (.creds).
    #[arg(long, env = "POINTSTREAM_NATS_CREDENTIALS", value_name = "FILE")]
    pub nats_credentials: Option<PathBuf>,

    /// Certificates that the certificate of NATS may be signed by, as PEM. The connection must be encrypted then.
    #[arg(long, env = "POINTSTREAM_NATS_CA", value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,

    /// A certificate with which this process proves to NATS who it is, as PEM.
    #[arg(
        long,
        env = "POINTSTREAM_NATS_CERT",
        value_name = "FILE",
        requires = "nats_key"
    )]
    pub nats_cert: Option<PathBuf>,

    /// The key of --nats-cert.
    #[arg(
        long,
        env = "POINTSTREAM_NATS_KEY",
        value_name = "FILE",
        requires = "nats_cert"
    )]
    pub nats_key: Option<PathBuf>,

    /// What the names of streams, buckets and subjects begin with. Installations that share NATS have
    /// different ones.
    #[arg(long, env = "POINTSTREAM_NATS_PREFIX", value_name = "WORD", default_value = "pointstream",
          value_parser = word)]
    pub nats_prefix: String,

    /// How many servers of a NATS cluster keep what is stored.
    #[arg(long, env = "POINTSTREAM_NATS_REPLICAS", value_name = "COUNT", default_value_t = 1,
          value_parser = at_least_one)]
    pub nats_replicas: usize,

    /// Where images and predictions travel between servers and workers: nats (its object store),
    /// s3://BUCKET/PREFIX (with the environment variables of AWS: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    /// AWS_REGION, AWS_ENDPOINT), or the path of a folder that all machines see.
    #[arg(
        long,
        env = "POINTSTREAM_BLOBS",
        value_name = "PLACE",
        default_value = "nats"
    )]
    pub blobs: BlobPlace,
}

impl NatsOptions {
    /// The settings, if there is an address.
    pub fn settings(&self) -> Option<NatsSettings> {
        let certificate = self.nats_cert.clone().zip(self.nats_key.clone());
        Some(NatsSettings {
            url: self.nats.clone()?,
            credentials: self.nats_credentials.clone(),
            ca: self.nats_ca.clone(),
            certificate,
            prefix: self.nats_prefix.clone(),
            replicas: self.nats_replicas,
            blobs: self.blobs.clone(),
        })
    }
}

/// A word that can be part of a subject and of the name of a stream.
fn word(text: &str) -> Result<String, String> {
    let is_fine = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    if text.is_empty() || text.len() > 32 || !text.chars().all(is_fine) {
        return Err("it must have 1 to 32 letters, digits, _ or -".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_words() {
        assert_eq!(word("scans-2"), Ok("scans-2".to_owned()));
        for wrong in ["", "a.b", "a b", "*", "a>"] {
            assert!(word(wrong).is_err(), "{wrong}");
        }
    }
}

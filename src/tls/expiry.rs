//! When the certificate in use expires.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntGauge, Registry};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;
/// The log tells of it so many seconds before.
const SOON: i64 = 14 * DAY;

/// The time of the certificate in use, as a metric. Clones share it.
#[derive(Debug, Clone)]
pub struct Expiry(IntGauge);

impl Expiry {
    /// # Errors
    /// If the metric's name is not valid.
    pub fn new() -> Result<Self, prometheus::Error> {
        IntGauge::new(
            "pointstream_tls_certificate_expiry_timestamp_seconds",
            "When the certificate in use, or one of its issuers beside it, expires: seconds since 1970. 0 if it \
             does not say.",
        )
        .map(Self)
    }

    /// # Errors
    /// If the registry has such a metric.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.0.clone()))
    }

    /// This chain is in use from now on.
    pub fn set(&self, chain: &[CertificateDer<'_>]) {
        self.0.set(first_end(chain).unwrap_or(0));
    }

    /// Warns if the certificate expires soon or has expired.
    pub fn warn(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs().cast_signed());
        match self.0.get() {
            0 => tracing::warn!("the certificate does not say when it expires"),
            end if end <= now => tracing::error!(
                "the certificate has expired, and clients refuse it; replace the file of --tls-cert"
            ),
            end if end - now <= SOON => tracing::warn!(
                days_left = (end - now) / DAY,
                "the certificate expires soon; replace the file of --tls-cert"
            ),
            _ => {}
        }
    }
}

/// The first time at which one of these expires, in seconds since 1970. `None` if none of them says it.
fn first_end(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let ends = chain.iter().map(|certificate| {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        Some(parsed.validity().not_after.timestamp())
    });
    ends.flatten().min()
}

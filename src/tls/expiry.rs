//! When the certificate in use expires.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{IntGauge, Registry};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

/// The log tells of it so long before.
const SOON: Duration = Duration::from_hours(14 * 24);

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
        // A date that is not known was told when the certificate was read, by the metric.
        let Ok(end @ 1..) = u64::try_from(self.0.get()) else {
            return;
        };
        let end = UNIX_EPOCH + Duration::from_secs(end);
        match end.duration_since(SystemTime::now()) {
            Ok(left) if left > SOON => {}
            Ok(left) => tracing::warn!(
                days_left = left.as_secs() / (24 * 60 * 60),
                "the certificate expires soon; replace the file of --tls-cert"
            ),
            Err(_) => tracing::error!(
                "the certificate has expired, and clients refuse it; replace the file of --tls-cert"
            ),
        }
    }
}

/// The first time at which one of these expires, in seconds since 1970.
fn first_end(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let ends = chain.iter().map(|certificate| {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        Some(parsed.validity().not_after.timestamp())
    });
    ends.flatten().min()
}

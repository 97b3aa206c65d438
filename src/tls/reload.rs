//! The certificate that is in use, and its replacement.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use super::TlsError;
use super::expiry::Expiry;
use super::files::{Contents, Files};

/// Time between looks at the files. Reading them finds every way of replacing them, also links.
const INTERVAL: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_hours(24);

/// The certificate in use.
pub struct Certificate {
    files: Files,
    /// What the files contained when it was loaded.
    read: Contents,
    current: Arc<Current>,
    expiry: Expiry,
}

impl Certificate {
    /// # Errors
    /// [`TlsError`] if the files cannot be used.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let read = files.read()?;
        let key = files.parse(&read)?;
        let expiry = Expiry::new()?;
        expiry.set(&key.cert);
        let current = Arc::new(Current(RwLock::new(Arc::new(key))));
        Ok(Self {
            files,
            read,
            current,
            expiry,
        })
    }

    /// Gives new connections the certificate that is in use then.
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        self.current.clone()
    }

    pub fn expiry(&self) -> Expiry {
        self.expiry.clone()
    }

    /// Uses new files from the next handshake on, until `stop` is cancelled. Files that cannot be used
    /// change nothing. Warns once a day of a certificate that expires soon.
    pub async fn follow(mut self, stop: CancellationToken) {
        let mut failed = None;
        let mut days = tokio::time::interval(DAY);
        loop {
            tokio::select! {
                _ = days.tick() => {
                    self.expiry.warn();
                    continue;
                }
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let look = tokio::task::spawn_blocking(move || {
                let looked = self.look();
                (self, looked)
            });
            let looked = match look.await {
                Ok((certificate, looked)) => {
                    self = certificate;
                    looked
                }
                Err(error) => {
                    tracing::error!(%error, "defect: the certificate is not read again any more");
                    return;
                }
            };
            match looked {
                Ok(changed) => {
                    if changed {
                        tracing::info!("new connections get the new certificate");
                    }
                    failed = None;
                }
                Err(error) => {
                    let error = error.to_string();
                    if failed.as_ref() != Some(&error) {
                        tracing::error!(%error, "the new certificate cannot be used; the last one stays");
                    }
                    failed = Some(error);
                }
            }
        }
    }

    /// Reads the files again. Returns whether they have another certificate.
    fn look(&mut self) -> Result<bool, TlsError> {
        let read = self.files.read()?;
        if read == self.read {
            return Ok(false);
        }
        let key = self.files.parse(&read)?;
        self.read = read;
        self.expiry.set(&key.cert);
        self.expiry.warn();
        self.current.replace(key);
        Ok(true)
    }
}

/// Hands out the certificate in use.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn replace(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(current.clone())
    }
}

//! Whether a session accepts an image or a request now, and the error if not.

use super::image_outcome::ImageError;
use super::ledger::Ledger;
use super::requests::Requests;
use super::shutdown::Shutdown;
use super::uploads::Uploads;
use crate::client_message::check_name;
use crate::session_event::CloseReason;
use crate::settings::Settings;

/// The state that decides whether a session accepts an image or a request.
pub(super) struct Admission<'a> {
    pub settings: &'a Settings,
    pub ledger: &'a Ledger,
    pub uploads: &'a Uploads,
    pub requests: &'a Requests,
    pub shutdown: &'a Shutdown,
}

impl Admission<'_> {
    /// Whether an image of this name is accepted.
    pub fn of_image(&self, name: Option<&str>) -> Result<(), ImageError> {
        if let Some(reason) = self.ended().or_else(|| self.full()) {
            return Err(ImageError::Refused(reason));
        }
        Ok(check_name(name.unwrap_or_default())?)
    }

    /// Whether a request is accepted.
    pub fn of_request(&self) -> Result<(), String> {
        if let Some(reason) = self.ended() {
            return Err(reason);
        }
        if self.ledger.images().is_empty() && self.uploads.is_empty() {
            let reason = "there are no images yet; send at least one before a generate";
            return Err(reason.to_owned());
        }
        if self.requests.is_full() {
            let limit = self.settings.max_pending_requests;
            return Err(format!(
                "session is busy: {limit} requests are waiting already; wait for their answers"
            ));
        }
        Ok(())
    }

    /// The error if the session has all images that it may have.
    pub fn full(&self) -> Option<String> {
        self.ledger.is_full().then(|| {
            format!(
                "session has reached maximum image limit ({}); finalize it and create a new \
                 session for more images",
                self.ledger.config().max_images
            )
        })
    }

    /// The error if the session accepts no more images and requests.
    fn ended(&self) -> Option<String> {
        if self.shutdown.has_begun() {
            Some(CloseReason::ShuttingDown.to_string())
        } else if self.ledger.is_completed() {
            Some("session is completed; create a new session for more".to_owned())
        } else if self.requests.is_finalizing() {
            Some("session is being finalized; nothing more is accepted".to_owned())
        } else {
            None
        }
    }
}

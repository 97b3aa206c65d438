//! Whether a session accepts an image or a request now, and the error if not.

use super::clients::most_owed;
use super::image_outcome::{ImageError, Refusal};
use super::ledger::Ledger;
use super::requests::Requests;
use super::shutdown::Shutdown;
use super::uploads::Uploads;
use crate::client_message::check_name;
use crate::error_code::ErrorCode;
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
        if let Some(refusal) = self.ended().or_else(|| self.full()) {
            return Err(refusal.into());
        }
        Ok(check_name(name.unwrap_or_default())?)
    }

    /// Whether a request is accepted. `resumes`: its client takes over the answers of earlier ones, so none
    /// of these may be given up for new ones.
    pub fn of_request(&self, resumes: bool) -> Result<(), Refusal> {
        if let Some(refusal) = self.ended() {
            return Err(refusal);
        }
        if self.ledger.images().is_empty() && self.uploads.is_empty() {
            let reason = "there are no images yet; send at least one before a generate";
            return Err(refusal(ErrorCode::NoImages, reason));
        }
        if self.requests.is_full() {
            let limit = self.settings.max_pending_requests;
            let reason = format!(
                "session is busy: {limit} requests are waiting already; wait for their answers"
            );
            return Err(refusal(ErrorCode::SessionBusy, reason));
        }
        let owed = self.ledger.owed().len();
        if resumes && owed + self.requests.count() >= most_owed(self.settings) {
            let reason =
                format!("session is busy: {owed} answers are on their way; read them first");
            return Err(refusal(ErrorCode::SessionBusy, reason));
        }
        Ok(())
    }

    /// The error if the session has all images that it may have.
    fn full(&self) -> Option<Refusal> {
        let most = self.ledger.config().max_images;
        self.ledger.is_full().then(|| full(most))
    }

    /// The error if the session accepts no more images and requests.
    fn ended(&self) -> Option<Refusal> {
        if self.shutdown.has_begun() {
            let reason = CloseReason::ShuttingDown.to_string();
            Some(refusal(ErrorCode::ShuttingDown, reason))
        } else if self.ledger.is_completed() {
            let reason = "session is completed; reopen it, or create a new session for more";
            Some(refusal(ErrorCode::SessionCompleted, reason))
        } else if self.requests.is_finalizing() {
            let reason = "session is being finalized; nothing more is accepted";
            Some(refusal(ErrorCode::SessionCompleted, reason))
        } else {
            None
        }
    }
}

/// The error for an image that is one too many.
pub(super) fn full(limit: u32) -> Refusal {
    let reason = format!(
        "session has reached maximum image limit ({limit}); finalize it and create a new session for \
         more images"
    );
    refusal(ErrorCode::TooManyImages, reason)
}

fn refusal(code: ErrorCode, reason: impl Into<String>) -> Refusal {
    Refusal {
        code,
        reason: reason.into(),
    }
}

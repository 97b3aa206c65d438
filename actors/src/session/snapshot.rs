//! Snapshots of a session for REST and operators.

use std::sync::Arc;

use super::ledger::{Image, Ledger};
use super::requests::Requests;
use crate::report::{ImageSummary, SessionStatus, SessionSummary};

pub(super) fn status(ledger: &Ledger, requests: &Requests) -> SessionStatus {
    if requests.is_running() {
        SessionStatus::Processing
    } else if ledger.is_completed() {
        SessionStatus::Completed
    } else if ledger.error().is_some() {
        SessionStatus::Error
    } else {
        SessionStatus::Active
    }
}

/// A summary without what only the live parts of a session know.
pub(super) fn summary(ledger: &Ledger, requests: &Requests) -> SessionSummary {
    SessionSummary {
        id: ledger.session(),
        created_at: ledger.created_at(),
        last_activity: ledger.created_at(),
        status: status(ledger, requests),
        image_count: ledger.image_count(),
        pending_images: 0,
        image_bytes: ledger.image_bytes(),
        config: ledger.config().clone(),
        connections: 0,
        requests: requests.count(),
        has_result: false,
        quality: ledger.quality(),
        error_message: ledger.error().map(str::to_owned),
    }
}

pub(super) fn images(ledger: &Ledger) -> Arc<[ImageSummary]> {
    ledger.images().iter().map(image).collect()
}

fn image(image: &Image) -> ImageSummary {
    ImageSummary {
        id: image.id.clone(),
        name: image.name.clone(),
        width: image.size.width,
        height: image.size.height,
    }
}

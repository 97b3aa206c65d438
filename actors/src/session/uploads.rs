//! Images on their way into a session.

use std::collections::VecDeque;

use super::envelope::Envelope;
use super::image_outcome::{ImageError, StoredImage};

/// Uploads that are not answered yet, in the order in which they came. They are answered in this
/// order, so that a client that counts answers knows which message each belongs to.
pub(super) struct Uploads {
    queue: VecDeque<Upload>,
    next: u64,
    /// How many of the oldest are being recorded.
    recording: usize,
}

struct Upload {
    number: u64,
    envelope: Envelope,
    /// None while the image is being stored.
    outcome: Option<Result<StoredImage, ImageError>>,
}

/// An upload that can be answered.
pub(super) struct SettledUpload {
    pub envelope: Envelope,
    pub outcome: Result<StoredImage, ImageError>,
}

/// An upload that can be answered, in the queue.
pub(super) struct SettledImage<'a> {
    pub number: u64,
    pub envelope: &'a Envelope,
    pub outcome: &'a mut Result<StoredImage, ImageError>,
}

impl Uploads {
    /// `next` is the number of the first upload.
    pub fn new(next: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            next,
            recording: 0,
        }
    }

    /// Adds an upload whose image is being stored. Returns its number.
    pub fn begin(&mut self, envelope: Envelope) -> u64 {
        self.push(envelope, None)
    }

    /// Adds an upload that is refused, to be answered in its turn.
    pub fn refuse(&mut self, envelope: Envelope, error: ImageError) {
        self.push(envelope, Some(Err(error)));
    }

    fn push(
        &mut self,
        envelope: Envelope,
        outcome: Option<Result<StoredImage, ImageError>>,
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        self.queue.push_back(Upload {
            number,
            envelope,
            outcome,
        });
        number
    }

    /// An image was stored, or not.
    pub fn settle(&mut self, number: u64, outcome: Result<StoredImage, ImageError>) {
        let upload = self.queue.iter_mut().find(|upload| upload.number == number);
        if let Some(upload) = upload {
            upload.outcome = Some(outcome);
        }
    }

    /// Whether uploads are being recorded. Others are answered after them.
    pub fn is_recording(&self) -> bool {
        self.recording > 0
    }

    /// The uploads that can be answered, the oldest first.
    pub fn settled(&mut self) -> impl Iterator<Item = SettledImage<'_>> {
        self.queue.iter_mut().map_while(|upload| {
            let outcome = upload.outcome.as_mut()?;
            Some(SettledImage {
                number: upload.number,
                envelope: &upload.envelope,
                outcome,
            })
        })
    }

    /// So many of the oldest uploads are being recorded.
    pub fn record(&mut self, count: usize) {
        self.recording = count;
    }

    /// Takes the oldest of the uploads that were being recorded.
    pub fn next_recorded(&mut self) -> Option<SettledUpload> {
        self.recording = self.recording.checked_sub(1)?;
        self.take()
    }

    /// The oldest upload, if its outcome is known.
    pub fn next_settled(&mut self) -> Option<SettledUpload> {
        (!self.is_recording()).then(|| self.take()).flatten()
    }

    fn take(&mut self) -> Option<SettledUpload> {
        let upload = self.queue.pop_front_if(|upload| upload.outcome.is_some())?;
        Some(SettledUpload {
            envelope: upload.envelope,
            outcome: upload.outcome?,
        })
    }

    /// Number of the next upload: all uploads so far have smaller ones.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Number of the oldest unanswered upload.
    pub fn oldest(&self) -> Option<u64> {
        self.queue.front().map(|upload| upload.number)
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Images that were received and are neither stored nor refused yet.
    pub fn pending_images(&self) -> usize {
        self.queue
            .iter()
            .filter(|upload| !matches!(upload.outcome, Some(Err(_))))
            .count()
    }
}

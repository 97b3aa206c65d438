//! Images: stored, then recorded and accepted, or refused, in the order in which they came.

use std::sync::Arc;

use super::State;
use crate::client_message::ImageUpload;
use crate::journal::JournalError;
use crate::session::admission::full;
use crate::session::envelope::Envelope;
use crate::session::image_outcome::ImageError;
use crate::session::image_store::{self, ImageSource};
use crate::session::ledger::{Image, Record, image_files};
use crate::session_event::SessionEvent;
use crate::upload_memory::UploadLease;

impl State {
    pub(super) fn upload(
        &mut self,
        envelope: Envelope,
        image: ImageUpload,
        memory: Option<UploadLease>,
    ) {
        match self.admission().of_image(envelope.filename.as_deref()) {
            Err(error) => self.uploads.refuse(envelope, error),
            Ok(()) => {
                let number = self.uploads.begin(envelope);
                let image = ImageSource::Upload(image);
                image_store::store(&self.context, self.ledger.config(), number, image, memory);
            }
        }
    }

    /// Answers images in their order: refused ones at once, others when they are recorded. Those that
    /// are stored while others are recorded are recorded together.
    pub(super) fn answer_uploads(&mut self) {
        if self.uploads.is_recording() {
            return;
        }
        let (images, count) = self.admit_settled();
        if images.is_empty() {
            while let Some(upload) = self.uploads.next_settled() {
                if let Err(error) = upload.outcome {
                    self.refuse_image(upload.envelope, &error);
                }
            }
        } else {
            self.uploads.record(count);
            self.recording.propose(images);
        }
    }

    /// The stored images of the oldest uploads that can be answered, and the number of these uploads.
    /// Images that are too many are refused.
    fn admit_settled(&mut self) -> (Vec<Image>, usize) {
        let (mut images, mut count) = (Vec::new(), 0);
        let mut too_many = Vec::new();
        let (known, most) = (self.ledger.image_count(), self.ledger.config().max_images);
        for upload in self.uploads.settled() {
            count += 1;
            let Ok(stored) = upload.outcome else {
                continue;
            };
            let index = known.saturating_add(images.len() as u32);
            if index >= most {
                *upload.outcome = Err(full(most).into());
                too_many.push(upload.number);
                continue;
            }
            let name = upload.envelope.filename.as_deref();
            images.push(Image {
                number: upload.number,
                name: match name.filter(|name| !name.is_empty()) {
                    Some(name) => name.into(),
                    None => format!("image_{:03}", index + 1).into(),
                },
                id: upload.envelope.id.clone(),
                bytes: stored.bytes,
                size: stored.size,
                has_hidden: stored.has_hidden,
                camera: stored.camera,
                statistics: stored.statistics,
                hint: stored.hint,
            });
        }
        for number in too_many {
            self.context.remove(image_files(number));
        }
        (images, count)
    }

    /// Images are recorded, or not.
    pub(super) fn images_recorded(
        &mut self,
        images: Vec<Image>,
        outcome: &Result<(), Arc<JournalError>>,
    ) {
        let mut images = images.into_iter();
        while let Some(upload) = self.uploads.next_recorded() {
            let image = upload.outcome.map(|_| images.next());
            match (image, outcome) {
                (Ok(Some(image)), Ok(())) => self.accept(upload.envelope, image),
                (Ok(Some(image)), Err(error)) => {
                    // The record may be on the disk all the same, until the next one is.
                    let files = image_files(image.number);
                    self.recording.remove_later(files.to_vec());
                    let error = ImageError::Record(error.clone());
                    self.refuse_image(upload.envelope, &error);
                }
                (Err(error), _) => self.refuse_image(upload.envelope, &error),
                // There are as many images as stored uploads.
                (Ok(None), _) => {}
            }
        }
    }

    fn refuse_image(&mut self, envelope: Envelope, error: &ImageError) {
        if !matches!(error, ImageError::Invalid(_)) {
            self.context.metrics.sessions.image_refused();
        }
        self.clients
            .refuse(envelope, error.code(), &error.to_string());
    }

    fn accept(&mut self, envelope: Envelope, image: Image) {
        let (bytes, name) = (image.bytes, image.name.clone());
        self.ledger.apply(Record::ImageStored(Box::new(image)));
        self.share.image_accepted(bytes);
        let acknowledged = SessionEvent::Acknowledged {
            image_count: self.ledger.image_count(),
            image_path: name,
            id: envelope.id,
        };
        self.clients
            .send(envelope.client, acknowledged, Some(envelope.permit));
    }
}

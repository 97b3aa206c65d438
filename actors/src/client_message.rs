//! Messages of a client to its session, independent of the wire format.

use std::fmt;

use bytes::Bytes;
use pointstream_reconstruction::model::KnownCamera;
use strum::{Display, EnumDiscriminants, IntoStaticStr, VariantArray};
use thiserror::Error;

use crate::ids::MessageId;

/// Longest name of an image in bytes. Every result repeats the names, so their size is bounded.
pub const MAX_NAME_BYTES: usize = 1 << 10;

/// The name of an image cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadName {
    #[error("\"filename\" is longer than {max} bytes", max = MAX_NAME_BYTES)]
    TooLong,
    /// JSON writes each with six bytes, and a terminal may do what it says.
    #[error("\"filename\" has a control character, such as a line break; send the name without it")]
    ControlCharacter,
}

/// Checks an image's name.
///
/// # Errors
/// [`BadName`] if it is longer than [`MAX_NAME_BYTES`] or has a control character.
pub fn check_name(name: &str) -> Result<(), BadName> {
    if name.len() > MAX_NAME_BYTES {
        return Err(BadName::TooLong);
    }
    match name.contains(char::is_control) {
        true => Err(BadName::ControlCharacter),
        false => Ok(()),
    }
}

/// An image that a client adds to its session.
#[derive(Debug)]
pub struct ImageUpload {
    /// The encoded image (JPEG, PNG, WebP or HEIC).
    pub bytes: Bytes,
    /// The client's label for it.
    pub name: Option<String>,
    /// Its camera, if the client knows it: for the image's own size after the EXIF orientation was
    /// applied.
    pub camera: Option<Box<KnownCamera>>,
    /// The client's identifier of the message.
    pub id: Option<MessageId>,
}

impl ImageUpload {
    /// An image of which nothing else is known.
    pub fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            name: None,
            camera: None,
            id: None,
        }
    }
}

/// What happens once a cancel has ended requests; nothing happens if it is refused.
#[derive(Default)]
pub struct OnCancelled(Option<Box<dyn FnOnce() + Send>>);

impl OnCancelled {
    /// `then` is called by the session, so it must not take long.
    pub fn new(then: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(then)))
    }

    pub(crate) fn call(self) {
        if let Some(then) = self.0 {
            then();
        }
    }
}

impl fmt::Debug for OnCancelled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.0.as_ref().map(|_| "..");
        formatter.debug_tuple("OnCancelled").field(&kind).finish()
    }
}

/// A message of a client to its session. `id` is always the client's identifier of the message.
#[derive(Debug, EnumDiscriminants)]
#[strum_discriminants(
    name(ClientMessageKind),
    doc = "The type of a message, as the protocol names it.",
    derive(Display, IntoStaticStr, VariantArray),
    strum(serialize_all = "snake_case")
)]
pub enum ClientMessage {
    /// Add an image.
    Image(ImageUpload),
    /// Make a point cloud of the images so far.
    Generate {
        /// Whether the answer is a `delta`; else it is `complete`.
        incremental: bool,
        id: Option<MessageId>,
    },
    /// Make the final point cloud. The session accepts no images and requests afterwards.
    Finalize { id: Option<MessageId> },
    /// End the requests with this identifier, or all without one. Each is answered with an error.
    Cancel {
        id: Option<MessageId>,
        then: OnCancelled,
    },
    /// Answer with all poses.
    Map { id: Option<MessageId> },
    /// The client has applied an update and all before it. There is no answer.
    Received {
        /// Number of the update.
        number: u64,
        id: Option<MessageId>,
    },
    /// Answer with a `pong`.
    Ping,
    /// Not a message of the protocol. The session answers with an error, in order.
    Invalid {
        /// Why it is invalid and how to correct it.
        reason: String,
        /// Its `id`, if that could be read.
        id: Option<MessageId>,
        /// The name of its image, if that could be read.
        filename: Option<String>,
    },
}

impl ClientMessage {
    /// Takes out what the client calls the message, and the image in it.
    pub(crate) fn take_names(&mut self) -> (Option<MessageId>, Option<String>) {
        match self {
            Self::Image(image) => (image.id.take(), image.name.take()),
            Self::Generate { id, .. }
            | Self::Finalize { id }
            | Self::Cancel { id, .. }
            | Self::Map { id }
            | Self::Received { id, .. } => (id.take(), None),
            Self::Invalid { id, filename, .. } => (id.take(), filename.take()),
            Self::Ping => (None, None),
        }
    }

    /// The message's type.
    pub fn kind(&self) -> ClientMessageKind {
        self.into()
    }
}

//! What a model keeps of a frame.

use std::any::Any;

use crate::geometry::FrameSize;

/// The result of encoding one frame, or the model's own maps of it. Only the model that computed it
/// knows its content.
///
/// It may be in the memory of the device that computed it.
pub struct Features {
    size: FrameSize,
    bytes: usize,
    content: Box<dyn Any + Send + Sync>,
}

impl Features {
    /// `size` is the processed size of the frame, `bytes` the memory that `content` takes, and
    /// `content` the model's own representation.
    pub fn new(size: FrameSize, bytes: usize, content: Box<dyn Any + Send + Sync>) -> Self {
        Self {
            size,
            bytes,
            content,
        }
    }

    /// Processed size of the encoded frame.
    pub fn size(&self) -> FrameSize {
        self.size
    }

    /// Memory that the content takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The content, `None` if its type is not `T`.
    pub fn content<T: 'static>(&self) -> Option<&T> {
        self.content.downcast_ref()
    }
}

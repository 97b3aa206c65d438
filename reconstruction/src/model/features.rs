//! Encoded frames.

use std::any::Any;

use crate::geometry::FrameSize;

/// What a model keeps of one frame: the result of encoding it, opaque to everybody else.
///
/// It may live in the memory of the device that made it.
pub struct Features {
    /// Processed size of the frame it was made of.
    size: FrameSize,
    /// Memory it holds, in bytes.
    bytes: usize,
    /// The model's own representation.
    content: Box<dyn Any + Send + Sync>,
}

impl Features {
    /// Wraps a model's own representation of a frame.
    pub fn new(size: FrameSize, bytes: usize, content: Box<dyn Any + Send + Sync>) -> Self {
        Self {
            size,
            bytes,
            content,
        }
    }

    /// Processed size of the frame that this was made of.
    pub fn size(&self) -> FrameSize {
        self.size
    }

    /// Memory that this holds, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The representation, if it is of the type `T`.
    pub fn content<T: 'static>(&self) -> Option<&T> {
        self.content.downcast_ref()
    }
}

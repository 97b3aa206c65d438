//! From the bytes of an uploaded file to the pixels that a model takes.
//!
//! 1. [`decode`] turns a JPEG, PNG or WebP file into RGB, within limits on bytes and pixels;
//! 2. [`preprocess`] resizes it to the processing resolution and to multiples of the patch size;
//! 3. [`unify`] crops the frames of one reconstruction to a size that all of them have.
//!
//! Steps 2 and 3 give the sizes, and up to rounding the pixels, of the input processor of Depth
//! Anything 3, which resamples with OpenCV.

mod decode;
mod format;
mod jpeg;
mod preprocess;
mod resize;
mod unify;
mod webp;

pub use decode::{DecodeError, DecodeLimits, decode};
pub use format::Format;
pub use preprocess::{
    MAX_PROCESSED_PIXELS, PreprocessError, ProcessResMethod, UnknownProcessResMethod, preprocess,
    processed_region, processed_size,
};
pub use unify::{center_crop, common_size};

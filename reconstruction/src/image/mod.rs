//! From the bytes of an uploaded file to the pixels that a model takes as input.
//!
//! 1. [`decode`] decodes a JPEG, PNG, WebP or HEIC file to RGB, within limits on bytes and pixels, and
//!    reads what it says about its camera;
//! 2. [`preprocess`] resizes it to the processing resolution and to multiples of the patch size;
//! 3. [`center_crop`] crops the frames of one reconstruction to their [`CommonSize`].
//!
//! Its [`HiddenPixels`] go the same way: those that were transparent.
//!
//! Steps 2 and 3 give the same sizes as the input processor of Depth Anything 3, which resamples
//! with OpenCV, and the same pixels up to rounding.

mod colour;
mod decode;
mod exif;
mod format;
mod heic;
mod hidden;
mod jpeg;
mod need;
mod png;
mod preprocess;
mod resize;
mod statistics;
mod unify;
mod unread;
mod vp8l;
mod webp;

pub use decode::{DecodeError, DecodeLimits, Photo, decode};
pub use exif::CameraTags;
pub use format::{Detected, Format, SIGNATURE_BYTES, detect};
pub use hidden::HiddenPixels;
pub use need::DecodingNeed;
pub use preprocess::{
    MAX_PROCESSED_PIXELS, PreprocessError, ProcessResMethod, UnknownProcessResMethod, preprocess,
    preprocess_hidden, processed_region, processed_size,
};
pub use statistics::{ContentHash, ImageStatistics, sharpness_of_grey};
pub use unify::{CommonSize, center_crop, is_croppable};

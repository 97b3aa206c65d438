//! Fuzzing of image files, of model archives and of stored files.
//!
//! What decoding allocates is counted, so these properties also bound the memory.

#[path = "../exif/tiff.rs"]
mod tiff;

mod counting;
mod images;
mod models;
mod stored;

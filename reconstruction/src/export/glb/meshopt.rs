//! The vertex codec of `EXT_meshopt_compression`.

use super::GlbError;

/// The extension has version 0 of the codec's format; only its successor
/// `KHR_meshopt_compression`, which few viewers know, has version 1.
const VERSION: i32 = 0;

/// Has no effect on version 0.
const LEVEL: i32 = 2;

/// Compresses vertices without loss, for the mode `ATTRIBUTES`. Their type has to be plain numbers
/// without gaps, a multiple of 4 bytes and at most 256 of them.
pub fn encode<T>(vertices: &[T]) -> Result<Vec<u8>, GlbError> {
    let mut encoded = meshopt::encode_vertex_buffer_level(vertices, LEVEL, Some(VERSION))?;
    encoded.shrink_to_fit();
    Ok(encoded)
}

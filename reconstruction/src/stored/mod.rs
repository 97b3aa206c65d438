//! Numbers in stored files, which are read piece by piece. All are little-endian.
//!
//! A file is anything with [`ReadAt`] and [`Size`]: bytes in memory, or a file on disk. Reading beyond
//! its end is an error.

mod marks;
mod pixels;

pub use marks::StoredMarks;
pub use pixels::StoredPixels;

use std::io;

use positioned_io::ReadAt;

/// Reads `count` numbers.
///
/// # Errors
/// If the file ends before.
pub fn floats(file: &impl ReadAt, position: u64, count: usize) -> io::Result<Vec<f32>> {
    let mut numbers = vec![0.0_f32; count];
    file.read_exact_at(position, bytemuck::cast_slice_mut(&mut numbers))?;
    if cfg!(target_endian = "big") {
        for number in &mut numbers {
            *number = f32::from_bits(number.to_bits().swap_bytes());
        }
    }
    Ok(numbers)
}

/// Reads `count` bytes.
///
/// # Errors
/// If the file ends before.
pub fn bytes(file: &impl ReadAt, position: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    file.read_exact_at(position, &mut bytes)?;
    Ok(bytes)
}

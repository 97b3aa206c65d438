//! LAS 1.2 and its compressed form LAZ, which programs for surveying and maps read
//! (<https://github.com/ASPRSorg/LAS>).
//!
//! The points are those of the GLB, in its order and its coordinates: y is up, and the unit is
//! arbitrary unless the result says otherwise, so the files name no coordinate system. LAS stores
//! whole multiples of a step. The step is the power of ten that is as fine as the float of the
//! farthest coordinate. Colours have 16 bits: 257 times those of 8 bits. The confidence is a float
//! in the extra bytes of each point (LAS 1.4, "Extra Bytes VLR").

use std::io::{Seek, Write};

use las::point::Format;
use las::{Builder, Color, Transform, Vector, Version, Vlr, Writer};

use super::reconstruction::{Point, Reconstruction, WriteError};

/// Points with colours.
const POINT_FORMAT: u8 = 2;
/// Bytes of a float.
const CONFIDENCE_BYTES: u16 = 4;
/// The record that describes extra bytes, by the specification.
const EXTRA_BYTES: (&str, u16) = ("LASF_Spec", 4);
/// Its number for the type float.
const FLOAT: u8 = 9;
/// Bits of a float's fraction, with the first.
const FLOAT_BITS: i32 = 24;

/// Whether points are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Las,
    Laz,
}

/// Writes the points, frame by frame, and returns the file.
///
/// # Errors
/// [`WriteError`] if the reconstruction cannot be read or the file cannot be written.
pub fn write_las<W: Write + Seek + Send + Sync + 'static>(
    reconstruction: &Reconstruction,
    compression: Compression,
    file: W,
) -> Result<W, WriteError> {
    let step = step_of(reconstruction)?;
    let axis = Transform {
        scale: step,
        offset: 0.0,
    };
    let mut format = Format::new(POINT_FORMAT)?;
    format.is_compressed = compression == Compression::Laz;
    format.extra_bytes = CONFIDENCE_BYTES;
    let mut header = Builder::from((1, 2));
    header.version = Version::new(1, 2);
    header.point_format = format;
    header.transforms = Vector {
        x: axis,
        y: axis,
        z: axis,
    };
    header.generating_software = format!("pointstream {}", env!("CARGO_PKG_VERSION"));
    // The same result gives the same bytes.
    header.date = None;
    header.guid = Default::default();
    header.vlrs.push(description());
    let mut writer = Writer::new(file, header.into_header()?)?;
    for frame in reconstruction.placed() {
        for point in reconstruction.points(&frame)? {
            writer.write_point(of_point(&point))?;
        }
    }
    Ok(writer.into_inner()?)
}

/// The step of all coordinates.
fn step_of(reconstruction: &Reconstruction) -> Result<f64, WriteError> {
    let mut farthest = 0.0_f32;
    for frame in reconstruction.placed() {
        for point in reconstruction.points(&frame)? {
            farthest = point
                .position
                .iter()
                .fold(farthest, |farthest, value| farthest.max(value.abs()));
        }
    }
    Ok(step(farthest))
}

/// The step for coordinates of at most so much.
fn step(farthest: f32) -> f64 {
    let of_float = f64::from(farthest.clamp(1e-9, 1e9)) / f64::from(1 << FLOAT_BITS);
    10_f64.powi(of_float.log10().ceil() as i32)
}

fn of_point(point: &Point) -> las::Point {
    let [x, y, z] = point.position.map(f64::from);
    let [red, green, blue] = point.color.map(|value| u16::from(value) * 257);
    las::Point {
        x,
        y,
        z,
        color: Some(Color { red, green, blue }),
        extra_bytes: point.confidence.to_le_bytes().to_vec(),
        return_number: 1,
        number_of_returns: 1,
        ..las::Point::default()
    }
}

/// The record that says what the extra bytes are.
fn description() -> Vlr {
    let mut data = vec![0; 192];
    data[2] = FLOAT;
    data[4..14].copy_from_slice(b"confidence");
    let (user_id, record_id) = EXTRA_BYTES;
    Vlr {
        user_id: user_id.to_owned(),
        record_id,
        description: "extra bytes".to_owned(),
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_is_as_fine_as_the_float() {
        for (farthest, expected) in [(1.0, 1e-7), (10.0, 1e-6), (300.0, 1e-4), (0.0, 1e-16)] {
            let step = step(farthest);
            assert!((step / expected - 1.0).abs() < 1e-9, "{farthest}: {step}");
            // Whole multiples have 31 bits.
            assert!(f64::from(farthest) / step < f64::from(i32::MAX));
        }
    }
}

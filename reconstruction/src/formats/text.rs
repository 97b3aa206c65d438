//! The points as text, one a line, in the order of the GLB and in its coordinates.
//!
//! Numbers are the shortest that give the same float again.

use std::io::Write;

use super::reconstruction::{Point, Reconstruction, WriteError};

/// What stands in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// `x y z red green blue` without a header, as programs for point clouds read `.xyz` files.
    Xyz,
    /// Comma-separated values with a header (RFC 4180), and the confidence as the last one.
    Csv,
}

/// Writes the points, frame by frame.
///
/// # Errors
/// [`WriteError`] if the reconstruction cannot be read or the file cannot be written.
pub fn write_text(
    reconstruction: &Reconstruction,
    columns: Columns,
    file: &mut impl Write,
) -> Result<(), WriteError> {
    if columns == Columns::Csv {
        file.write_all(b"x,y,z,red,green,blue,confidence\r\n")?;
    }
    for frame in reconstruction.placed() {
        for point in reconstruction.points(&frame)? {
            write_line(&point, columns, file)?;
        }
    }
    Ok(())
}

fn write_line(point: &Point, columns: Columns, file: &mut impl Write) -> std::io::Result<()> {
    let ([x, y, z], [red, green, blue]) = (point.position, point.color);
    match columns {
        Columns::Xyz => writeln!(file, "{x} {y} {z} {red} {green} {blue}"),
        Columns::Csv => write!(
            file,
            "{x},{y},{z},{red},{green},{blue},{}\r\n",
            point.confidence
        ),
    }
}

//! E57 (ASTM E2807), which programs for surveying exchange: one scan with all points and their colours.
//!
//! The points are those of the GLB, in its order and its coordinates: y is up, and the unit is arbitrary, although
//! the format speaks of metres, unless the result says otherwise. So the scan has no pose, and the file names no
//! coordinate system. Positions are floats, and colours are sRGB from 0 to 255.

use std::io::{Read, Seek, Write};

use e57::{E57Writer, RawValues, Record, RecordValue};

use super::reconstruction::{Point, Reconstruction, WriteError};

const NAME: &str = "points";

/// Writes the points, frame by frame, to an empty file. `id` belongs to this result alone; the format asks for
/// such a text.
///
/// # Errors
/// [`WriteError`] if the reconstruction cannot be read or the file cannot be written.
pub fn write_e57<W: Read + Write + Seek>(
    reconstruction: &Reconstruction,
    id: &str,
    file: W,
) -> Result<(), WriteError> {
    let mut writer = E57Writer::new(file, id)?;
    let mut scan = writer.add_pointcloud(&format!("{id}-{NAME}"), columns())?;
    scan.set_name(Some(NAME.to_owned()));
    scan.set_description(Some(format!("pointstream {}", env!("CARGO_PKG_VERSION"))));
    for frame in reconstruction.placed() {
        for point in reconstruction.points(&frame)? {
            scan.add_point(values(&point))?;
        }
    }
    scan.finalize()?;
    Ok(writer.finalize()?)
}

fn columns() -> Vec<Record> {
    vec![
        Record::CARTESIAN_X_F32,
        Record::CARTESIAN_Y_F32,
        Record::CARTESIAN_Z_F32,
        Record::COLOR_RED_U8,
        Record::COLOR_GREEN_U8,
        Record::COLOR_BLUE_U8,
    ]
}

/// The values of the [`columns`].
fn values(point: &Point) -> RawValues {
    let position = point.position.map(RecordValue::Single);
    let color = point.color.map(|value| RecordValue::Integer(value.into()));
    position.into_iter().chain(color).collect()
}

//! The text files. Numbers have enough digits to read the same numbers back.

use std::io::Write;

use super::super::reconstruction::WriteError;
use super::model::Model;
use crate::geometry::FrameSize;

pub fn cameras(model: &Model, file: &mut dyn Write) -> Result<(), WriteError> {
    let mut text = b"# CAMERA_ID MODEL WIDTH HEIGHT FX FY CX CY [K1 K2 P1 P2]\n".to_vec();
    for image in &model.images {
        let FrameSize { width, height } = image.exported.size;
        let name = image.model.name();
        write!(text, "{} {name} {width} {height}", image.id)?;
        numbers(&mut text, &image.parameters)?;
        text.push(b'\n');
    }
    Ok(file.write_all(&text)?)
}

pub fn images(model: &Model, file: &mut dyn Write) -> Result<(), WriteError> {
    let width = model.reconstruction.image_size().width;
    let mut text = b"# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME\n\
        # X Y POINT3D_ID for each observed point, on one line\n"
        .to_vec();
    for image in &model.images {
        write!(text, "{}", image.id)?;
        numbers(&mut text, &image.rotation)?;
        numbers(&mut text, &image.translation)?;
        writeln!(text, " {} {}", image.id, image.name)?;
        let pixels = model.reconstruction.pixels(&image.frame)?;
        for (pixel, point) in pixels.into_iter().zip(image.first_point..) {
            if point > image.first_point {
                text.push(b' ');
            }
            let [x, y] = image.place(pixel, width);
            write!(text, "{x} {y} {point}")?;
        }
        text.push(b'\n');
        file.write_all(&text)?;
        text.clear();
    }
    Ok(())
}

pub fn points(model: &Model, file: &mut dyn Write) -> Result<(), WriteError> {
    let mut text = b"# POINT3D_ID X Y Z R G B ERROR IMAGE_ID POINT2D_INDEX\n".to_vec();
    for image in &model.images {
        let points = model.reconstruction.points(&image.frame)?;
        for ((point, id), observation) in points.iter().zip(image.first_point..).zip(0_u32..) {
            let [x, y, z] = point.position;
            let [red, green, blue] = point.color;
            let image = image.id;
            writeln!(
                text,
                "{id} {x} {y} {z} {red} {green} {blue} 0 {image} {observation}"
            )?;
        }
        file.write_all(&text)?;
        text.clear();
    }
    Ok(())
}

fn numbers(text: &mut Vec<u8>, values: &[f64]) -> std::io::Result<()> {
    values.iter().try_for_each(|value| write!(text, " {value}"))
}

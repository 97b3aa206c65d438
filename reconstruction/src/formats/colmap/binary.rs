//! The binary files. All numbers are little-endian.

use std::io::Write;

use super::super::reconstruction::WriteError;
use super::model::Model;
use crate::geometry::FrameSize;

pub fn cameras(model: &Model, file: &mut dyn Write) -> Result<(), WriteError> {
    let mut bytes = Vec::new();
    bytes.extend((model.images.len() as u64).to_le_bytes());
    for image in &model.images {
        let FrameSize { width, height } = image.exported.size;
        bytes.extend(image.id.to_le_bytes());
        bytes.extend(image.model.id().to_le_bytes());
        bytes.extend(u64::from(width).to_le_bytes());
        bytes.extend(u64::from(height).to_le_bytes());
        numbers(&mut bytes, &image.parameters);
    }
    Ok(file.write_all(&bytes)?)
}

pub fn images(model: &Model, file: &mut dyn Write) -> Result<(), WriteError> {
    let width = model.reconstruction.image_size().width;
    file.write_all(&(model.images.len() as u64).to_le_bytes())?;
    let mut bytes = Vec::new();
    for image in &model.images {
        bytes.clear();
        bytes.extend(image.id.to_le_bytes());
        numbers(&mut bytes, &image.rotation);
        numbers(&mut bytes, &image.translation);
        bytes.extend(image.id.to_le_bytes());
        bytes.extend(image.name.as_bytes());
        bytes.push(0);
        bytes.extend((image.points as u64).to_le_bytes());
        let pixels = model.reconstruction.pixels(&image.frame)?;
        for (pixel, point) in pixels.into_iter().zip(image.first_point..) {
            numbers(&mut bytes, &image.place(pixel, width));
            bytes.extend(point.to_le_bytes());
        }
        file.write_all(&bytes)?;
    }
    Ok(())
}

pub fn points(model: &Model, file: &mut dyn Write) -> Result<(), WriteError> {
    file.write_all(&model.points.to_le_bytes())?;
    let mut bytes = Vec::new();
    for image in &model.images {
        bytes.clear();
        let points = model.reconstruction.points(&image.frame)?;
        for ((point, id), observation) in points.iter().zip(image.first_point..).zip(0_u32..) {
            bytes.extend(id.to_le_bytes());
            numbers(&mut bytes, &point.position.map(f64::from));
            bytes.extend(point.color);
            bytes.extend(0_f64.to_le_bytes());
            bytes.extend(1_u64.to_le_bytes());
            bytes.extend(image.id.to_le_bytes());
            bytes.extend(observation.to_le_bytes());
        }
        file.write_all(&bytes)?;
    }
    Ok(())
}

fn numbers(bytes: &mut Vec<u8>, values: &[f64]) {
    for value in values {
        bytes.extend(value.to_le_bytes());
    }
}

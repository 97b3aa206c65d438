use std::io::{self, Cursor};

use image::RgbImage;
use nalgebra::Matrix4;
use pointstream_reconstruction::formats::nerfstudio::write_nerfstudio;
use pointstream_reconstruction::formats::ply::write_ply;
use pointstream_reconstruction::formats::{FrameData, Images, Reconstruction};
use serde_json::Value;

use crate::common::SIZE;
use crate::sample::{Sample, TOLERANCE, entry};

#[test]
fn nerfstudio_rays_meet_the_points() {
    check(&Sample::new(4000), "PINHOLE");
    check(&Sample::distorted(4000), "OPENCV");
}

/// The values of a NumPy file.
fn depth(file: &[u8], path: &str) -> Vec<f32> {
    let file = entry(file, path);
    let pixels = SIZE.pixels() as usize;
    let (header, values) = file.split_at(file.len() - 4 * pixels);
    let shape = format!("'shape': ({}, {},)", SIZE.height, SIZE.width);
    assert!(String::from_utf8_lossy(header).contains(&shape));
    let values = values.as_chunks().0.iter();
    values.map(|value| f32::from_le_bytes(*value)).collect()
}

/// A sample without points, whose depth is not known at one pixel.
struct Unknown<'a>(&'a Sample, usize);

impl FrameData for Unknown<'_> {
    fn point_count(&self, _: usize) -> usize {
        0
    }
    fn pixels(&self, _: usize) -> io::Result<Vec<u32>> {
        Ok(Vec::new())
    }
    fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.0.depth(frame)
    }
    fn confidence(&self, frame: usize) -> io::Result<Vec<f32>> {
        let mut values = self.0.confidence(frame)?;
        values[self.1] = 1.0;
        Ok(values)
    }
    fn image(&self, frame: usize) -> io::Result<RgbImage> {
        self.0.image(frame)
    }
}

#[test]
fn nerfstudio_has_no_depth_where_it_is_not_known() {
    let sample = Sample::new(1000);
    let unknown = 7;
    let reconstruction = Reconstruction {
        frames: &Unknown(&sample, unknown),
        ..sample.reconstruction()
    };
    let file = write_nerfstudio(&reconstruction, Images::Processed, Cursor::new(Vec::new()));
    let values = depth(&file.unwrap().into_inner(), "depth/a_b.npy");
    let zeros: Vec<_> = (0..values.len())
        .filter(|index| values[*index] == 0.0)
        .collect();
    assert_eq!(zeros, [unknown]);
}

fn check(sample: &Sample, camera_model: &str) {
    let file = write_nerfstudio(
        &sample.reconstruction(),
        Images::Processed,
        Cursor::new(Vec::new()),
    );
    let file = file.unwrap().into_inner();
    let transforms: Value = serde_json::from_slice(&entry(&file, "transforms.json")).unwrap();
    let mut ply = Vec::new();
    write_ply(&sample.reconstruction(), &mut ply).unwrap();
    assert_eq!(transforms["camera_model"], camera_model);
    assert_eq!(transforms["ply_file_path"], "points.ply");
    assert_eq!(entry(&file, "points.ply"), ply);
    let frames = transforms["frames"].as_array().unwrap();
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0]["original_name"], "a b.jpg");
    assert_eq!(frames[1]["file_path"], "images/a_b_2.png");
    for (position, _, _, frame, pixel) in sample.points() {
        let frame = &frames[usize::from(frame == 2)];
        let number = |name: &str| frame[name].as_f64().unwrap();
        let rows: Vec<Vec<f64>> =
            serde_json::from_value(frame["transform_matrix"].clone()).unwrap();
        let to_world = Matrix4::from_row_iterator(rows.into_iter().flatten());
        let camera = to_world.try_inverse().unwrap().transform_point(&position);
        // OpenGL: the camera looks along -z, and y goes up.
        assert!(camera.z < 0.0);
        let (mut x, mut y) = (camera.x / -camera.z, -camera.y / -camera.z);
        if camera_model == "OPENCV" {
            let squared = x * x + y * y;
            let factor = 1.0 + squared * (number("k1") + squared * number("k2"));
            (x, y) = (x * factor, y * factor);
            assert_eq!([number("p1"), number("p2")], [0.0, 0.0]);
        } else {
            assert!(frame.get("k1").is_none());
        }
        let values = depth(&file, frame["depth_file_path"].as_str().unwrap());
        let value = values[(pixel[1] * SIZE.width + pixel[0]) as usize];
        assert!(
            (f64::from(value) / 1000.0 + camera.z).abs() < TOLERANCE,
            "{value} {camera}"
        );
        let x = number("fl_x") * x + number("cx");
        let y = number("fl_y") * y + number("cy");
        for (found, index) in [x, y].into_iter().zip(pixel) {
            assert!(
                (found - (f64::from(index) + 0.5)).abs() < TOLERANCE,
                "{found} {index}"
            );
        }
    }
}

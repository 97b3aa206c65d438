//! Exports with the photos at full resolution.

use std::io::{self, Cursor};

use image::{Rgb, RgbImage};
use nalgebra::Matrix4;
use pointstream_reconstruction::formats::colmap::write_colmap;
use pointstream_reconstruction::formats::nerfstudio::write_nerfstudio;
use pointstream_reconstruction::formats::{Images, Photos};
use pointstream_reconstruction::geometry::{FrameSize, Region};
use serde_json::Value;

use crate::common::SIZE;
use crate::sample::{LENS, Sample, TOLERANCE, entry, names};

/// Pixels of a photo for each pixel of a frame.
const SCALE: f64 = 4.0;
/// The photos: the frames show 84 of 100 parts of their width.
const PHOTO: FrameSize = FrameSize::new(400, 252);
const REGION: Region = Region {
    left: 0.08,
    top: 0.0,
    width: 0.84,
    height: 1.0,
};

/// Photos whose colours tell the ray of each pixel.
struct Rays<'a>(&'a Sample);

fn colour([x, y]: [f64; 2]) -> [f64; 3] {
    let wave = |at: f64| 128.0 + 100.0 * (40.0 * at).sin();
    [wave(x), wave(y), 128.0]
}

impl Photos for Rays<'_> {
    fn read(&self, frame: usize, take: &mut dyn FnMut(RgbImage, Region)) -> io::Result<()> {
        let camera = &self.0.cameras.all()[frame];
        let k = &camera.intrinsics;
        let photo = RgbImage::from_fn(PHOTO.width, PHOTO.height, |u, v| {
            let left = REGION.left * f64::from(PHOTO.width);
            let u = (f64::from(u) + 0.5 - left) / SCALE - 0.5;
            let v = (f64::from(v) + 0.5) / SCALE - 0.5;
            let seen = [(u - k[(0, 2)]) / k[(0, 0)], (v - k[(1, 2)]) / k[(1, 1)]];
            let ray = camera.distortion.undistort(seen).unwrap_or(seen);
            Rgb(colour(ray).map(|value| value.round() as u8))
        });
        take(photo, REGION);
        Ok(())
    }
}

/// The camera of an exported image.
struct Pinhole {
    fx: f64,
    fy: f64,
    cx: f64,
    cy: f64,
}

impl Pinhole {
    fn of(frame: &Value) -> Self {
        let number = |name: &str| frame[name].as_f64().expect("a number");
        Self {
            fx: number("fl_x"),
            fy: number("fl_y"),
            cx: number("cx"),
            cy: number("cy"),
        }
    }
}

/// The mean distance of the colours of an exported image from those of its rays.
fn error(file: &[u8], path: &str, camera: &Pinhole) -> f64 {
    let image = image::load_from_memory(&entry(file, path)).expect("an image");
    let image = image.to_rgb8();
    assert_eq!(FrameSize::of(&image), PHOTO);
    let errors = image.enumerate_pixels().flat_map(|(u, v, pixel)| {
        let ray = [
            (f64::from(u) + 0.5 - camera.cx) / camera.fx,
            (f64::from(v) + 0.5 - camera.cy) / camera.fy,
        ];
        let found = pixel.0.map(f64::from);
        let pairs = found.into_iter().zip(colour(ray));
        pairs.map(|(found, expected)| (found - expected).abs())
    });
    errors.sum::<f64>() / (3.0 * PHOTO.pixels() as f64)
}

fn nerfstudio(sample: &Sample) -> (Vec<u8>, Value) {
    let photos = Rays(sample);
    let file = write_nerfstudio(
        &sample.reconstruction(),
        Images::Original(&photos),
        Cursor::new(Vec::new()),
    );
    let file = file.expect("written").into_inner();
    let transforms = serde_json::from_slice(&entry(&file, "transforms.json")).expect("JSON");
    (file, transforms)
}

#[test]
fn photos_have_no_distortion_and_cameras_that_fit() {
    for sample in [Sample::new(500), Sample::distorted(500)] {
        let (file, transforms) = nerfstudio(&sample);
        assert_eq!(transforms["camera_model"], "PINHOLE");
        let frames = transforms["frames"].as_array().expect("a list");
        assert_eq!(frames[0]["file_path"], "images/a_b.jpg");
        for frame in frames {
            assert_eq!([&frame["w"], &frame["h"]], [PHOTO.width, PHOTO.height]);
            let path = frame["file_path"].as_str().expect("a path");
            // Half a pixel beside it would be more than 4.
            let error = error(&file, path, &Pinhole::of(frame));
            assert!(error < 2.5, "{error}");
        }
    }
    // As much as possible of a photo that a lens has bent inward is kept.
    let sample = Sample::distorted(500);
    let (_, transforms) = nerfstudio(&sample);
    let straight = sample.cameras.all()[0].intrinsics[(0, 0)] * SCALE;
    let found = Pinhole::of(&transforms["frames"][0]).fx;
    assert!(LENS.k1 < 0.0 && found < straight, "{found} {straight}");
}

#[test]
fn depth_fits_the_photos() {
    for sample in [Sample::new(4000), Sample::distorted(4000)] {
        let (file, transforms) = nerfstudio(&sample);
        let mut errors = Vec::new();
        for (position, _, _, frame, _) in sample.points() {
            let frame = &transforms["frames"][usize::from(frame == 2)];
            let path = frame["depth_file_path"].as_str().expect("a path");
            let bytes = entry(&file, path);
            let (rows, columns) = shape(&bytes);
            let rows_of_matrix: Vec<Vec<f64>> =
                serde_json::from_value(frame["transform_matrix"].clone()).expect("a matrix");
            let to_world = Matrix4::from_row_iterator(rows_of_matrix.into_iter().flatten());
            let point = to_world
                .try_inverse()
                .expect("invertible")
                .transform_point(&position);
            let camera = Pinhole::of(frame);
            let u = camera.fx * point.x / -point.z + camera.cx;
            let v = camera.fy * point.y / point.z + camera.cy;
            let u = u / f64::from(PHOTO.width) * columns as f64;
            let v = v / f64::from(PHOTO.height) * rows as f64;
            if u < 0.0 || v < 0.0 || u >= columns as f64 || v >= rows as f64 {
                continue;
            }
            let values = &bytes[bytes.len() - 4 * rows * columns..];
            let index = 4 * (v as usize * columns + u as usize);
            let value = values[index..index + 4].try_into().expect("four bytes");
            let depth = f64::from(f32::from_le_bytes(value)) / 1000.0;
            errors.push((depth / -point.z - 1.0).abs());
        }
        assert!(errors.len() * 10 > sample.scene.points.len() * 9);
        errors.sort_by(f64::total_cmp);
        let most = errors[errors.len() * 95 / 100];
        assert!(most < 0.03, "{most}");
        // Without distortion the depth beside the frame is not known.
        let path = transforms["frames"][1]["depth_file_path"]
            .as_str()
            .expect("a path");
        let bytes = entry(&file, path);
        let (rows, columns) = shape(&bytes);
        assert_eq!((rows, columns), (SIZE.rows(), 100));
        let last = f32::from_le_bytes(bytes[bytes.len() - 4..].try_into().expect("four bytes"));
        assert_eq!(last, 0.0);
    }
}

/// Rows and columns of a NumPy file.
fn shape(file: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(&file[..128]).into_owned();
    let (_, rest) = text.split_once("'shape': (").expect("a shape");
    let (shape, _) = rest.split_once(')').expect("an end");
    let mut sides = shape.split(',').map(str::trim);
    let mut side = || sides.next().expect("a side").parse().expect("a number");
    (side(), side())
}

#[test]
fn colmap_points_are_observed_in_the_photos() {
    for sample in [Sample::new(500), Sample::distorted(500)] {
        let photos = Rays(&sample);
        let file = write_colmap(
            &sample.reconstruction(),
            Images::Original(&photos),
            Cursor::new(Vec::new()),
        );
        let file = file.expect("written").into_inner();
        assert!(names(&file).contains(&"images/a_b_2.jpg".to_owned()));
        let text = |name: &str| {
            let bytes = entry(&file, &format!("text/{name}.txt"));
            let text = String::from_utf8(bytes).expect("text");
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let numbers = |line: &str| -> Vec<f64> {
            let words = line.split(' ').filter_map(|word| word.parse().ok());
            words.collect()
        };
        let mut points = sample.points();
        for (camera, image) in text("cameras").iter().zip(text("images").chunks(2)) {
            assert!(camera.contains(" PINHOLE 400 252 "), "{camera}");
            let [fx, fy, cx, cy] = numbers(camera)[3..].try_into().expect("a camera");
            let pose = numbers(&image[0]);
            let rotation = nalgebra::Quaternion::new(pose[1], pose[2], pose[3], pose[4]);
            let rotation = nalgebra::UnitQuaternion::from_quaternion(rotation);
            let shift = nalgebra::Vector3::new(pose[5], pose[6], pose[7]);
            for seen in numbers(&image[1]).chunks(3) {
                let (position, ..) = points.next().expect("a point");
                let point = rotation * position.coords + shift;
                let x = fx * point.x / point.z + cx;
                let y = fy * point.y / point.z + cy;
                assert!((x - seen[0]).abs() < SCALE * TOLERANCE, "{x} {seen:?}");
                assert!((y - seen[1]).abs() < SCALE * TOLERANCE, "{y} {seen:?}");
            }
        }
        assert!(points.next().is_none());
    }
}

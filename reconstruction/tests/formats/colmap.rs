use std::io::Cursor;

use nalgebra::{Isometry3, Point3, Quaternion, Translation3, UnitQuaternion, Vector3};
use pointstream_reconstruction::formats::Images;
use pointstream_reconstruction::formats::colmap::write_colmap;

use crate::common::SIZE;
use crate::sample::{LENS, Numbers, Sample, TOLERANCE, entry};

/// An image of a COLMAP model.
struct ColmapImage {
    id: u32,
    to_camera: Isometry3<f64>,
    name: String,
    /// x, y and identifier of the point.
    observations: Vec<(f64, f64, u64)>,
}

fn isometry(q: [f64; 4], t: [f64; 3]) -> Isometry3<f64> {
    let rotation = Quaternion::new(q[0], q[1], q[2], q[3]);
    assert!((rotation.norm() - 1.0).abs() < 1e-9);
    Isometry3::from_parts(
        Translation3::from(Vector3::from(t)),
        UnitQuaternion::from_quaternion(rotation),
    )
}

fn read_images(bytes: &[u8]) -> Vec<ColmapImage> {
    let mut numbers = Numbers(bytes);
    let images = (0..numbers.u64())
        .map(|_| {
            let id = numbers.u32();
            let q = [0; 4].map(|_| numbers.f64());
            let t = [0; 3].map(|_| numbers.f64());
            assert_eq!(numbers.u32(), id, "each image has its own camera");
            let mut name = Vec::new();
            loop {
                match numbers.take() {
                    [0] => break,
                    [byte] => name.push(byte),
                }
            }
            ColmapImage {
                id,
                to_camera: isometry(q, t),
                name: String::from_utf8(name).unwrap(),
                observations: (0..numbers.u64())
                    .map(|_| (numbers.f64(), numbers.f64(), numbers.u64()))
                    .collect(),
            }
        })
        .collect();
    assert!(numbers.0.is_empty());
    images
}

#[test]
fn colmap_points_project_onto_their_pixels() {
    let sample = Sample::new(4000);
    let file = write_colmap(
        &sample.reconstruction(),
        Images::Processed,
        Cursor::new(Vec::new()),
    );
    let file = file.unwrap().into_inner();

    let bytes = entry(&file, "sparse/0/cameras.bin");
    let mut numbers = Numbers(&bytes);
    assert_eq!(numbers.u64(), 2);
    let mut parameters = Vec::new();
    for frame in [0, 2] {
        assert_eq!(numbers.u32(), frame + 1);
        assert_eq!(numbers.u32(), 1, "PINHOLE");
        assert_eq!(
            [numbers.u64(), numbers.u64()],
            [u64::from(SIZE.width), u64::from(SIZE.height)]
        );
        parameters.push([0; 4].map(|_| numbers.f64()));
    }
    assert!(numbers.0.is_empty());
    // The principal point of the synthetic cameras is the middle of the image.
    assert_eq!(
        parameters[0][2..],
        [f64::from(SIZE.width) / 2.0, f64::from(SIZE.height) / 2.0]
    );

    let images = read_images(&entry(&file, "sparse/0/images.bin"));
    let found: Vec<_> = images
        .iter()
        .map(|image| (image.id, &*image.name))
        .collect();
    assert_eq!(found, [(1, "a_b.png"), (3, "a_b_2.png")]);

    let bytes = entry(&file, "sparse/0/points3D.bin");
    let mut numbers = Numbers(&bytes);
    assert_eq!(numbers.u64(), sample.scene.points.len() as u64);
    for (number, (position, color, _, frame, [u, v])) in (1..).zip(sample.points()) {
        assert_eq!(numbers.u64(), number);
        assert_eq!(Point3::from([0; 3].map(|_| numbers.f64())), position);
        assert_eq!(numbers.take(), color);
        assert_eq!(numbers.f64(), 0.0);
        assert_eq!((numbers.u64(), numbers.u32()), (1, frame as u32 + 1));
        let index = usize::from(frame == 2);
        let (x, y, point) = images[index].observations[numbers.u32() as usize];
        assert_eq!(point, number);
        assert_eq!([x, y], [f64::from(u) + 0.5, f64::from(v) + 0.5]);
        let camera = images[index].to_camera * position;
        let [fx, fy, cx, cy] = parameters[index];
        assert!(camera.z > 0.0);
        assert!((fx * camera.x / camera.z + cx - x).abs() < TOLERANCE);
        assert!((fy * camera.y / camera.z + cy - y).abs() < TOLERANCE);
    }
    assert!(numbers.0.is_empty());
    let observed: usize = images.iter().map(|image| image.observations.len()).sum();
    assert_eq!(observed, sample.scene.points.len());
}

/// COLMAP's model `OPENCV` (`src/colmap/sensor/models.h`).
fn project_opencv(parameters: [f64; 8], camera: &Point3<f64>) -> [f64; 2] {
    let [fx, fy, cx, cy, k1, k2, p1, p2] = parameters;
    let (u, v) = (camera.x / camera.z, camera.y / camera.z);
    let squared = u * u + v * v;
    let radial = k1 * squared + k2 * squared * squared;
    let du = u * radial + 2.0 * p1 * u * v + p2 * (squared + 2.0 * u * u);
    let dv = v * radial + 2.0 * p2 * u * v + p1 * (squared + 2.0 * v * v);
    [fx * (u + du) + cx, fy * (v + dv) + cy]
}

#[test]
fn colmap_points_of_distorted_images_project_onto_their_pixels() {
    let sample = Sample::distorted(4000);
    let file = write_colmap(
        &sample.reconstruction(),
        Images::Processed,
        Cursor::new(Vec::new()),
    );
    let file = file.unwrap().into_inner();
    let bytes = entry(&file, "sparse/0/cameras.bin");
    let mut numbers = Numbers(&bytes);
    assert_eq!(numbers.u64(), 2);
    assert_eq!([numbers.u32(), numbers.u32()], [1, 4], "OPENCV");
    assert_eq!([numbers.u64(), numbers.u64()], [84, 63]);
    let distorted = [0; 8].map(|_| numbers.f64());
    assert_eq!(distorted[4..], [LENS.k1, LENS.k2, 0.0, 0.0]);
    assert_eq!([numbers.u32(), numbers.u32()], [3, 1], "PINHOLE");
    assert_eq!([numbers.u64(), numbers.u64()], [84, 63]);
    let [fx, fy, cx, cy] = [0; 4].map(|_| numbers.f64());
    assert!(numbers.0.is_empty());
    let pinhole = [fx, fy, cx, cy, 0.0, 0.0, 0.0, 0.0];

    let images = read_images(&entry(&file, "sparse/0/images.bin"));
    for (position, _, _, frame, pixel) in sample.points() {
        let (image, parameters) = match frame {
            0 => (&images[0], distorted),
            _ => (&images[1], pinhole),
        };
        let found = project_opencv(parameters, &(image.to_camera * position));
        for (found, index) in found.into_iter().zip(pixel) {
            assert!((found - (f64::from(index) + 0.5)).abs() < TOLERANCE);
        }
    }
}

#[test]
fn text_and_binary_models_are_equal() {
    let sample = Sample::distorted(500);
    let file = write_colmap(
        &sample.reconstruction(),
        Images::Processed,
        Cursor::new(Vec::new()),
    );
    let file = file.unwrap().into_inner();
    let text = |name: &str| String::from_utf8(entry(&file, &format!("text/{name}.txt"))).unwrap();
    let lines = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split(' ').map(str::to_owned).collect())
            .collect()
    };
    fn number(word: &str) -> f64 {
        word.parse().unwrap()
    }

    let bytes = entry(&file, "sparse/0/cameras.bin");
    let mut numbers = Numbers(&bytes[8..]);
    for line in lines(&text("cameras")) {
        assert_eq!(line[0], numbers.u32().to_string());
        let model = match numbers.u32() {
            1 => "PINHOLE",
            4 => "OPENCV",
            other => panic!("camera model {other}"),
        };
        assert_eq!(line[1], model);
        assert_eq!(
            line[2..4],
            [numbers.u64().to_string(), numbers.u64().to_string()]
        );
        for word in &line[4..] {
            assert_eq!(number(word), numbers.f64());
        }
    }
    assert!(numbers.0.is_empty());

    let images = read_images(&entry(&file, "sparse/0/images.bin"));
    let written = lines(&text("images"));
    assert_eq!(written.len(), 2 * images.len());
    for (image, lines) in images.iter().zip(written.as_chunks::<2>().0) {
        let [line, observations] = lines;
        assert_eq!(line[0], image.id.to_string());
        assert_eq!(line[8..], [image.id.to_string(), image.name.clone()]);
        let values: Vec<f64> = line[1..8].iter().map(|word| number(word)).collect();
        let read = isometry(
            values[..4].try_into().unwrap(),
            values[4..].try_into().unwrap(),
        );
        assert_eq!(read, image.to_camera);
        let words = observations.as_chunks::<3>();
        assert!(words.1.is_empty());
        let read = words
            .0
            .iter()
            .map(|[x, y, point]| (number(x), number(y), point.parse::<u64>().unwrap()));
        assert_eq!(read.collect::<Vec<_>>(), image.observations);
    }

    let bytes = entry(&file, "sparse/0/points3D.bin");
    let mut numbers = Numbers(&bytes[8..]);
    for line in lines(&text("points3D")) {
        assert_eq!(line[0], numbers.u64().to_string());
        for word in &line[1..4] {
            assert_eq!(number(word) as f32, numbers.f64() as f32);
        }
        assert_eq!(
            line[4..7],
            numbers.take::<3>().map(|value| value.to_string())
        );
        assert_eq!(number(&line[7]), numbers.f64());
        assert_eq!(numbers.u64(), 1);
        assert_eq!(
            line[8..],
            [numbers.u32().to_string(), numbers.u32().to_string()]
        );
    }
    assert!(numbers.0.is_empty());
}

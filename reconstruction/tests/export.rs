//! PLY, COLMAP, NPZ and nerfstudio files, read back by hand.

mod common;

use std::io::{self, Cursor, Read};

use common::{HEIGHT, Synthetic, WIDTH, predict};
use image::RgbImage;
use nalgebra::{
    Isometry3, Matrix4, Point3, Quaternion, Similarity3, Translation3, UnitQuaternion, Vector3,
};
use pointstream_reconstruction::cloud::{CloudOptions, PointFilters, Scene, build_scene};
use pointstream_reconstruction::export::colmap::write_colmap;
use pointstream_reconstruction::export::nerfstudio::write_nerfstudio;
use pointstream_reconstruction::export::npz::{NpzReader, NpzWriter};
use pointstream_reconstruction::export::ply::{size_bound, write_ply};
use pointstream_reconstruction::export::{Cameras, ExportError, FrameData, Reconstruction};
use serde_json::Value;
use zip::ZipArchive;

/// Pixels that a reprojection may be off: positions have single precision.
const TOLERANCE: f64 = 1e-3;

/// A scene of three frames, the middle one of which the model could not place.
struct Sample {
    synthetic: Synthetic,
    scene: Scene,
    cameras: Cameras,
    arrays: NpzReader<Vec<u8>>,
}

impl Sample {
    fn new(points: usize) -> Self {
        let angles = Vector3::new(0.2, 0.1, -0.4);
        let model_world = Similarity3::new(Vector3::new(1.0, 2.0, -3.0), angles, 0.31);
        let mut synthetic = predict(&[3, 1, 2], (WIDTH, HEIGHT), &model_world);
        synthetic.names = ["a b.jpg", "lost.jpg", "a_b.png"].map(String::from).into();
        synthetic.prediction.cameras[1].registered = false;
        // A result that was brought into the session's world, whose scale is another one.
        let (_, world) = build(
            &predict(&[3, 2], (WIDTH, HEIGHT), &Similarity3::identity()),
            None,
            points,
        );
        let (scene, _) = build(&synthetic, Some(&world), points);
        assert!((scene.world_to_glb.scaling() - 1.0).abs() > 0.1);
        let arrays = NpzReader::new(npz(&synthetic, &scene), 3, WIDTH * HEIGHT).unwrap();
        Sample {
            cameras: Cameras::of(&scene),
            synthetic,
            scene,
            arrays,
        }
    }

    fn reconstruction(&self) -> Reconstruction<'_> {
        Reconstruction {
            cameras: &self.cameras,
            frames: self,
        }
    }

    /// What a reader has to find of each point: position, colour, confidence, frame and pixel.
    fn points(&self) -> impl Iterator<Item = (Point3<f64>, [u8; 3], f32, usize, [u32; 2])> {
        self.scene.pixels.iter().enumerate().map(|(number, pixel)| {
            let (frame, index) = (pixel.frame as usize, pixel.index);
            let [u, v] = [index % WIDTH as u32, index / WIDTH as u32];
            let color = self.synthetic.images[frame].get_pixel(u, v).0;
            assert_eq!(color, self.scene.colors[number]);
            let confidence = self.synthetic.prediction.frame_confidence(frame)[index as usize];
            let position = self.scene.points[number].map(f64::from).into();
            (position, color, confidence, frame, [u, v])
        })
    }
}

impl FrameData for Sample {
    fn point_count(&self, frame: usize) -> usize {
        self.arrays.point_count(frame)
    }
    fn pixels(&self, frame: usize) -> io::Result<Vec<u32>> {
        self.arrays.pixels(frame)
    }
    fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.arrays.depth(frame)
    }
    fn confidence(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.arrays.confidence(frame)
    }
    fn image(&self, frame: usize) -> io::Result<RgbImage> {
        Ok(self.synthetic.images[frame].clone())
    }
}

fn build(
    synthetic: &Synthetic,
    world: Option<&pointstream_reconstruction::cloud::WorldFrame>,
    num_max_points: usize,
) -> (Scene, pointstream_reconstruction::cloud::WorldFrame) {
    let options = CloudOptions {
        conf_thresh_percentile: 10.0,
        num_max_points,
        show_cameras: true,
        filters: PointFilters::OFF,
    };
    build_scene(&synthetic.prediction, &synthetic.frames(), world, &options).unwrap()
}

fn npz(synthetic: &Synthetic, scene: &Scene) -> Vec<u8> {
    let writer = NpzWriter::begin(&synthetic.prediction, Cursor::new(Vec::new())).unwrap();
    writer.finish(scene).unwrap().into_inner()
}

/// An entry of a zip file.
fn entry(archive: &[u8], name: &str) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut bytes = Vec::new();
    let mut file = archive.by_name(name).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn names(archive: &[u8]) -> Vec<String> {
    let archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    archive.file_names().map(str::to_owned).collect()
}

/// Reads little-endian numbers one after another.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (bytes, rest) = self.0.split_first_chunk().unwrap();
        self.0 = rest;
        *bytes
    }
    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
    fn f32(&mut self) -> f32 {
        f32::from_le_bytes(self.take())
    }
    fn f64(&mut self) -> f64 {
        f64::from_le_bytes(self.take())
    }
}

#[test]
fn ply_has_the_points_of_the_scene() {
    for limit in [0, 1, 5000] {
        let sample = Sample::new(limit);
        let mut file = Vec::new();
        write_ply(&sample.reconstruction(), &mut file).unwrap();
        assert!(file.len() as u64 <= size_bound(&sample.reconstruction()));
        let end = b"end_header\n";
        let header = file.windows(end.len()).position(|part| part == end);
        let (header, vertices) = file.split_at(header.unwrap() + end.len());
        let header = std::str::from_utf8(header).unwrap();
        assert!(header.starts_with("ply\nformat binary_little_endian 1.0\n"));
        assert!(header.contains(&format!("element vertex {limit}\n")));
        let mut numbers = Numbers(vertices);
        for (number, (_, color, confidence, _, _)) in sample.points().enumerate() {
            let position = [0; 3].map(|_| numbers.f32());
            assert_eq!(position, sample.scene.points[number]);
            assert_eq!(numbers.take(), color);
            assert_eq!(numbers.f32(), confidence);
        }
        assert!(numbers.0.is_empty());
    }
}

/// An image of a COLMAP model.
struct ColmapImage {
    id: u32,
    to_camera: Isometry3<f64>,
    name: String,
    /// x, y and the number of the point.
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
    let file = write_colmap(&sample.reconstruction(), Cursor::new(Vec::new()));
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
            [WIDTH as u64, HEIGHT as u64]
        );
        parameters.push([0; 4].map(|_| numbers.f64()));
    }
    assert!(numbers.0.is_empty());
    // The principal point of the synthetic cameras is the middle of the image.
    assert_eq!(
        parameters[0][2..],
        [WIDTH as f64 / 2.0, HEIGHT as f64 / 2.0]
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

#[test]
fn colmaps_text_says_the_same_as_its_binary_model() {
    let sample = Sample::new(500);
    let file = write_colmap(&sample.reconstruction(), Cursor::new(Vec::new()));
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
        assert_eq!((&*line[1], numbers.u32()), ("PINHOLE", 1));
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

#[test]
fn images_are_those_of_the_frames() {
    let sample = Sample::new(10);
    let reconstruction = sample.reconstruction();
    for file in [
        write_colmap(&reconstruction, Cursor::new(Vec::new())).unwrap(),
        write_nerfstudio(&reconstruction, Cursor::new(Vec::new())).unwrap(),
    ] {
        let file = file.into_inner();
        let names = names(&file);
        let images = names.iter().filter(|name| name.starts_with("images/"));
        assert_eq!(images.count(), 2);
        for (name, frame) in [("images/a_b.png", 0), ("images/a_b_2.png", 2)] {
            let image = image::load_from_memory(&entry(&file, name)).unwrap();
            assert_eq!(image.into_rgb8(), sample.synthetic.images[frame]);
        }
    }
}

#[test]
fn nerfstudios_rays_go_through_the_points() {
    let sample = Sample::new(4000);
    let file = write_nerfstudio(&sample.reconstruction(), Cursor::new(Vec::new()));
    let file = file.unwrap().into_inner();
    let transforms: Value = serde_json::from_slice(&entry(&file, "transforms.json")).unwrap();
    let mut ply = Vec::new();
    write_ply(&sample.reconstruction(), &mut ply).unwrap();
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
        let x = number("fl_x") * camera.x / -camera.z + number("cx");
        let y = number("fl_y") * -camera.y / -camera.z + number("cy");
        for (found, index) in [x, y].into_iter().zip(pixel) {
            assert!(
                (found - (f64::from(index) + 0.5)).abs() < TOLERANCE,
                "{found} {index}"
            );
        }
    }
}

#[test]
fn npz_gives_back_what_was_written() {
    let sample = Sample::new(3000);
    let prediction = &sample.synthetic.prediction;
    let mut points = 0;
    for frame in 0..3 {
        assert_eq!(
            sample.arrays.depth(frame).unwrap(),
            prediction.frame_depth(frame)
        );
        let confidence = sample.arrays.confidence(frame).unwrap();
        assert_eq!(confidence, prediction.frame_confidence(frame));
        let pixels = sample.arrays.pixels(frame).unwrap();
        assert_eq!(pixels.len(), sample.arrays.point_count(frame));
        for (index, pixel) in pixels.iter().zip(&sample.scene.pixels[points..]) {
            assert_eq!((frame as u32, *index), (pixel.frame, pixel.index));
        }
        points += pixels.len();
    }
    assert_eq!(points, 3000);
    assert_eq!(sample.arrays.point_count(1), 0, "the lost frame");
    assert!(sample.arrays.depth(3).is_err());
    assert!(sample.arrays.pixels(3).is_err());
    let mut files = names(sample.arrays.bytes());
    files.sort();
    let arrays = [
        "confidence",
        "depth",
        "extrinsics",
        "frames",
        "intrinsics",
        "points",
        "registered",
        "world_to_glb",
    ];
    assert_eq!(files, arrays.map(|name| format!("{name}.npy")));
}

#[test]
fn other_files_are_no_npz_of_these_frames() {
    let sample = Sample::new(100);
    let bytes = sample.arrays.bytes();
    assert!(NpzReader::new(bytes.as_slice(), 2, WIDTH * HEIGHT).is_err());
    assert!(NpzReader::new(bytes.as_slice(), 3, WIDTH * HEIGHT - 1).is_err());
    assert!(NpzReader::new(&bytes[..bytes.len() / 2], 3, WIDTH * HEIGHT).is_err());
    let other = write_nerfstudio(&sample.reconstruction(), Cursor::new(Vec::new()));
    assert!(NpzReader::new(other.unwrap().into_inner(), 3, WIDTH * HEIGHT).is_err());
}

#[test]
fn the_same_reconstruction_gives_the_same_bytes() {
    let (one, two) = (Sample::new(1000), Sample::new(1000));
    assert_eq!(one.arrays.bytes(), two.arrays.bytes());
    let files = [&one, &two].map(|sample| {
        let reconstruction = sample.reconstruction();
        [
            write_colmap(&reconstruction, Cursor::new(Vec::new())).unwrap(),
            write_nerfstudio(&reconstruction, Cursor::new(Vec::new())).unwrap(),
        ]
    });
    assert!(files[0] == files[1]);
}

#[test]
fn a_scene_without_points_is_written_too() {
    let mut synthetic = predict(&[0], (WIDTH, HEIGHT), &Similarity3::identity());
    synthetic.prediction.confidence.fill(1.0);
    let (scene, _) = build(&synthetic, None, 100);
    let arrays = NpzReader::new(npz(&synthetic, &scene), 1, WIDTH * HEIGHT).unwrap();
    let cameras = Cameras::of(&scene);
    let sample = Sample {
        synthetic,
        scene,
        cameras,
        arrays,
    };
    let reconstruction = sample.reconstruction();
    let mut ply = Vec::new();
    write_ply(&reconstruction, &mut ply).unwrap();
    assert!(ply.ends_with(b"end_header\n"));
    let colmap = write_colmap(&reconstruction, Cursor::new(Vec::new())).unwrap();
    let text = String::from_utf8(entry(colmap.get_ref(), "text/images.txt")).unwrap();
    assert!(
        text.ends_with("image_0001.png\n\n") || text.ends_with("photo_0.png\n\n"),
        "{text}"
    );
    write_nerfstudio(&reconstruction, Cursor::new(Vec::new())).unwrap();
}

/// Frames that cannot be read any more, and a disk that is full.
struct Broken<'a>(&'a Sample);

impl FrameData for Broken<'_> {
    fn point_count(&self, frame: usize) -> usize {
        self.0.point_count(frame)
    }
    fn pixels(&self, frame: usize) -> io::Result<Vec<u32>> {
        self.0.pixels(frame)
    }
    fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.0.depth(frame)
    }
    fn confidence(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.0.confidence(frame)
    }
    fn image(&self, _frame: usize) -> io::Result<RgbImage> {
        Ok(RgbImage::new(WIDTH as u32, 1))
    }
}

#[test]
fn what_cannot_be_read_or_written_is_told_apart() {
    let sample = Sample::new(100);
    let broken = Reconstruction {
        cameras: &sample.cameras,
        frames: &Broken(&sample),
    };
    let error = write_ply(&broken, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ExportError::Read(_)), "{error}");
    let mut full = [0_u8; 600];
    let error = write_ply(&sample.reconstruction(), &mut &mut full[..]).unwrap_err();
    assert!(matches!(error, ExportError::Write(_)), "{error}");
    let full = Cursor::new(&mut full[..]);
    let error = write_colmap(&sample.reconstruction(), full).unwrap_err();
    let told = matches!(error, ExportError::Write(_) | ExportError::Zip(_));
    assert!(told, "{error}");
}

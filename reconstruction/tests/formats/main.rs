//! Files of all formats but GLB, parsed by the tests themselves or by the library that wrote them.

#[path = "../common/mod.rs"]
mod common;

mod colmap;
mod e57;
mod las;
mod mesh;
mod nerfstudio;
mod npz;
mod originals;
mod ply;
mod sample;
mod text;

use std::io::{self, Cursor};

use common::{SIZE, predict};
use image::RgbImage;
use nalgebra::Similarity3;
use pointstream_reconstruction::formats::colmap::write_colmap;
use pointstream_reconstruction::formats::nerfstudio::write_nerfstudio;
use pointstream_reconstruction::formats::npz::NpzReader;
use pointstream_reconstruction::formats::ply::write_ply;
use pointstream_reconstruction::formats::{Cameras, FrameData, Images, Reconstruction, WriteError};
use sample::{Sample, build, entry, names, npz as npz_file};

#[test]
fn images_are_those_of_the_frames() {
    let sample = Sample::new(10);
    let reconstruction = sample.reconstruction();
    for file in [
        write_colmap(&reconstruction, Images::Processed, Cursor::new(Vec::new())).unwrap(),
        write_nerfstudio(&reconstruction, Images::Processed, Cursor::new(Vec::new())).unwrap(),
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
fn the_same_reconstruction_gives_the_same_bytes() {
    let (one, two) = (Sample::new(1000), Sample::new(1000));
    assert_eq!(one.arrays.file(), two.arrays.file());
    let files = [&one, &two].map(|sample| {
        let reconstruction = sample.reconstruction();
        [
            write_colmap(&reconstruction, Images::Processed, Cursor::new(Vec::new())).unwrap(),
            write_nerfstudio(&reconstruction, Images::Processed, Cursor::new(Vec::new())).unwrap(),
        ]
    });
    assert!(files[0] == files[1]);
}

#[test]
fn scenes_without_points_can_be_written() {
    let mut synthetic = predict(&[0], SIZE, &Similarity3::identity());
    synthetic.prediction.confidence.fill(1.0);
    let (scene, _) = build(&synthetic, None, 100);
    let arrays = NpzReader::new(npz_file(&synthetic, &scene), 1, SIZE).unwrap();
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
    let colmap = write_colmap(&reconstruction, Images::Processed, Cursor::new(Vec::new())).unwrap();
    let text = String::from_utf8(entry(colmap.get_ref(), "text/images.txt")).unwrap();
    assert!(
        text.ends_with("image_0001.png\n\n") || text.ends_with("photo_0.png\n\n"),
        "{text}"
    );
    write_nerfstudio(&reconstruction, Images::Processed, Cursor::new(Vec::new())).unwrap();
}

/// Frames that cannot be read, and a full disk.
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
        Ok(RgbImage::new(SIZE.width, 1))
    }
}

#[test]
fn read_and_write_errors_differ() {
    let sample = Sample::new(100);
    let broken = Reconstruction {
        cameras: &sample.cameras,
        frames: &Broken(&sample),
    };
    let error = write_ply(&broken, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, WriteError::Read(_)), "{error}");
    let mut full = [0_u8; 600];
    let error = write_ply(&sample.reconstruction(), &mut &mut full[..]).unwrap_err();
    assert!(matches!(error, WriteError::Write(_)), "{error}");
    let full = Cursor::new(&mut full[..]);
    let error = write_colmap(&sample.reconstruction(), Images::Processed, full).unwrap_err();
    let expected = matches!(error, WriteError::Write(_) | WriteError::Zip(_));
    assert!(expected, "{error}");
}

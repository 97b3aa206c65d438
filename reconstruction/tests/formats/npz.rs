use std::io::Cursor;

use pointstream_reconstruction::formats::Images;
use pointstream_reconstruction::formats::nerfstudio::write_nerfstudio;
use pointstream_reconstruction::formats::npz::NpzReader;
use pointstream_reconstruction::geometry::FrameSize;

use crate::common::SIZE;
use crate::sample::{LENS, Numbers, Sample, entry, names};

#[test]
fn npz_round_trip() {
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
    let mut files = names(sample.arrays.file());
    files.sort();
    let arrays = [
        "confidence",
        "depth",
        "distortion",
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
fn npz_has_the_distortion_of_each_frame() {
    let sample = Sample::distorted(10);
    let array = entry(sample.arrays.file(), "distortion.npy");
    let mut numbers = Numbers(&array[array.len() - 6 * size_of::<f64>()..]);
    let found = [0; 6].map(|_| numbers.f64());
    assert_eq!(found, [LENS.k1, LENS.k2, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn other_files_and_sizes_are_refused() {
    let sample = Sample::new(100);
    let bytes = sample.arrays.file();
    assert!(NpzReader::new(bytes.as_slice(), 2, SIZE).is_err());
    assert!(
        NpzReader::new(
            bytes.as_slice(),
            3,
            FrameSize::new(SIZE.width, SIZE.height - 1)
        )
        .is_err()
    );
    assert!(NpzReader::new(&bytes[..bytes.len() / 2], 3, SIZE).is_err());
    let other = write_nerfstudio(
        &sample.reconstruction(),
        Images::Processed,
        Cursor::new(Vec::new()),
    );
    assert!(NpzReader::new(other.unwrap().into_inner(), 3, SIZE).is_err());
}

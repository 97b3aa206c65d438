//! Files of sessions: predictions, arrays and points.

use std::io::{Cursor, Write as _};

use nalgebra::{Matrix3, Matrix4};
use pointstream_fuzzing::{Corpus, Unstructured, arbitrary, fuzz, fuzz_values};
use pointstream_reconstruction::formats::npz::NpzReader;
use pointstream_reconstruction::geometry::{Distortion, FrameSize};
use pointstream_reconstruction::map::ChunkPoints;
use pointstream_reconstruction::prediction::{Camera, Links, Prediction};
use zip::write::SimpleFileOptions;

use crate::counting::measured;

/// Most that reading a small file takes, in bytes, beside copies of its content: a list of as many entries as a
/// zip file may have.
const MOST: u64 = 16 << 20;

fn prediction(random: &mut Unstructured<'_>) -> arbitrary::Result<Prediction> {
    let size = FrameSize::new(random.int_in_range(1..=4)?, random.int_in_range(1..=4)?);
    let frames = random.int_in_range(0..=3)?;
    let mut cameras = Vec::new();
    for _ in 0..frames {
        let extrinsics: [f64; 16] = random.arbitrary()?;
        let intrinsics: [f64; 9] = random.arbitrary()?;
        cameras.push(Camera {
            extrinsics: Matrix4::from_row_slice(&extrinsics),
            intrinsics: Matrix3::from_row_slice(&intrinsics),
            distortion: Distortion {
                k1: random.arbitrary()?,
                k2: random.arbitrary()?,
            },
            registered: random.arbitrary()?,
        });
    }
    let count = frames * size.rows() * size.columns();
    let mut floats = |count: usize| {
        (0..count)
            .map(|_| random.arbitrary())
            .collect::<arbitrary::Result<Vec<f32>>>()
    };
    let (depth, confidence) = (floats(count)?, floats(count)?);
    let per_frame = 1 + count % 3;
    let links = Links::new(frames, per_frame, floats(frames * per_frame * 3)?);
    Ok(Prediction {
        size,
        cameras,
        depth,
        confidence,
        report: None,
        links: links.filter(|_| frames > 0),
    })
}

fn saved(prediction: &Prediction) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    prediction.save_safetensors(file.path()).expect("written");
    std::fs::read(file.path()).expect("there")
}

/// All numbers, with their bits: no number is equal to NaN.
fn bits(prediction: &Prediction) -> (FrameSize, Vec<u64>, Vec<u32>) {
    let cameras = prediction.cameras.iter().flat_map(|camera| {
        let numbers = camera.extrinsics.iter().chain(camera.intrinsics.iter());
        let numbers = numbers.copied().chain(camera.distortion.coefficients());
        numbers
            .map(f64::to_bits)
            .chain([u64::from(camera.registered)])
    });
    let links = prediction.links.iter().flat_map(|links| links.numbers());
    let maps = prediction
        .depth
        .iter()
        .chain(&prediction.confidence)
        .chain(links);
    (
        prediction.size,
        cameras.collect(),
        maps.map(|number| number.to_bits()).collect(),
    )
}

#[test]
fn predictions_are_read_as_they_were_written() {
    fuzz_values("predictions as written", prediction, |prediction| {
        let read = Prediction::from_safetensors(saved(prediction).as_slice()).expect("whole");
        assert_eq!(bits(&read), bits(prediction));
    });
}

#[test]
fn damaged_predictions() {
    let random: Vec<u8> = (0..4000_u32)
        .map(|index| (index * 37 % 251) as u8)
        .collect();
    let mut random = Unstructured::new(&random);
    let mut inputs = Vec::new();
    while inputs.len() < 4 {
        inputs.push(saved(&prediction(&mut random).expect("enough bytes")));
    }
    let words = [
        "\"shape\":",
        "\"dtype\":",
        "\"F32\"",
        "\"F64\"",
        "\"U8\"",
        "\"BF16\"",
        "\"data_offsets\":",
        "[0,0]",
        "[0,",
        "18446744073709551615",
        "4294967296",
        "\"depth\"",
        "\"links\"",
        "\"report\"",
        "{",
        "}",
        "[",
        "]",
        "0",
        "3",
    ];
    fuzz(
        "files of predictions",
        &Corpus::of(inputs).with_words(words),
        |bytes| {
            let (read, most) = measured(|| Prediction::from_safetensors(bytes));
            assert!(most <= MOST + 8 * bytes.len() as u64, "{most} bytes");
            if let Ok(read) = read {
                let pixels = read.size.rows() * read.size.columns() * read.len();
                assert_eq!((read.depth.len(), read.confidence.len()), (pixels, pixels));
                for frame in 0..read.len() {
                    assert_eq!(read.frame_depth(frame).len(), read.pixels_per_frame());
                }
                let links = read.links.iter().flat_map(Links::iter);
                assert!(links.count() <= bytes.len());
                let again = Prediction::from_safetensors(saved(&read).as_slice()).expect("whole");
                assert_eq!(bits(&again), bits(&read));
            }
            // It fails in the same cases, but for those of the rest of the file.
            if let Ok(Some(links)) = Links::from_safetensors(bytes) {
                assert!(links.numbers().len() * 4 <= bytes.len());
            }
        },
    );
}

const FRAMES: usize = 2;
const SIZE: FrameSize = FrameSize::new(3, 2);

fn arrays() -> Vec<u8> {
    let array = |kind: &str, shape: &str, values: Vec<u8>| {
        let mut text =
            format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
        text.extend(std::iter::repeat_n(' ', 117 - text.len()));
        text.push('\n');
        [b"\x93NUMPY\x01\x00\x76\x00", text.as_bytes(), &values].concat()
    };
    let map = || array("<f4", "2, 2, 3,", vec![1; 4 * 12]);
    let points = [[0_u32, 1], [0, 4], [1, 0]]
        .as_flattened()
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in [
        ("depth.npy", map()),
        ("confidence.npy", map()),
        ("points.npy", array("<u4", "3, 2,", points)),
    ] {
        archive.start_file(name, options).expect("begun");
        archive.write_all(&content).expect("written");
    }
    archive.finish().expect("finished").into_inner()
}

#[test]
fn files_of_arrays() {
    let whole = arrays();
    let read = NpzReader::new(whole.as_slice(), FRAMES, SIZE).expect("whole");
    assert_eq!(
        (read.point_count(0), read.pixels(1).expect("there")),
        (2, vec![0])
    );
    let corpus = Corpus::of([whole]).with_words([
        &b"PK\x03\x04"[..],
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"PK\x06\x06",
        b"depth.npy",
        b"points.npy",
        b"\x93NUMPY",
        b"\xff\xff",
        b"\xff\xff\xff\xff",
        b"\x01\x00\x20\x00",
    ]);
    fuzz("files of arrays", &corpus, |bytes| {
        let (read, most) = measured(|| NpzReader::new(bytes, FRAMES, SIZE));
        assert!(most <= MOST + 8 * bytes.len() as u64, "{most} bytes");
        let Ok(read) = read else {
            return;
        };
        let mut points = 0;
        for frame in 0..FRAMES + 1 {
            if let Ok(depth) = read.depth(frame) {
                assert_eq!(depth.len(), 6);
            }
            let _ = read.confidence(frame);
            points += read.point_count(frame);
            if let Ok(pixels) = read.pixels(frame) {
                assert_eq!(pixels.len(), read.point_count(frame));
            }
        }
        assert!(points * 8 <= bytes.len());
    });
}

#[test]
fn files_of_points() {
    let point: Vec<u8> = (0..20).collect();
    let corpus = Corpus::of([point.repeat(3), point]);
    fuzz("files of points", &corpus, |bytes| {
        for count in [0, 1, 3, bytes.len() / 20, usize::MAX] {
            let (read, most) = measured(|| ChunkPoints::from_bytes(bytes, count));
            assert!(most <= 4096 + 2 * bytes.len() as u64, "{most} bytes");
            if let Ok(points) = read {
                assert_eq!(points.len(), count);
                // The last byte of each is padding.
                let written = points.to_bytes();
                let again = ChunkPoints::from_bytes(&written, count).expect("whole");
                assert_eq!(again.to_bytes(), written);
            }
        }
    });
}

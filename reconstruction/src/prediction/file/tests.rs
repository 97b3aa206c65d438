//! Round trips and invalid files.

use safetensors::SafeTensors;

use super::*;

fn prediction() -> Prediction {
    let number = |index: usize| index as f64 + 0.1;
    let camera = |frame: usize| Camera {
        extrinsics: Matrix4::from_fn(|row, column| number(100 * frame + 10 * row + column)),
        intrinsics: Matrix3::from_fn(|row, column| number(900 * frame + 10 * row + column)),
        distortion: Distortion {
            k1: number(frame),
            k2: -number(frame),
        },
        registered: frame == 1,
    };
    Prediction {
        size: FrameSize::new(3, 2),
        cameras: (0..2).map(camera).collect(),
        depth: (0..12).map(|index| number(index) as f32).collect(),
        confidence: (0..12).map(|index| number(index + 50) as f32).collect(),
        report: None,
        links: None,
    }
}

/// The prediction with a report.
fn reported() -> Prediction {
    let row = |piece| [0.0, piece, 57.0, 0.31, 4.2, -1.0, 0.015, 0.97];
    let rows = [row(0.0), row(-1.0)];
    let report = rows.map(|row| FrameReport::from_row(&row, 2).expect("valid"));
    Prediction {
        report: Some(report.to_vec()),
        ..prediction()
    }
}

fn refused(bytes: &[u8]) -> String {
    let error = Prediction::from_safetensors(bytes).expect_err("the bytes must be refused");
    error.to_string()
}

/// The file of [`prediction`] with one tensor replaced, or removed.
fn with(name: &str, replacement: Option<(Dtype, &[usize])>) -> Vec<u8> {
    let bytes = saved(&reported()).expect("it is written");
    let file = SafeTensors::deserialize(&bytes).expect("it is read");
    let content = [0; 1024];
    let tensors = file.iter().filter_map(|(found, tensor)| {
        if found != name {
            return Some((found, tensor));
        }
        let (dtype, shape) = replacement?;
        let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        let tensor = TensorView::new(dtype, shape.to_vec(), &content[..length]);
        Some((found, tensor.expect("it is a tensor")))
    });
    safetensors::serialize(tensors, None).expect("it is written")
}

/// The bytes of the file that the prediction is saved to.
fn saved(prediction: &Prediction) -> Result<Vec<u8>, PredictionFileError> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    prediction.save_safetensors(file.path())?;
    Ok(std::fs::read(file.path()).expect("it is there"))
}

#[test]
fn round_trip_keeps_every_bit() {
    let mut written = prediction();
    // A signalling NaN with a payload, a negative zero, a subnormal number and an infinity.
    let special = [0x7fa1_2345, 0x8000_0000, 0x0000_0001, 0xff80_0000].map(f32::from_bits);
    written.depth[2..6].copy_from_slice(&special);
    written.cameras[0].extrinsics[(2, 3)] = f64::from_bits(0x7ff0_0000_0000_0001);
    let bytes = saved(&written).expect("it is written");
    // At an odd address, so that the numbers are not aligned.
    let shifted = [&[0], bytes.as_slice()].concat();
    let read = Prediction::from_safetensors(&shifted[1..]).expect("it is read");
    assert_eq!(read.size, written.size);
    let bits = |numbers: &[f32]| -> Vec<u32> { numbers.iter().map(|n| n.to_bits()).collect() };
    assert_eq!(bits(&read.depth), bits(&written.depth));
    assert_eq!(bits(&read.confidence), bits(&written.confidence));
    for (read, written) in read.cameras.iter().zip(&written.cameras) {
        assert_eq!(
            read.extrinsics.map(f64::to_bits),
            written.extrinsics.map(f64::to_bits)
        );
        assert_eq!(
            read.intrinsics.map(f64::to_bits),
            written.intrinsics.map(f64::to_bits)
        );
        assert_eq!(read.distortion, written.distortion);
        assert_eq!(read.registered, written.registered);
    }
    assert_eq!(saved(&read).expect("it is written"), bytes);
}

#[test]
fn a_report_is_kept() {
    let bytes = saved(&reported()).expect("it is written");
    let read = Prediction::from_safetensors(&bytes).expect("it is read");
    assert_eq!(read, reported());
    // It may be missing.
    let read = Prediction::from_safetensors(with(REPORT, None)).expect("it is read");
    assert_eq!(read.report, None);
    let mut broken = reported();
    broken.report = broken.report.map(|mut rows| {
        rows[1].piece = Some(7);
        rows
    });
    let error = refused(&saved(&broken).expect("it is written"));
    assert_eq!(
        error,
        "report[1]: 7 is not the index of a piece of 2 frames"
    );
}

#[test]
fn matrices_are_row_major() {
    let bytes = saved(&prediction()).expect("it is written");
    let file = SafeTensors::deserialize(&bytes).expect("it is read");
    let extrinsics = file.tensor(EXTRINSICS).expect("it is there");
    assert_eq!(extrinsics.shape(), [2, 4, 4]);
    // Row 1, column 2 of frame 0.
    assert_eq!(extrinsics.data()[6 * 8..7 * 8], 12.1_f64.to_le_bytes());
}

#[test]
fn a_prediction_without_frames_is_kept() {
    let empty = Prediction {
        cameras: Vec::new(),
        depth: Vec::new(),
        confidence: Vec::new(),
        ..prediction()
    };
    let bytes = saved(&empty).expect("it is written");
    let read = Prediction::from_safetensors(&bytes).expect("it is read");
    assert_eq!(read, empty);
}

#[test]
fn buffers_of_the_wrong_length_are_not_written() {
    let mut short = prediction();
    short.confidence.pop();
    let error = saved(&short).expect_err("it must be refused");
    assert!(matches!(error, PredictionFileError::Write(_)), "{error}");
}

#[test]
fn truncated_files_are_refused() {
    let bytes = saved(&prediction()).expect("it is written");
    for length in 0..bytes.len() {
        let error = refused(&bytes[..length]);
        assert!(
            error.contains("not a safetensors file"),
            "{length}: {error}"
        );
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(refused(&longer).contains("not a safetensors file"));
}

#[test]
fn missing_tensors_are_refused() {
    for name in [
        DEPTH, CONFIDENCE, EXTRINSICS, INTRINSICS, DISTORTION, REGISTERED,
    ] {
        assert_eq!(
            refused(&with(name, None)),
            format!("the file has no tensor {name}")
        );
    }
}

#[test]
fn wrong_types_are_refused() {
    let cases: [(&str, Dtype, &[usize]); 7] = [
        (DEPTH, Dtype::F64, &[2, 2, 3]),
        (CONFIDENCE, Dtype::F16, &[2, 2, 3]),
        (EXTRINSICS, Dtype::F32, &[2, 4, 4]),
        (INTRINSICS, Dtype::F32, &[2, 3, 3]),
        (DISTORTION, Dtype::F32, &[2, 2]),
        (REGISTERED, Dtype::BOOL, &[2]),
        (REPORT, Dtype::F64, &[2, 8]),
    ];
    for (name, dtype, shape) in cases {
        let error = refused(&with(name, Some((dtype, shape))));
        let expected = format!("the tensor {name} has the type {dtype:?} instead of ");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn wrong_shapes_are_refused() {
    let cases: [(&str, Dtype, &[usize], &str); 10] = [
        (DEPTH, Dtype::F32, &[4, 3], "[N, H, W]"),
        (CONFIDENCE, Dtype::F32, &[2, 3, 2], "[2, 2, 3]"),
        (CONFIDENCE, Dtype::F32, &[12], "[2, 2, 3]"),
        (EXTRINSICS, Dtype::F64, &[3, 4, 4], "[2, 4, 4]"),
        (EXTRINSICS, Dtype::F64, &[2, 3, 4], "[2, 4, 4]"),
        (INTRINSICS, Dtype::F64, &[2, 9], "[2, 3, 3]"),
        (DISTORTION, Dtype::F64, &[2, 3], "[2, 2]"),
        (REGISTERED, Dtype::U8, &[3], "[2]"),
        (REGISTERED, Dtype::U8, &[2, 1], "[2]"),
        (REPORT, Dtype::F32, &[2, 7], "[2, 8]"),
    ];
    for (name, dtype, shape, expected) in cases {
        assert_eq!(
            refused(&with(name, Some((dtype, shape)))),
            format!("the tensor {name} has the shape {shape:?} instead of {expected}")
        );
    }
    // The other tensors are compared with `depth`.
    let error = refused(&with(DEPTH, Some((Dtype::F32, &[2, 2, 4]))));
    assert_eq!(
        error,
        "the tensor confidence has the shape [2, 2, 3] instead of [2, 2, 4]"
    );
}

#[test]
fn registered_is_zero_or_one() {
    let mut bytes = saved(&prediction()).expect("it is written");
    // `registered` has the smallest type, so the format puts it last.
    if let Some(last) = bytes.last_mut() {
        *last = 2;
    }
    assert_eq!(refused(&bytes), "registered[1] is 2 instead of 0 or 1");
}

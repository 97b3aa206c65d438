//! Compares preprocessed images with those of OpenCV (`golden/make.py`).

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::{
    CommonSize, PreprocessError, ProcessResMethod, center_crop, preprocess, processed_size,
};
use strum::VariantArray;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn open(path: &Path) -> RgbImage {
    image::open(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .into_rgb8()
}

/// Mean and largest absolute difference in grey levels.
fn difference(a: &RgbImage, b: &RgbImage) -> (f64, u8) {
    let differences = a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    (sum as f64 / a.len() as f64, differences.max().unwrap_or(0))
}

#[test]
fn pixels_are_those_of_opencv() {
    let mut compared = 0;
    for entry in std::fs::read_dir(golden().join("processed")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let [source, process_res, method] = name.split('-').collect::<Vec<_>>()[..] else {
            panic!("{name} is not SOURCE-RESOLUTION-METHOD");
        };
        let picture = open(&golden().join(format!("sources/{source}.png")));
        let method: ProcessResMethod = method.parse().unwrap();
        let result = preprocess(&picture, process_res.parse().unwrap(), method, 14).unwrap();
        let expected = open(&path);
        assert_eq!(result.dimensions(), expected.dimensions(), "{name}");
        let (mean, largest) = difference(&result, &expected);
        assert!(
            mean < 0.005 && largest <= 1,
            "{name}: differs by {mean} on average and by {largest} at most"
        );
        compared += 1;
    }
    assert_eq!(compared, 24);
}

#[test]
fn sizes_are_those_of_depth_anything_3() {
    let rows = std::fs::read_to_string(golden().join("sizes.json")).unwrap();
    let rows: Vec<(u32, u32, u32, String, u32, u32)> = serde_json::from_str(&rows).unwrap();
    assert!(rows.len() > 1000);
    for (width, height, process_res, method, new_width, new_height) in rows {
        let method: ProcessResMethod = method.parse().unwrap();
        assert_eq!(
            processed_size(FrameSize::new(width, height), process_res, method, 14),
            Ok(FrameSize::new(new_width, new_height)),
            "{width}x{height} at {process_res} by {method}"
        );
    }
}

#[test]
fn processed_size_is_the_size_of_the_processed_image() {
    for (width, height) in [(60, 40), (33, 97), (42, 42), (1, 30)] {
        let picture = RgbImage::new(width, height);
        for method in ProcessResMethod::VARIANTS.iter().copied() {
            for process_res in [1, 14, 30, 42, 61] {
                let size = processed_size(FrameSize::of(&picture), process_res, method, 14);
                let result = preprocess(&picture, process_res, method, 14);
                assert_eq!(result.as_ref().map(FrameSize::of), size.as_ref().copied());
            }
        }
    }
}

#[test]
fn errors_name_the_sizes() {
    use ProcessResMethod::{LowerBoundCrop, LowerBoundResize, UpperBoundResize};
    let size = |width, height, process_res, method| {
        processed_size(FrameSize::new(width, height), process_res, method, 14)
    };
    let error = size(5000, 50, 504, UpperBoundResize).unwrap_err();
    assert!(matches!(error, PreprocessError::TooSmall { .. }));
    let message = error.to_string();
    for part in ["5000x50", "504x5", "504", "14"] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }

    let error = size(65535, 1, 504, LowerBoundCrop).unwrap_err();
    assert!(matches!(error, PreprocessError::TooLarge { .. }));
    let huge = size(u32::MAX, 1, u32::MAX, LowerBoundResize);
    assert!(matches!(huge, Err(PreprocessError::TooLarge { .. })));
    assert!(size(0, 0, 504, UpperBoundResize).is_err());
    assert!(size(640, 480, 0, UpperBoundResize).is_err());
}

#[test]
fn methods_have_the_names_of_the_protocol() {
    for method in ProcessResMethod::VARIANTS.iter().copied() {
        assert_eq!(method.to_string().parse(), Ok(method));
        let json = serde_json::to_string(&method).unwrap();
        assert_eq!(json, format!("\"{method}\""));
    }
    let error = "fit".parse::<ProcessResMethod>().unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown method \"fit\"; the methods are upper_bound_resize, lower_bound_resize, \
         upper_bound_crop and lower_bound_crop"
    );
}

#[test]
fn mixed_sizes_are_cropped_to_the_smallest() {
    let pictures = [(70, 42), (42, 70), (56, 56)]
        .map(|(width, height)| RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 0])));
    let sizes = pictures.each_ref().map(FrameSize::of);
    let CommonSize { size, fits } = CommonSize::choose(&sizes).unwrap();
    assert_eq!(fits, [true; 3]);
    assert_eq!(size, FrameSize::new(42, 42));
    let corners = pictures.map(|picture| {
        let cropped = center_crop(&picture, size);
        assert_eq!(cropped.dimensions(), (42, 42));
        cropped.get_pixel(0, 0).0
    });
    // Margins of 14 and of 7 pixels.
    assert_eq!(corners, [[14, 0, 0], [0, 14, 0], [7, 7, 0]]);
}

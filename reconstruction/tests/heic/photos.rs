//! What good files look like, and what is said of those that are cut or not supported.

use image::RgbImage;
use pointstream_reconstruction::image::{
    DecodeError, DecodeLimits, DecodingNeed, Photo, decode, detect,
};
use pointstream_reconstruction::image::{Detected, Format};

use crate::{file, position};

/// The files that have an expected picture.
const NAMES: [&str; 11] = [
    "alpha",
    "grey",
    "grid",
    "grid-turned",
    "numbers-p3",
    "orientation-5",
    "orientation-6",
    "plain",
    "profile-p3",
    "ten-bits",
    "unnamed-colours",
];

fn decoded(bytes: &[u8]) -> Result<Photo, DecodeError> {
    decode(bytes, &DecodeLimits::default())
}

fn photo(name: &str) -> Photo {
    decoded(&file(&format!("{name}.heic"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn expected(name: &str) -> RgbImage {
    let bytes = file(&format!("{name}.heic.expected.png"));
    image::load_from_memory(&bytes).unwrap().into_rgb8()
}

/// How far samples are from each other on average.
fn difference(one: &RgbImage, other: &RgbImage) -> f64 {
    assert_eq!(one.dimensions(), other.dimensions());
    let differences = one.iter().zip(other.iter());
    let sum: u64 = differences.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / one.len() as f64
}

#[test]
fn every_file_shows_what_was_coded() {
    for name in NAMES {
        let difference = difference(&photo(name).image, &expected(name));
        println!("{name}: {difference}");
        assert!(difference < 1.0, "{name}: differs by {difference}");
    }
}

#[test]
fn only_the_container_turns_a_picture() {
    let mut turned = file("orientation-6.heic");
    let rotation = position(&turned, b"irot") + 4;
    assert_eq!(turned[rotation], 3);
    turned[rotation] = 0;
    let photo = decoded(&turned).unwrap();
    assert!(difference(&photo.image, &expected("plain")) < 1.0);
}

#[test]
fn tags_of_the_camera_are_read() {
    let tags = photo("orientation-6").camera;
    assert_eq!(tags.make.as_deref(), Some("Maker"));
    assert_eq!(tags.model.as_deref(), Some("M1"));
    assert_eq!(tags.focal_length, Some(4.2));
    assert_eq!(tags.focal_length_35mm, Some(26.0));
    assert_eq!(photo("plain").camera, Default::default());
}

#[test]
fn colours_are_converted_by_profile_and_by_numbers() {
    let plain = photo("plain").image;
    for name in ["profile-p3", "numbers-p3"] {
        assert!(difference(&photo(name).image, &plain) > 2.0, "{name}");
    }
    assert!(difference(&photo("unnamed-colours").image, &plain) < 0.1);
}

#[test]
fn transparent_pixels_are_hidden() {
    let photo = photo("alpha");
    let hidden = photo.hidden.unwrap();
    let size = hidden.size();
    assert_eq!((size.width, size.height), photo.image.dimensions());
    // The upper half is transparent.
    for (at, hidden) in hidden.iter().enumerate() {
        let row = at as u32 / size.width;
        assert!(hidden == (row < 18) || row.abs_diff(18) < 2, "row {row}");
    }
}

#[test]
fn a_truncated_file_is_an_error_wherever_it_ends() {
    for name in NAMES {
        let bytes = file(&format!("{name}.heic"));
        for length in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
            let error = decoded(&bytes[..length]).unwrap_err();
            assert!(
                length <= bytes.len() / 2 || matches!(error, DecodeError::Truncated(Format::Heic)),
                "{name}: {length} of {} bytes: {error}",
                bytes.len()
            );
        }
    }
}

#[test]
fn the_limit_of_pixels_is_that_of_the_photo() {
    for (name, pixels) in [("plain", 53 * 37), ("alpha", 53 * 37), ("grid", 150 * 101)] {
        let bytes = file(&format!("{name}.heic"));
        let limits = |max_pixels| DecodeLimits {
            max_pixels,
            ..DecodeLimits::default()
        };
        assert!(decode(&bytes, &limits(pixels)).is_ok(), "{name}");
        assert!(DecodingNeed::of(&bytes, &limits(pixels)).is_ok(), "{name}");
        for error in [
            decode(&bytes, &limits(pixels - 1)).unwrap_err(),
            DecodingNeed::of(&bytes, &limits(pixels - 1)).unwrap_err(),
        ] {
            let is_limit = matches!(error, DecodeError::TooManyPixels { .. });
            assert!(is_limit, "{name}: {error}");
        }
    }
}

#[test]
fn what_is_not_supported_is_named_with_what_to_do() {
    for name in ["full-chroma.heic", "half-chroma.heic"] {
        let error = decoded(&file(name)).unwrap_err();
        assert!(matches!(error, DecodeError::HeicFeature(_)), "{error}");
        let message = error.to_string();
        assert!(message.contains("4:2:0") && message.contains("export it as JPEG"));
    }
    let sequence = b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc\0\0\0\x08moov";
    let message = decoded(sequence).unwrap_err().to_string();
    assert!(message.contains("sequence") && message.contains("export it as JPEG"));
    let mut avif = file("plain.heic");
    avif[20..24].copy_from_slice(b"avif");
    assert_eq!(detect(&avif), Detected::Unsupported("AVIF"));
    assert!(matches!(
        decoded(&avif),
        Err(DecodeError::UnsupportedFormat("AVIF"))
    ));
    let mut other = file("plain.heic");
    let item = position(&other, b"hvc1");
    other[item..item + 4].copy_from_slice(b"av01");
    let message = decoded(&other).unwrap_err().to_string();
    assert!(message.contains("not coded with HEVC"), "{message}");
}

//! Compares decoded images with those of Pillow (`golden/make.py`), and decodes bad files.

use std::path::{Path, PathBuf};

use image::RgbImage;
use pointstream_reconstruction::image::{DecodeError, DecodeLimits, DecodingNeed, Format, decode};

fn decoded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/decoded")
}

fn file(name: &str) -> Vec<u8> {
    let path = decoded().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn decode_default(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    decode(bytes, &DecodeLimits::default()).map(|photo| photo.image)
}

/// All files that have an expected result, by name.
fn names() -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(decoded())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".expected.png").map(str::to_owned))
        .collect();
    names.sort();
    names
}

#[test]
fn every_kind_of_file_gives_the_expected_pixels() {
    let names = names();
    assert_eq!(names.len(), 43);
    for name in names {
        let picture = decode_default(&file(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let expected = image::load_from_memory(&file(&format!("{name}.expected.png")))
            .unwrap()
            .into_rgb8();
        assert_eq!(picture.dimensions(), expected.dimensions(), "{name}");
        let sum: u64 = picture
            .iter()
            .zip(expected.iter())
            .map(|(a, b)| u64::from(a.abs_diff(*b)))
            .sum();
        let mean = sum as f64 / picture.len() as f64;
        // Decoders of lossy formats may round differently, and so may conversions of colours.
        let lossy = name.ends_with(".jpg") || name.starts_with("lossy");
        let lossy = lossy || (name.starts_with("profile") && name != "profile-srgb.png");
        let tolerance = if lossy { 1.0 } else { 0.0 };
        assert!(mean <= tolerance, "{name}: differs by {mean} on average");
    }
}

/// The bytes of a file that hold its pixels.
fn needed(name: &str, bytes: &[u8]) -> usize {
    let behind = match name {
        "progressive.jpg" | "no-end.jpg" => 0,
        "half-an-end.jpg" => 1,
        "other-data-behind.jpg" => 7 * 20,
        "orientation-6-behind.png" => bytes.len() + 4 - position(bytes, b"eXIf"),
        // The marker of the end.
        name if name.ends_with(".jpg") => 2,
        // The last chunk.
        name if name.ends_with(".png") => 12,
        _ => 0,
    };
    bytes.len() - behind
}

#[test]
fn a_truncated_file_is_an_error_wherever_it_ends() {
    for name in names() {
        let bytes = file(&name);
        let needed = needed(&name, &bytes);
        for length in (0..needed).step_by(7).chain([needed - 1]) {
            let result = decode_default(&bytes[..length]);
            assert!(result.is_err(), "{name}: {length} of {} bytes", bytes.len());
            if length > needed / 2 {
                let error = result.unwrap_err();
                assert!(
                    matches!(error, DecodeError::Truncated(_)),
                    "{name}: {length} of {} bytes: {error}",
                    bytes.len()
                );
            }
        }
    }
}

#[test]
fn damaged_files_never_panic() {
    for name in names() {
        let bytes = file(&name);
        // A linear congruential generator: the bytes must be reproducible.
        let mut state = 1_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        for _ in 0..60 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + random(4) {
                damaged[random(bytes.len())] = random(256) as u8;
            }
            let _ = decode_default(&damaged);
        }
    }
}

#[test]
fn limits_are_named_in_the_error() {
    let bytes = file("baseline.jpg");
    let few_bytes = DecodeLimits {
        max_bytes: 100,
        ..DecodeLimits::default()
    };
    let error = decode(&bytes, &few_bytes).unwrap_err();
    assert!(matches!(
        error,
        DecodeError::TooManyBytes { limit: 100, .. }
    ));
    assert!(error.to_string().contains("100"));

    let exactly = DecodeLimits {
        max_pixels: 53 * 37,
        ..DecodeLimits::default()
    };
    let one_less = DecodeLimits {
        max_pixels: 53 * 37 - 1,
        ..exactly
    };
    for name in [
        "baseline.jpg",
        "progressive.jpg",
        "rgb.png",
        "lossy.webp",
        "lossless.webp",
    ] {
        assert!(decode(&file(name), &exactly).is_ok(), "{name}");
        let error = decode(&file(name), &one_less).unwrap_err();
        assert!(
            matches!(error, DecodeError::TooManyPixels { .. }),
            "{name}: {error}"
        );
        let message = error.to_string();
        for part in ["53x37", "1961", "1960"] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    }
}

/// A header with a huge size is refused before the pixels are read.
#[test]
fn decompression_bombs_are_refused_by_their_header() {
    let mut png = file("rgb.png");
    png[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let mut crc = crc32(&png[12..29]).to_be_bytes();
    png[29..33].swap_with_slice(&mut crc);

    let mut jpeg = file("baseline.jpg");
    let frame = position(&jpeg, &[0xff, 0xc0]);
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);

    let mut webp = file("lossy.webp");
    let start_code = position(&webp, &[0x9d, 0x01, 0x2a]);
    webp[start_code + 3..start_code + 7].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);

    for (name, bytes) in [("PNG", png), ("JPEG", jpeg), ("WebP", webp)] {
        let error = decode_default(&bytes).unwrap_err();
        assert!(
            matches!(error, DecodeError::TooManyPixels { .. }),
            "{name}: {error}"
        );
    }
}

/// A chunk of a WebP file.
fn chunk(name: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend((payload.len() as u32).to_le_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

/// A WebP file of these chunks, whose picture has so many pixels along each side.
fn webp(side: u32, animated: bool, chunks: &[u8]) -> Vec<u8> {
    let mut header = vec![if animated { 0x12 } else { 0x10 }, 0, 0, 0];
    header.extend([&(side - 1).to_le_bytes()[..3]; 2].concat());
    let contents = [b"WEBP".to_vec(), chunk(b"VP8X", &header), chunks.to_vec()].concat();
    chunk(b"RIFF", &contents)
}

/// Values that take no bits, for a picture of any size: a file that counts them one by one keeps its thread
/// for hours.
#[test]
fn a_small_file_is_answered_soon_whatever_it_announces() {
    let limits = DecodeLimits::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/images");
    let found = std::fs::read(folder.join("references-without-bits.webp")).unwrap();
    let alpha = found[30..].to_vec();
    assert_eq!(&alpha[..4], b"ALPH");
    assert!(decode_default(&found).is_err());

    let huge = webp(1 << 24, false, &alpha);
    let refusals = [
        DecodingNeed::of(&huge, &limits).unwrap_err(),
        decode_default(&huge).unwrap_err(),
    ];
    for refusal in refusals {
        assert!(
            matches!(refusal, DecodeError::TooManyPixels { .. }),
            "{refusal}"
        );
    }

    // Place and size of a frame, its duration, and how it is drawn.
    let frame = |side: u32| {
        let mut frame = vec![0; 6];
        frame.extend([&(side - 1).to_le_bytes()[..3]; 2].concat());
        frame.extend([0; 4]);
        frame.extend(&alpha);
        chunk(b"ANMF", &frame)
    };
    assert!(DecodingNeed::of(&webp(8, true, &frame(8)), &limits).is_ok());
    let outside = webp(8, true, &frame(1 << 24));
    let refusal = DecodingNeed::of(&outside, &limits).unwrap_err();
    assert!(matches!(refusal, DecodeError::Header(_)), "{refusal}");
    assert!(decode_default(&outside).is_err());

    // A lossless picture of 16384 pixels along each side, again and again.
    let mut stream = vec![0x2f, 0xff, 0xff, 0xff, 0x0f];
    stream.extend(&alpha[9..]);
    let many = chunk(b"VP8L", &stream).repeat(100_000);
    let many = webp(8, false, &many);
    assert!(DecodingNeed::of(&many, &limits).is_ok());
    assert!(decode_default(&many).is_err());
}

fn position(bytes: &[u8], pattern: &[u8]) -> usize {
    bytes
        .windows(pattern.len())
        .position(|window| window == pattern)
        .unwrap()
}

/// The checksum of a PNG chunk (polynomial 0xedb88320, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn errors_name_unsupported_formats() {
    assert!(matches!(decode_default(b""), Err(DecodeError::Empty)));
    assert!(matches!(
        decode_default(b"not an image at all"),
        Err(DecodeError::UnknownFormat)
    ));
    for (name, format) in [("photo.gif", "GIF"), ("photo.bmp", "BMP")] {
        let error = decode_default(&file(name)).unwrap_err();
        assert!(matches!(error, DecodeError::UnsupportedFormat(found) if found == format));
        assert!(error.to_string().contains("JPEG, PNG, WebP or HEIC"));
    }
    let mut arithmetic = file("baseline.jpg");
    let frame = position(&arithmetic, b"\xff\xc0\x00\x11");
    arithmetic[frame + 1] = 0xc9;
    let error = decode_default(&arithmetic).unwrap_err();
    assert!(error.to_string().contains("arithmetic coding"), "{error}");
    let zeros = [file("rgb.png")[..33].to_vec(), vec![0; 4000]].concat();
    let error = decode_default(&zeros).unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::Damaged {
                format: Format::Png,
                ..
            } | DecodeError::Truncated(_)
        ),
        "{error}"
    );
}

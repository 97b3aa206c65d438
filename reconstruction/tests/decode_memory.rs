//! The memory that decoding takes is at most what the header announces.

mod measured;

use std::path::{Path, PathBuf};

use measured::{measured, turn};
use pointstream_reconstruction::image::{
    DecodeError, DecodeLimits, DecodingNeed, Format, ProcessResMethod, decode, preprocess,
    preprocess_hidden, processed_size,
};

fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(folder)
}

fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(golden(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let pictures = paths.filter(|path| !path.to_string_lossy().contains(".expected"));
    pictures
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap())
        })
        .collect()
}

#[test]
fn the_header_bounds_what_decoding_takes() {
    let _turn = turn();
    let limits = DecodeLimits::default();
    let files = [files("large"), files("heic-large")].concat();
    assert_eq!(files.len(), 13 + 6);
    for (name, bytes) in files {
        let need = DecodingNeed::of(&bytes, &limits).unwrap();
        let sides = need.size.width.max(need.size.height);
        assert_eq!((sides, need.size.pixels()), (1600, 1600 * 1200), "{name}");
        let (photo, most) = measured(|| decode(&bytes, &limits).unwrap());
        println!("{name}: {most} of {}", need.bytes);
        assert!(most <= need.bytes, "{name}: {most} of {}", need.bytes);
        // An ordinary photo is often turned, which the header does not tell.
        let tables = if name.ends_with(".png") || name == "profile.heic" {
            6 << 20
        } else {
            2 << 20
        };
        assert!(
            need.bytes < 5 * most / 2 + tables,
            "{name}: {most} of {}",
            need.bytes
        );
        for (process_res, method) in [
            (504, ProcessResMethod::UpperBoundResize),
            (1008, ProcessResMethod::LowerBoundCrop),
            (2002, ProcessResMethod::LowerBoundResize),
        ] {
            let size = processed_size(need.size, process_res, method, 14).unwrap();
            let most_stated = need.with_preprocessing(size);
            let (_, most) = measured(|| {
                let photo = decode(&bytes, &limits).unwrap();
                let image = preprocess(&photo.image, process_res, method, 14).unwrap();
                let hidden = photo.hidden.as_ref();
                let hidden =
                    hidden.map(|it| preprocess_hidden(it, process_res, method, 14).unwrap());
                (image, hidden)
            });
            assert!(
                most <= most_stated,
                "{name} {process_res}: {most} of {most_stated}"
            );
            assert!(
                most_stated < need.bytes + 3 * most,
                "{name} {process_res}: {most} of {most_stated}"
            );
        }
        drop(photo);
    }
}

#[test]
fn small_files_of_every_kind_stay_within_their_need() {
    let _turn = turn();
    let limits = DecodeLimits::default();
    let mut decoded = 0;
    for (name, bytes) in [files("decoded"), files("heic")].concat() {
        let Ok(need) = DecodingNeed::of(&bytes, &limits) else {
            continue;
        };
        decoded += 1;
        let (_, most) = measured(|| decode(&bytes, &limits).unwrap());
        assert!(most <= need.bytes, "{name}: {most} of {}", need.bytes);
    }
    assert_eq!(decoded, 43 + 11);
}

/// A JPEG file with these application segments behind its start.
fn with_segments(file: &[u8], segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = file[..2].to_vec();
    for (marker, content) in segments {
        bytes.extend([0xff, *marker]);
        bytes.extend((content.len() as u16 + 2).to_be_bytes());
        bytes.extend(content);
    }
    bytes.extend(&file[2..]);
    bytes
}

/// A colour profile in parts of so many bytes.
fn profile_segments(profile: &[u8], part: usize) -> Vec<(u8, Vec<u8>)> {
    let count = profile.len().div_ceil(part) as u8;
    let parts = profile.chunks(part).zip(1_u8..);
    parts
        .map(|(part, number)| {
            (
                0xe2,
                [&b"ICC_PROFILE\0"[..], &[number, count], part].concat(),
            )
        })
        .collect()
}

#[test]
fn metadata_stay_within_the_need_and_change_no_pixel() {
    let _turn = turn();
    let limits = DecodeLimits::default();
    let plain = std::fs::read(golden("decoded").join("baseline.jpg")).unwrap();
    let without = decode(&plain, &limits).unwrap();
    let with_p3 = std::fs::read(golden("decoded").join("profile-p3.jpg")).unwrap();
    // The profile is in one segment, behind its name, number and count.
    let name = with_p3.windows(11).position(|part| part == b"ICC_PROFILE");
    let from = name.unwrap();
    let length = usize::from(u16::from_be_bytes([with_p3[from - 2], with_p3[from - 1]]));
    let p3 = with_p3[from + 14..from - 2 + length].to_vec();
    let converted = decode(&with_segments(&plain, &profile_segments(&p3, 100)), &limits).unwrap();
    assert_ne!(converted.image, without.image);

    let profile = |bytes: usize| {
        let mut profile = p3.clone();
        profile.resize(bytes, 0);
        profile[..4].copy_from_slice(&(bytes as u32).to_be_bytes());
        profile
    };
    let description = |offset: usize| {
        let mut part = b"http://ns.adobe.com/xmp/extension/\0".to_vec();
        part.extend([b'0'; 32]);
        part.extend((1_u32 << 20).to_be_bytes());
        part.extend((offset as u32).to_be_bytes());
        part.push(b' ');
        (0xe1, part)
    };
    let exposure = (0xe2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0".to_vec());
    let tiny = (0xe2, b"ICC_PROFILE\0\x01\x01.".to_vec());
    let all = [
        (
            "large profile",
            profile_segments(&profile(500_000), 60_000),
            true,
        ),
        ("small parts", profile_segments(&profile(50_000), 200), true),
        (
            "huge profile",
            profile_segments(&profile(16_000_000), 65_000),
            false,
        ),
        ("many parts", vec![tiny; 500_000], false),
        // None begins the description: the decoder would look through all of them again and again.
        (
            "description",
            (1..200_000).map(description).collect(),
            false,
        ),
        ("exposures", vec![exposure; 300_000], false),
    ];
    for (name, segments, is_used) in all {
        let whole = with_segments(&plain, &segments);
        let cut = whole[..whole.len() - 2].to_vec();
        for (kind, file) in [("", whole), (" without end", cut)] {
            let need = DecodingNeed::of(&file, &limits).unwrap().bytes;
            let (photo, most) = measured(|| decode(&file, &limits).unwrap());
            println!("{name}{kind}: {most} of {need} for {} bytes", file.len());
            assert!(most <= need, "{name}{kind}: {most} of {need}");
            let expected = if is_used { &converted } else { &without };
            assert!(photo.image == expected.image, "{name}{kind}");
        }
    }
}

#[test]
fn limits_and_damage_show_before_anything_is_decoded() {
    let bytes = std::fs::read(golden("large").join("baseline.jpg")).unwrap();
    let limits = DecodeLimits {
        max_pixels: 1600 * 1200 - 1,
        ..DecodeLimits::default()
    };
    let refused = DecodingNeed::of(&bytes, &limits).unwrap_err();
    assert!(
        matches!(refused, DecodeError::TooManyPixels { .. }),
        "{refused}"
    );
    let limits = DecodeLimits::default();
    let cut = DecodingNeed::of(&bytes[..20], &limits).unwrap_err();
    assert!(matches!(cut, DecodeError::Header(Format::Jpeg)), "{cut}");
    assert!(DecodingNeed::of(&[], &limits).is_err());
    assert!(DecodingNeed::of(b"GIF89a", &limits).is_err());
}

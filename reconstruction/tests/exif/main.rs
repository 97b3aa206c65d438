//! What EXIF says about a photo's camera, read from whole files.

mod tiff;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ImageEncoder, RgbImage};
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::{CameraTags, DecodeLimits, Photo, decode};
use pointstream_reconstruction::model::CameraHint;
use tiff::{ByteOrder, Tag, Value, exif};

const SIZE: FrameSize = FrameSize::new(40, 30);
const ORDERS: [ByteOrder; 2] = [ByteOrder::Big, ByteOrder::Little];

const MAIN: [Tag; 3] = [
    (0x010f, Value::Text("Maker")),
    (0x0110, Value::Text("M1")),
    // A quarter turn.
    (0x0112, Value::Short(6)),
];

const CAMERA: [Tag; 9] = [
    (0x9003, Value::Text("2024:05:06 07:08:09")),
    (0x920a, Value::Rational(42, 10)),
    (0xa002, Value::Long(4032)),
    (0xa003, Value::Short(3024)),
    (0xa20e, Value::Rational(7200, 1)),
    // Centimetres.
    (0xa210, Value::Short(3)),
    (0xa404, Value::Rational(3, 2)),
    (0xa405, Value::Short(26)),
    (0xa434, Value::Text("Back lens 4.2 mm f/1.6")),
];

fn expected() -> CameraTags {
    CameraTags {
        make: Some("Maker".to_owned()),
        model: Some("M1".to_owned()),
        lens: Some("Back lens 4.2 mm f/1.6".to_owned()),
        focal_length: Some(4.2),
        focal_length_35mm: Some(26.0),
        focal_plane_resolution: Some(720.0),
        digital_zoom: Some(1.5),
        size: Some(FrameSize::new(4032, 3024)),
    }
}

/// The same picture as JPEG, PNG and WebP with this EXIF data.
fn files(exif: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    let (mut jpeg, mut png, mut webp) = (Vec::new(), Vec::new(), Vec::new());
    write(JpegEncoder::new(&mut jpeg), exif);
    write(PngEncoder::new(&mut png), exif);
    write(WebPEncoder::new_lossless(&mut webp), exif);
    [("JPEG", jpeg), ("PNG", png), ("WebP", webp)]
}

fn write(mut encoder: impl ImageEncoder, exif: &[u8]) {
    let image = RgbImage::from_pixel(SIZE.width, SIZE.height, image::Rgb([50, 100, 150]));
    encoder.set_exif_metadata(exif.to_vec()).unwrap();
    let color = image::ExtendedColorType::Rgb8;
    encoder
        .write_image(&image, SIZE.width, SIZE.height, color)
        .unwrap();
}

fn read(file: &[u8]) -> Photo {
    decode(file, &DecodeLimits::default()).expect("metadata never fail an image")
}

#[test]
fn every_format_and_byte_order_is_read() {
    for order in ORDERS {
        for (format, file) in files(&exif(order, &MAIN, &CAMERA)) {
            let photo = read(&file);
            assert_eq!(photo.camera, expected(), "{format}, {order:?}");
            assert_eq!(photo.image.dimensions(), (30, 40), "{format}: it is turned");
        }
    }
    for (format, file) in files(b"") {
        assert_eq!(read(&file).camera, CameraTags::default(), "{format}");
    }
}

#[test]
fn photos_of_one_camera_have_one_hint_however_they_were_held() {
    let hint = |orientation| {
        let main = [MAIN[0], MAIN[1], (0x0112, Value::Short(orientation))];
        let photo = read(&files(&exif(ByteOrder::Little, &main, &CAMERA))[0].1);
        CameraHint::of_photo(&photo.camera, FrameSize::of(&photo.image))
    };
    let level = hint(1);
    assert_eq!(hint(6), level);
    assert_eq!(hint(3), level);
    // 720 pixels per millimetre of 4.2 mm, 1.5 times enlarged, in a photo made 100.8 times smaller.
    let focal = level.focal_length.unwrap();
    assert!((focal.pixels - 720.0 * 4.2 * 1.5 / 100.8).abs() < 1e-9);
    assert_eq!(focal.deviation, 0.03);
}

#[test]
fn values_that_mean_unknown_are_missing() {
    let camera = [
        (0x920a, Value::Rational(0, 10)),
        (0xa002, Value::Short(0)),
        (0xa003, Value::Short(10)),
        (0xa20e, Value::Rational(1, 0)),
        (0xa404, Value::Rational(0, 1)),
        (0xa405, Value::Short(0)),
        (0xa434, Value::Text("   ")),
    ];
    let main = [(0x010f, Value::Short(7)), (0x0110, Value::Text(""))];
    let file = &files(&exif(ByteOrder::Big, &main, &camera))[0].1;
    assert_eq!(read(file).camera, CameraTags::default());
    // Without a unit the resolution is per inch; an unknown unit makes it unknown.
    let resolution = (0xa20e, Value::Rational(2540, 1));
    for (unit, expected) in [
        (None, Some(100.0)),
        (Some(2), Some(100.0)),
        (Some(4), Some(2540.0)),
        (Some(5), Some(2_540_000.0)),
        (Some(1), None),
    ] {
        let unit = unit.map(|unit| (0xa210, Value::Short(unit)));
        let camera: Vec<_> = unit.into_iter().chain([resolution]).collect();
        let file = &files(&exif(ByteOrder::Big, &[], &camera))[0].1;
        assert_eq!(read(file).camera.focal_plane_resolution, expected);
    }
}

#[test]
fn the_header_of_the_jpeg_segment_is_skipped() {
    let data = [b"Exif\0\0", exif(ByteOrder::Big, &MAIN, &CAMERA).as_slice()].concat();
    assert_eq!(CameraTags::read(&data), expected());
}

#[test]
fn long_texts_are_cut() {
    let long = "a very long name of a lens ".repeat(10_000);
    let lens = (0xa434, Value::Text(Box::leak(long.into_boxed_str())));
    let lens = CameraTags::read(&exif(ByteOrder::Little, &[], &[lens]))
        .lens
        .unwrap();
    assert!((60..=64).contains(&lens.len()), "{lens}");
}

#[test]
fn truncated_and_damaged_data_never_fail_an_image() {
    for order in ORDERS {
        let whole = exif(order, &MAIN, &CAMERA);
        for length in 0..whole.len() {
            CameraTags::read(&whole[..length]);
        }
        // A linear congruential generator: the bytes must be reproducible.
        let mut state = 1_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        for round in 0..3000 {
            let mut damaged = whole.clone();
            for _ in 0..1 + random(5) {
                damaged[random(whole.len())] = [0, 0xff, random(256) as u8][random(3)];
            }
            let tags = CameraTags::read(&damaged);
            CameraHint::of_photo(&tags, SIZE);
            if round % 100 == 0 {
                for (_, file) in files(&damaged) {
                    read(&file);
                }
            }
        }
    }
}

/// Every entry points to one directory with as many entries as fit: a reader that follows all
/// pointers reads 4 billion entries, and this test does not end.
#[test]
fn not_every_pointer_is_followed() {
    let mut data = b"II*\0\x08\0\0\0".to_vec();
    data.extend([0xff, 0xff]);
    for _ in 0..0xffff {
        data.extend([0x69, 0x87, 4, 0, 1, 0, 0, 0, 8, 0, 0, 0]);
    }
    assert_eq!(CameraTags::read(&data), CameraTags::default());
    let (_, png) = &files(&data)[1];
    read(png);
}

//! Transparent pixels, from the file to the confidence.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::{
    DecodeLimits, HiddenPixels, Photo, ProcessResMethod, center_crop, decode, preprocess,
    preprocess_hidden,
};
use strum::VariantArray;

const NEUTRAL: Rgb<u8> = Rgb([128; 3]);

/// A picture with holes, whose colours are `secret`.
fn cutout((width, height): (u32, u32), secret: [u8; 3]) -> RgbaImage {
    RgbaImage::from_fn(width, height, |x, y| {
        let in_hole = (x / 9 + y / 7) % 5 == 0 || (x == 1 && y == height - 1);
        let [red, green, blue] = secret;
        match in_hole {
            true => Rgba([red, green, blue, (x % 128) as u8]),
            false => Rgba([
                (5 * x) as u8,
                (3 * y) as u8,
                (x * y) as u8,
                128 + (y % 128) as u8,
            ]),
        }
    })
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn decoded(file: &[u8]) -> Photo {
    decode(file, &DecodeLimits::default()).unwrap()
}

fn mask(hidden: &HiddenPixels) -> GrayImage {
    let FrameSize { width, height } = hidden.size();
    let values = hidden.iter().map(|hidden| if hidden { 255 } else { 0 });
    GrayImage::from_raw(width, height, values.collect()).unwrap()
}

/// A PNG file with an EXIF chunk of this orientation.
fn turned(image: &RgbaImage, orientation: u8) -> Vec<u8> {
    use image::ImageEncoder as _;
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut file = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut file);
    encoder.set_exif_metadata(exif).unwrap();
    let (width, height) = image.dimensions();
    let colour = image::ExtendedColorType::Rgba8;
    encoder
        .write_image(image.as_raw(), width, height, colour)
        .unwrap();
    file
}

#[test]
fn pixels_are_hidden_that_are_less_than_half_opaque() {
    let image = cutout((53, 37), [9, 200, 77]);
    let expected = GrayImage::from_fn(53, 37, |x, y| {
        Luma([if image.get_pixel(x, y)[3] < 128 {
            255
        } else {
            0
        }])
    });
    let deep = DynamicImage::ImageRgba8(image.clone()).into_rgba16();
    let grey = DynamicImage::ImageRgba8(image.clone()).into_luma_alpha8();
    for (image, format) in [
        (DynamicImage::ImageRgba8(image.clone()), ImageFormat::Png),
        (DynamicImage::ImageRgba8(image.clone()), ImageFormat::WebP),
        (DynamicImage::ImageRgba16(deep), ImageFormat::Png),
        (DynamicImage::ImageLumaA8(grey), ImageFormat::Png),
    ] {
        let opaque = decoded(&encoded(&DynamicImage::ImageRgb8(image.to_rgb8()), format));
        assert_eq!(opaque.hidden, None);
        let photo = decoded(&encoded(&image, format));
        assert_eq!(mask(&photo.hidden.unwrap()), expected);
        for ((found, stored), hidden) in photo
            .image
            .pixels()
            .zip(opaque.image.pixels())
            .zip(&*expected)
        {
            assert_eq!(found, if *hidden == 0 { stored } else { &NEUTRAL });
        }
    }
}

#[test]
fn they_are_turned_with_the_image() {
    let image = cutout((53, 37), [9, 200, 77]);
    for number in 1..=8 {
        let photo = decoded(&turned(&image, number));
        let mut expected = DynamicImage::ImageRgba8(image.clone());
        expected.apply_orientation(Orientation::from_exif(number).unwrap());
        let expected = expected.into_rgba8();
        assert_eq!(photo.image.dimensions(), expected.dimensions());
        let mask = mask(&photo.hidden.unwrap());
        for (hidden, expected) in mask.iter().zip(expected.pixels()) {
            assert_eq!(*hidden != 0, expected[3] < 128, "orientation {number}");
        }
    }
}

#[test]
fn their_colours_change_nothing_and_they_are_what_is_not_seen() {
    let sizes = [(53, 37), (140, 98), (141, 300), (70, 70), (600, 400)];
    for size in sizes {
        for method in ProcessResMethod::VARIANTS {
            for process_res in [70, 98, 151] {
                let files = [[255, 0, 255], [0, 255, 0]]
                    .map(|secret| encoded(&cutout(size, secret).into(), ImageFormat::Png));
                let prepared = files.map(|file| {
                    let photo = decoded(&file);
                    let hidden = photo.hidden.as_ref().unwrap();
                    let hidden = preprocess_hidden(hidden, process_res, *method, 14).unwrap();
                    let image = preprocess(&photo.image, process_res, *method, 14).unwrap();
                    (image, hidden.unwrap())
                });
                assert!(
                    prepared[0] == prepared[1],
                    "{size:?} {method} {process_res}"
                );

                // Without the mask the grey is mixed in; where it is not, nothing is hidden.
                let (image, hidden) = &prepared[0];
                assert_eq!(hidden.size(), FrameSize::of(image));
                let photo = decoded(&encoded(&cutout(size, [0; 3]).into(), ImageFormat::Png));
                let mut black = photo.image.clone();
                let holes = photo.hidden.unwrap();
                for (pixel, hidden) in black.pixels_mut().zip(holes.iter()) {
                    if hidden {
                        *pixel = Rgb([0; 3]);
                    }
                }
                let black = preprocess(&black, process_res, *method, 14).unwrap();
                for ((one, other), hidden) in image.pixels().zip(black.pixels()).zip(hidden.iter())
                {
                    assert!(
                        hidden || one == other,
                        "a visible pixel has a part of a hidden one"
                    );
                }
                let share = hidden.iter().filter(|hidden| *hidden).count();
                assert!(share < image.pixels().len(), "something is left");
            }
        }
    }
}

#[test]
fn they_are_cropped_with_the_image() {
    let image = cutout((53, 37), [1, 2, 3]);
    let photo = decoded(&encoded(&image.clone().into(), ImageFormat::Png));
    let hidden = photo.hidden.unwrap();
    for (width, height) in [(53, 37), (20, 37), (53, 11), (21, 12), (99, 20)] {
        let size = FrameSize::new(width, height);
        let part = center_crop(&photo.image, size);
        let found = hidden.center_crop(size).unwrap();
        assert_eq!(found.size(), FrameSize::of(&part));
        for (pixel, hidden) in part.pixels().zip(found.iter()) {
            assert_eq!(hidden, *pixel == NEUTRAL);
        }
    }
    // Only the left edge is hidden.
    let mut edge = RgbaImage::from_pixel(30, 20, Rgba([1, 2, 3, 255]));
    edge.put_pixel(0, 10, Rgba([1, 2, 3, 0]));
    let hidden = decoded(&encoded(&edge.into(), ImageFormat::Png))
        .hidden
        .unwrap();
    assert_eq!(hidden.center_crop(FrameSize::new(28, 20)), None);
}

#[test]
fn they_are_stored_as_bits() {
    for size in [(1, 1), (7, 3), (53, 37), (64, 8)] {
        let mut image = cutout(size, [1, 2, 3]);
        image.put_pixel(0, 0, Rgba([0; 4]));
        let hidden = decoded(&encoded(&image.into(), ImageFormat::Png))
            .hidden
            .unwrap();
        let bits = hidden.to_bits();
        assert_eq!(bits.len() as u64, HiddenPixels::bytes_of_bits(size.into()));
        assert_eq!(HiddenPixels::from_bits(&bits, size.into()), Some(hidden));
        assert_eq!(HiddenPixels::from_bits(&bits[1..], size.into()), None);
        assert_eq!(
            HiddenPixels::from_bits(&vec![0; bits.len()], size.into()),
            None
        );
    }
}

#[test]
fn opaque_images_have_none() {
    let image = RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8, y as u8, 7]));
    let with_alpha = DynamicImage::ImageRgb8(image.clone()).into_rgba8();
    let photo = decoded(&encoded(&with_alpha.into(), ImageFormat::Png));
    assert_eq!((photo.image, photo.hidden), (image, None));
}

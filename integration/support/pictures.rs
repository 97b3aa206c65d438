//! Small images, valid and invalid.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageBuffer, ImageEncoder, ImageFormat, Pixel, PixelWithColorType, Rgb, RgbImage};

/// Width and height of [`photo`] in pixels.
pub const PHOTO_SIZE: (u32, u32) = (56, 42);

/// A small colourful PNG with detail, different for each number.
pub fn photo(number: u32) -> Vec<u8> {
    let (width, height) = PHOTO_SIZE;
    png(&RgbImage::from_fn(width, height, |x, y| {
        // Stripes, which compress well.
        let detail = 20 * (y % 2);
        Rgb([
            (4 * x + detail) as u8,
            (5 * y + detail) as u8,
            (40 * number + 30) as u8,
        ])
    }))
}

/// A PNG that the model `extending` places `level` tenths to the right.
pub fn at(level: u8) -> Vec<u8> {
    colored(level, 60, 40)
}

/// A PNG that `extending` finds only from a frame further to the right.
pub fn green_at(level: u8) -> Vec<u8> {
    colored(level, 200, 40)
}

/// The same as [`at`] for the model `passing`, which sees something before the wall in it.
pub fn passed_at(level: u8) -> Vec<u8> {
    colored(level, 130, 40)
}

/// A PNG that `extending` cannot place.
pub fn blue(level: u8) -> Vec<u8> {
    colored(level, 60, 200)
}

/// A PNG of this colour, with detail in green and blue.
fn colored(red: u8, green: u8, blue: u8) -> Vec<u8> {
    let (width, height) = PHOTO_SIZE;
    png(&colored_image(width, height, [red, green, blue]))
}

/// An image of this colour, with detail in green and blue.
pub fn colored_image(width: u32, height: u32, [red, green, blue]: [u8; 3]) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let detail = (20 * ((x + y) % 2)) as u8;
        Rgb([red, green + detail, blue + detail])
    })
}

/// A PNG of the same colour everywhere.
pub fn plain(colour: [u8; 3]) -> Vec<u8> {
    let (width, height) = PHOTO_SIZE;
    png(&RgbImage::from_pixel(width, height, Rgb(colour)))
}

/// A small dim PNG with detail, different for each number.
pub fn dim(number: u32) -> Vec<u8> {
    let (width, height) = PHOTO_SIZE;
    png(&RgbImage::from_fn(width, height, |x, y| {
        Rgb([(20 + 30 * ((x + y + number) % 2)) as u8; 3])
    }))
}

/// A black PNG.
pub fn black() -> Vec<u8> {
    let (width, height) = PHOTO_SIZE;
    png(&RgbImage::new(width, height))
}

/// A PNG of three vertical stripes: black, colourful and white.
pub fn stripes() -> Vec<u8> {
    let (width, height) = PHOTO_SIZE;
    png(&RgbImage::from_fn(width, height, |x, y| {
        match x * 3 / width {
            0 => Rgb([15, 0, 7]),
            1 => Rgb([100 + x as u8, 30 + y as u8, 200]),
            _ => Rgb([240, 255, 250]),
        }
    }))
}

/// A PNG of this many pixels.
pub fn sized(width: u32, height: u32) -> Vec<u8> {
    png(&RgbImage::from_fn(width, height, |x, y| {
        Rgb([x as u8, y as u8, (x / 7 + y / 5) as u8])
    }))
}

/// A PNG of noise, which cannot be registered with any photo.
pub fn noise(width: u32, height: u32) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        // A linear congruential generator (Numerical Recipes).
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    png(&RgbImage::from_fn(width, height, |_, _| {
        Rgb([next(), next(), next()])
    }))
}

/// A PNG of a few bytes that claims 60000 x 60000 pixels: 10.8 GB if decoded.
pub fn decompression_bomb() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend_from_slice(&60_000_u32.to_be_bytes());
    header.extend_from_slice(&60_000_u32.to_be_bytes());
    // 8 bits, RGB, the standard compression and filter, not interlaced.
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    for (kind, content) in [
        (b"IHDR", header.as_slice()),
        // A zlib stream whose one block is empty.
        (b"IDAT", &[0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]),
        (b"IEND", &[]),
    ] {
        png.extend_from_slice(&(content.len() as u32).to_be_bytes());
        let mut checksum = crc32fast::Hasher::new();
        for part in [kind.as_slice(), content] {
            png.extend_from_slice(part);
            checksum.update(part);
        }
        png.extend_from_slice(&checksum.finalize().to_be_bytes());
    }
    png
}

/// The stored pixels of a file, without its EXIF orientation.
pub fn decoded(bytes: &[u8]) -> RgbImage {
    image::load_from_memory(bytes)
        .expect("a valid test image")
        .to_rgb8()
}

/// A JPEG with this EXIF orientation.
pub fn jpeg(image: &RgbImage, orientation: u8) -> Vec<u8> {
    // A TIFF with one directory with one entry: the orientation, one short.
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0]);
    jpeg_with_exif(image, exif)
}

/// A JPEG with this EXIF data.
pub fn jpeg_with_exif(image: &RgbImage, exif: Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder.set_exif_metadata(exif).expect("JPEG has EXIF");
    encoder.encode_image(image).expect("memory is writable");
    bytes
}

/// A PNG of this image.
pub fn png(image: &RgbImage) -> Vec<u8> {
    encoded(image)
}

/// A PNG of an image of any kind.
pub fn encoded<P>(image: &ImageBuffer<P, Vec<u8>>) -> Vec<u8>
where
    P: Pixel<Subpixel = u8> + PixelWithColorType,
{
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("memory is writable");
    bytes.into_inner()
}

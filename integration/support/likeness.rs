//! Compares images with the sample scene's photos.

use image::RgbImage;
use image::imageops::{self, FilterType};

use super::scene::Scene;

/// Indices of the sample scene's photos that match these images, which have one size.
pub fn photos_like(images: &[RgbImage]) -> Vec<usize> {
    let scene = Scene::load();
    let mut expected: Vec<RgbImage> = Vec::new();
    let closest = |image: &RgbImage| {
        if expected.is_empty() {
            let size = image.dimensions();
            expected.extend((0..scene.names.len()).map(|view| photo(&scene, view, size)));
        }
        let distances = expected.iter().map(|photo| distance(photo, image));
        distances
            .enumerate()
            .min_by_key(|(_, distance)| *distance)
            .map(|(view, _)| view)
            .expect("the scene has photos")
    };
    images.iter().map(closest).collect()
}

/// How sharp an image is, as a share of the sharpness of the same photo.
pub fn sharpness_like(view: usize, image: &RgbImage) -> f64 {
    let photo = photo(&Scene::load(), view, image.dimensions());
    sharpness(image) / sharpness(&photo)
}

/// A photo with another size.
fn photo(scene: &Scene, view: usize, (width, height): (u32, u32)) -> RgbImage {
    let photo = image::load_from_memory(&scene.photo(view)).expect("an image");
    imageops::resize(&photo.to_rgb8(), width, height, FilterType::Triangle)
}

/// Sum of absolute differences over all channels.
fn distance(one: &RgbImage, other: &RgbImage) -> u64 {
    let pairs = one.as_raw().iter().zip(other.as_raw());
    pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
}

/// Mean difference of a pixel and the next one.
fn sharpness(image: &RgbImage) -> f64 {
    let green: Vec<_> = image.pixels().map(|pixel| pixel[1]).collect();
    let rows = green.chunks_exact(image.width() as usize);
    let steps = rows.flat_map(|row| row.windows(2).map(|pair| pair[0].abs_diff(pair[1])));
    steps.map(f64::from).sum::<f64>() / green.len() as f64
}

//! Points of a frame that are remembered to recognise the frame in later results.

use nalgebra::{Point3, Similarity3};

use super::confident::ConfidentPixels;
use crate::image::center_margin;

/// Remembered points of one frame at most.
pub const ANCHORS_PER_FRAME: usize = 512;

/// Which part of its source image a frame's image shows, as fractions of the source's width and
/// height. Any source will do that is the same whenever a session reconstructs the frame: the
/// photo, or the photo resized, before frames of different sizes were cropped to a common one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Region {
    /// The frame was resized at most, not cropped.
    pub const WHOLE: Region = Region {
        left: 0.0,
        top: 0.0,
        width: 1.0,
        height: 1.0,
    };

    /// What [`center_crop`](crate::image::center_crop) keeps of an image; both sizes are (width,
    /// height) in pixels and greater than 0.
    pub fn of_center_crop(image: (u32, u32), cropped: (u32, u32)) -> Region {
        let part = |side: u32, wanted: u32| {
            let kept = wanted.min(side);
            let start = center_margin(side, kept);
            (
                f64::from(start) / f64::from(side),
                f64::from(kept) / f64::from(side),
            )
        };
        let (left, width) = part(image.0, cropped.0);
        let (top, height) = part(image.1, cropped.1);
        Region {
            left,
            top,
            width,
            height,
        }
    }

    /// From a processed image's pixel index (u, v) to a fraction of the source image.
    fn to_source(self, (u, v): (f64, f64), (width, height): (usize, usize)) -> (f64, f64) {
        (
            self.left + (u + 0.5) / width as f64 * self.width,
            self.top + (v + 0.5) / height as f64 * self.height,
        )
    }

    /// Inverse of [`Region::to_source`].
    fn to_pixel(self, (x, y): (f64, f64), (width, height): (usize, usize)) -> (f64, f64) {
        (
            (x - self.left) / self.width * width as f64 - 0.5,
            (y - self.top) / self.height * height as f64 - 0.5,
        )
    }
}

/// A confident pixel of a frame and where it lies in GLB coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anchor {
    /// Fraction of the source image's width and height, so that it holds at any processed size.
    source: [f32; 2],
    position: [f32; 3],
}

impl Anchor {
    /// The position in GLB coordinates.
    pub fn position(&self) -> Point3<f64> {
        Point3::from(self.position.map(f64::from))
    }

    /// Where another result of the same frame sees this anchor, in that result's world. `None` if
    /// the result does not show the pixel or is not confident there.
    pub fn find(
        &self,
        pixels: &ConfidentPixels,
        frame: usize,
        region: Region,
    ) -> Option<Point3<f64>> {
        let prediction = pixels.prediction();
        let size = (prediction.width, prediction.height);
        let source = (f64::from(self.source[0]), f64::from(self.source[1]));
        let (u, v) = region.to_pixel(source, size);
        let (column, row) = (u.round(), v.round());
        let inside = (0.0..size.0 as f64).contains(&column) && (0.0..size.1 as f64).contains(&row);
        if !inside {
            return None;
        }
        let index = row as usize * size.0 + column as usize;
        if !pixels.contains(frame, index) {
            return None;
        }
        let depth = prediction.frame_depth(frame)[index];
        let view = pixels.views()[frame].as_ref()?;
        Some(view.unproject(u, v, f64::from(depth)))
    }
}

/// The most confident pixel of each cell of a grid over the image: the points are spread out, and
/// there are at most [`ANCHORS_PER_FRAME`] of them.
pub fn choose_anchors(
    pixels: &ConfidentPixels,
    frame: usize,
    region: Region,
    to_glb: &Similarity3<f64>,
) -> Vec<Anchor> {
    let Some(view) = &pixels.views()[frame] else {
        return Vec::new();
    };
    let prediction = pixels.prediction();
    let (width, height) = (prediction.width, prediction.height);
    let aspect = width as f64 / height as f64;
    let columns = ((ANCHORS_PER_FRAME as f64 * aspect).sqrt() as usize).clamp(1, ANCHORS_PER_FRAME);
    let rows = ANCHORS_PER_FRAME / columns;

    let confidence = prediction.frame_confidence(frame);
    let mut best: Vec<Option<usize>> = vec![None; columns * rows];
    for index in pixels.of_frame(frame).map(|index| index as usize) {
        let cell = (index / width * rows / height) * columns + index % width * columns / width;
        match best[cell] {
            Some(other) if confidence[other] >= confidence[index] => {}
            _ => best[cell] = Some(index),
        }
    }

    let depth = prediction.frame_depth(frame);
    let anchor = |index: usize| {
        let (u, v) = ((index % width) as f64, (index / width) as f64);
        let position = to_glb * view.unproject(u, v, f64::from(depth[index]));
        let (x, y) = region.to_source((u, v), (width, height));
        Anchor {
            source: [x as f32, y as f32],
            position: position.coords.map(|value| value as f32).into(),
        }
    };
    best.into_iter()
        .flatten()
        .map(anchor)
        .filter(|anchor| anchor.position.iter().all(|value| value.is_finite()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_map_there_and_back() {
        let region = Region {
            left: 0.125,
            top: 0.0,
            width: 0.75,
            height: 1.0,
        };
        let (x, y) = region.to_source((-0.5, 99.5), (300, 100));
        assert!((x - 0.125).abs() < 1e-12 && (y - 1.0).abs() < 1e-12);
        let (u, v) = region.to_pixel((x, y), (150, 50));
        assert!((u + 0.5).abs() < 1e-12 && (v - 49.5).abs() < 1e-12);
    }
}

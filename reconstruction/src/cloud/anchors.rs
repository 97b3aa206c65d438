//! Points of a frame that are kept to align later results with.

use nalgebra::{Point3, Similarity3};
use serde::{Deserialize, Serialize};

use super::confident::ConfidentPixels;
use crate::geometry::Region;

/// Most anchors of one frame.
pub const ANCHORS_PER_FRAME: usize = 512;

/// A confident pixel of a frame and its position in GLB coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Anchor {
    /// Fractions of the source image's width and height, which do not depend on the processed size.
    source: [f32; 2],
    position: [f32; 3],
}

impl Anchor {
    /// The position in GLB coordinates.
    pub fn position(&self) -> Point3<f64> {
        Point3::from(self.position.map(f64::from))
    }

    /// The position of this anchor in another result of the same frame, in that result's world.
    /// `None` if the pixel is outside the frame or not confident there.
    pub fn find(
        &self,
        pixels: &ConfidentPixels,
        frame: usize,
        region: Region,
    ) -> Option<Point3<f64>> {
        let prediction = pixels.prediction();
        let size = prediction.size;
        let source = (f64::from(self.source[0]), f64::from(self.source[1]));
        let (u, v) = region.to_pixel(source, size);
        let (column, row) = (u.round(), v.round());
        let inside = (0.0..f64::from(size.width)).contains(&column)
            && (0.0..f64::from(size.height)).contains(&row);
        if !inside {
            return None;
        }
        let index = row as usize * size.columns() + column as usize;
        if !pixels.contains(frame, index) {
            return None;
        }
        let depth = prediction.frame_depth(frame)[index];
        let view = pixels.views()[frame].as_ref()?;
        Some(view.unproject(u, v, f64::from(depth)))
    }
}

/// The most confident pixel of each cell of a grid over the frame: spread over the frame, and at
/// most [`ANCHORS_PER_FRAME`].
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
    let size = prediction.size;
    let (width, height) = (size.columns(), size.rows());
    let aspect = f64::from(size.width) / f64::from(size.height);
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
        let (x, y) = region.to_source((u, v), size);
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

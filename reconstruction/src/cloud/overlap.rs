//! Cameras and points that a result and the session's world have in common, and the alignment from
//! them.

use nalgebra::{Isometry3, Point3, Similarity3};

use super::align::{
    CameraPair, Correspondence, MIN_CORRESPONDENCES, align_cameras, align_points, evaluate,
};
use super::alignment::{Alignment, AlignmentQuality};
use super::statistics::median;
use super::view::View;

/// Median angle between common cameras above which cameras do not align two results.
const MAX_ROTATION_ERROR_DEGREES: f64 = 15.0;

/// Cameras and points that a result and the world have in common.
#[derive(Default)]
pub struct Overlap {
    cameras: Vec<CameraPair>,
    correspondences: Vec<Correspondence>,
    /// For each correspondence, the ratio of its distances from the camera.
    scales: Vec<f64>,
    /// The similarity that each camera with its points implies.
    hypotheses: Vec<Similarity3<f64>>,
}

impl Overlap {
    /// Adds a common camera and the common points of its frame, as pairs of positions in the
    /// result's world and in GLB coordinates.
    pub fn add(
        &mut self,
        view: &View,
        camera_to_glb: Isometry3<f64>,
        points: impl Iterator<Item = (Point3<f64>, Point3<f64>)>,
    ) {
        let camera = CameraPair {
            from: view.camera_to_world,
            to: camera_to_glb,
        };
        self.cameras.push(camera);
        let centre = Point3::from(camera_to_glb.translation.vector);
        let mut scales = Vec::new();
        for (from, to) in points {
            let distance = (to - centre).norm();
            let scale = distance / (from - view.centre()).norm();
            if distance > 0.0 && scale.is_normal() {
                self.correspondences
                    .push(Correspondence { from, to, distance });
                scales.push(scale);
            }
        }
        self.scales.extend_from_slice(&scales);
        let scale = median(&mut scales);
        self.hypotheses
            .extend(scale.and_then(|scale| camera.similarity(scale)));
    }

    /// Whether there is no common camera.
    pub fn is_empty(&self) -> bool {
        self.cameras.is_empty()
    }

    /// The similarity from the result's world to GLB coordinates: by points if enough of them are
    /// inliers, else by cameras. `None` if neither gives one.
    pub fn align(&self) -> Option<(Similarity3<f64>, Alignment)> {
        if let Some(fit) = align_points(&self.correspondences, &self.hypotheses) {
            let quality = self.quality(&fit.similarity);
            return Some((fit.similarity, Alignment::Points(quality)));
        }
        let mut scales = self.scales.clone();
        let enough = scales.len() >= MIN_CORRESPONDENCES;
        let scale = enough.then(|| median(&mut scales)).flatten();
        let similarity = align_cameras(&self.cameras, scale)?;
        let quality = self.quality(&similarity);
        let consistent = quality.rotation_error_degrees < MAX_ROTATION_ERROR_DEGREES;
        consistent.then_some((similarity, Alignment::Cameras(quality)))
    }

    fn quality(&self, similarity: &Similarity3<f64>) -> AlignmentQuality {
        let fit = evaluate(&self.correspondences, *similarity);
        let turned = similarity.isometry.rotation;
        let mut angles: Vec<f64> = self
            .cameras
            .iter()
            .map(|pair| (turned * pair.from.rotation).angle_to(&pair.to.rotation))
            .collect();
        AlignmentQuality {
            common_frames: self.cameras.len(),
            correspondences: self.correspondences.len(),
            inliers: fit.inliers,
            median_error: fit.median_error,
            rotation_error_degrees: median(&mut angles).unwrap_or(0.0).to_degrees(),
        }
    }
}

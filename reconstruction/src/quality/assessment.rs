//! From a prediction, its images and its points to a verdict.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::geometry::{FrameGeometry, Geometry};
use super::images::{ImageFaults, RequestImage};
use super::reason::QualityReason;
use super::report::{FrameQuality, Quality};
use super::verdict::Verdict;
use crate::cloud::median;
use crate::prediction::{FrameReport, Prediction, ReportedReason};

/// Share of known pixels below which a result is hardly one.
const LEAST_KNOWN_SHARE: f32 = 0.02;
/// Reliability, as the model reports it, below which a frame may be elsewhere.
const LEAST_RELIABILITY: f32 = 0.25;
/// Parallax in degrees below which depth is hardly measured.
const LEAST_PARALLAX: f32 = 0.5;
/// Relative standard deviations above which a number is uncertain.
const MOST_FOCAL_UNCERTAINTY: f32 = 0.1;
const MOST_DEPTH_UNCERTAINTY: f32 = 0.3;

/// What a prediction shows, before its point cloud is built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    geometry: Geometry,
    report: Option<Vec<FrameReport>>,
    pixels_per_frame: usize,
}

/// A frame of one of several predictions.
#[derive(Debug, Clone, Copy)]
pub struct AssessedFrame<'a> {
    pub part: &'a Assessment,
    /// Index of the frame in it.
    pub row: usize,
    /// The piece of frames in one world that the frame is placed in: 0 for the one in the point cloud,
    /// then the largest first.
    pub piece: Option<u32>,
}

impl AssessedFrame<'_> {
    /// Whether it is placed, but not in the point cloud.
    pub(super) fn is_apart(&self) -> bool {
        self.piece.is_some_and(|piece| piece > 0)
    }

    fn report(&self) -> FrameReport {
        let reports = self.part.report.as_ref();
        let report = reports.and_then(|reports| reports.get(self.row).copied());
        let report = report.unwrap_or_default();
        FrameReport {
            reason: match self.is_apart() {
                true => Some(ReportedReason::NotConnected),
                false => report.reason,
            },
            // Each prediction has its own pieces.
            piece: self.piece,
            ..report
        }
    }
}

impl Assessment {
    /// Measures a prediction. Frames whose geometry is impossible become unregistered, all of them
    /// if most are, so that they give no points. Parallel on rayon's pool.
    pub fn begin(prediction: &mut Prediction) -> Self {
        let geometry = Geometry::of(prediction);
        let pixels = prediction.pixels_per_frame();
        for (frame, found) in geometry.frames.iter().enumerate() {
            if found.is_implausible || geometry.is_implausible {
                prediction.unregister(frame);
            }
        }
        Self {
            report: prediction.report.clone(),
            pixels_per_frame: pixels,
            geometry,
        }
    }

    /// What several predictions show about some of their frames, in the order of `frames`; `None` is a
    /// frame that no prediction has.
    pub fn of_parts<'a>(
        frames: impl Iterator<Item = Option<AssessedFrame<'a>>> + Clone,
        pixels_per_frame: usize,
    ) -> Self {
        let mut known = frames.clone().flatten();
        let has_reports = known.any(|frame| frame.part.report.is_some() || frame.is_apart());
        let reports = frames
            .clone()
            .map(|frame| frame.map_or_else(FrameReport::default, |frame| frame.report()));
        let geometry = frames.clone().map(|frame| {
            let drawn = frame.filter(|frame| !frame.is_apart());
            drawn.map(|frame| (&frame.part.geometry, frame.row))
        });
        Self {
            geometry: Geometry::of_parts(geometry),
            report: has_reports.then(|| reports.collect()),
            pixels_per_frame,
        }
    }

    /// The report on the result. `images` are all images that the request covers, `points` is the
    /// number of points of the result.
    pub fn finish(&self, images: &[RequestImage], points: usize) -> Quality {
        let faults = ImageFaults::of(images);
        let frames: Vec<FrameQuality> = images
            .iter()
            .enumerate()
            .map(|(index, image)| self.image(index, image, &faults))
            .collect();
        let used: Vec<&FrameQuality> = frames.iter().filter(|frame| frame.used).collect();
        let of_used = |number: fn(&FrameReport) -> Option<f32>| {
            let used = images.iter().zip(&frames).filter(|(_, frame)| frame.used);
            let numbers = used.filter_map(|(image, _)| number(self.report_of(image.frame?)?));
            middle(numbers)
        };
        let mut quality = Quality {
            verdict: Verdict::Good,
            reasons: Vec::new(),
            advice: Vec::new(),
            pieces: self.pieces(&used),
            known_share: mean(used.iter().filter_map(|frame| frame.known_share)),
            reprojection_error: of_used(|report| report.reprojection_error),
            parallax_degrees: of_used(|report| report.parallax_degrees),
            focal_uncertainty: of_used(|report| report.focal_uncertainty),
            depth_uncertainty: of_used(|report| report.depth_uncertainty),
            frames,
        };
        let uncertain = self.uncertainties(&quality);
        quality.verdict = verdict(&quality, points, !uncertain.is_empty());
        let mut reasons: BTreeSet<_> = uncertain;
        reasons.extend(quality.frames.iter().filter_map(|frame| frame.reason));
        // A copy that is left out, or dark, is a copy nevertheless.
        reasons.extend((faults.different < images.len()).then_some(QualityReason::Duplicates));
        if quality.verdict == Verdict::Failed {
            let has_frames = quality.used() > 0;
            reasons.extend(has_frames.then_some(QualityReason::AllFiltered));
            reasons.extend((faults.different < 2).then_some(QualityReason::TooFewImages));
            let explained = reasons
                .iter()
                .any(|reason| *reason != QualityReason::Duplicates);
            reasons.extend((!explained).then_some(QualityReason::NoConfidentPixels));
        }
        quality.advice = reasons
            .iter()
            .map(|reason| reason.advice().to_owned())
            .collect();
        quality.reasons = reasons.into_iter().collect();
        quality
    }

    /// Number of pixels of a frame whose depth is known.
    pub(crate) fn known_pixels(&self, frame: usize) -> usize {
        let frame = self.geometry.frames.get(frame);
        frame.map_or(0, |frame| frame.known)
    }

    fn report_of(&self, frame: usize) -> Option<&FrameReport> {
        self.report.as_ref()?.get(frame)
    }

    /// What one image contributes.
    fn image(&self, index: usize, image: &RequestImage, faults: &ImageFaults) -> FrameQuality {
        let measured = image
            .frame
            .and_then(|frame| Some((frame, self.geometry.frames.get(frame)?)));
        let Some((frame, geometry)) = measured else {
            return FrameQuality {
                name: image.name.to_owned(),
                used: false,
                reason: Some(QualityReason::OddShape),
                piece: None,
                known_share: None,
                observations: None,
                reprojection_error: None,
                parallax_degrees: None,
            };
        };
        let report = self.report_of(frame);
        let used = geometry.is_usable() && !self.geometry.is_implausible;
        let known = if used { geometry.known } else { 0 };
        FrameQuality {
            name: image.name.to_owned(),
            used,
            reason: if used {
                doubt(report, index, faults)
            } else {
                Some(self.cause(geometry, report, index, faults))
            },
            piece: match report {
                Some(report) => report.piece,
                // All registered frames share one world.
                None => used.then_some(0),
            },
            known_share: Some(known as f32 / self.pixels_per_frame.max(1) as f32),
            observations: report
                .and_then(|report| report.observations)
                .map(|observations| observations.round() as u64),
            reprojection_error: report.and_then(|report| report.reprojection_error),
            parallax_degrees: report.and_then(|report| report.parallax_degrees),
        }
    }

    /// Why a frame is left out.
    fn cause(
        &self,
        geometry: &FrameGeometry,
        report: Option<&FrameReport>,
        index: usize,
        faults: &ImageFaults,
    ) -> QualityReason {
        let reported = report.and_then(|report| report.reason).map(Into::into);
        if geometry.is_implausible || (self.geometry.is_implausible && geometry.is_usable()) {
            return reported.unwrap_or(QualityReason::ImplausibleGeometry);
        }
        let lost = matches!(
            reported,
            None | Some(QualityReason::TooFewMatches | QualityReason::NotConnected)
        );
        // The model cannot know why it found nothing.
        if let Some(exposure) = faults.exposure[index]
            && lost
        {
            return exposure;
        }
        reported.unwrap_or(if faults.different < 2 {
            QualityReason::TooFewImages
        } else if geometry.is_registered {
            QualityReason::NoConfidentPixels
        } else {
            QualityReason::NotConnected
        })
    }

    /// Number of connected pieces of frames.
    fn pieces(&self, used: &[&FrameQuality]) -> usize {
        match &self.report {
            Some(report) => {
                let pieces: BTreeSet<u32> = report.iter().filter_map(|frame| frame.piece).collect();
                pieces.len()
            }
            None => usize::from(!used.is_empty()),
        }
    }

    /// What is uncertain about the result as a whole.
    fn uncertainties(&self, quality: &Quality) -> BTreeSet<QualityReason> {
        let mut found = BTreeSet::new();
        let used = || quality.frames.iter().filter(|frame| frame.used);
        if self.geometry.is_implausible {
            found.insert(QualityReason::ImplausibleGeometry);
        }
        if used().next().is_none() {
            return found;
        }
        if used().count() > 1 {
            found.extend(self.geometry.baseline);
        }
        let pieces: BTreeSet<u32> = used().filter_map(|frame| frame.piece).collect();
        let above = |number: Option<f32>, most| number.is_some_and(|number| number > most);
        let has_parallax = quality
            .parallax_degrees
            .is_none_or(|parallax| parallax >= LEAST_PARALLAX);
        for (holds, reason) in [
            (pieces.len() > 1, QualityReason::NotConnected),
            (
                !has_parallax || above(quality.depth_uncertainty, MOST_DEPTH_UNCERTAINTY),
                QualityReason::NoParallax,
            ),
            (
                above(quality.focal_uncertainty, MOST_FOCAL_UNCERTAINTY),
                QualityReason::UncertainFocalLength,
            ),
            (
                quality.known_share < LEAST_KNOWN_SHARE,
                QualityReason::NoConfidentPixels,
            ),
        ] {
            found.extend(holds.then_some(reason));
        }
        // Both say the same; the special one has the better advice.
        if found.contains(&QualityReason::RotationOnly) {
            found.remove(&QualityReason::NoParallax);
        }
        found
    }
}

/// What is doubtful about a frame that is used.
fn doubt(
    report: Option<&FrameReport>,
    index: usize,
    faults: &ImageFaults,
) -> Option<QualityReason> {
    let reported = report.and_then(|report| report.reason).map(Into::into);
    let unreliable = report
        .and_then(|report| report.reliability)
        .is_some_and(|reliability| reliability < LEAST_RELIABILITY);
    reported
        .or(faults.exposure[index])
        .or(unreliable.then_some(QualityReason::Ambiguous))
        .or(faults.is_duplicate[index].then_some(QualityReason::Duplicates))
}

fn verdict(quality: &Quality, points: usize, is_uncertain: bool) -> Verdict {
    if points == 0 || quality.used() == 0 {
        return Verdict::Failed;
    }
    // A copy of another image adds nothing, and spoils nothing.
    let is_flawed = |frame: &FrameQuality| {
        !frame.used
            || frame
                .reason
                .is_some_and(|reason| reason != QualityReason::Duplicates)
    };
    if is_uncertain || quality.frames.iter().any(is_flawed) {
        Verdict::Partial
    } else {
        Verdict::Good
    }
}

/// The median, if there is a number.
fn middle(numbers: impl Iterator<Item = f32>) -> Option<f32> {
    let mut numbers: Vec<f64> = numbers.map(f64::from).collect();
    median(&mut numbers).map(|number| number as f32)
}

/// The mean, 0 without numbers.
fn mean(numbers: impl Iterator<Item = f32>) -> f32 {
    let (count, sum) = numbers.fold((0_u32, 0.0_f64), |(count, sum), number| {
        (count + 1, sum + f64::from(number))
    });
    (sum / f64::from(count.max(1))) as f32
}

#[cfg(test)]
mod tests;

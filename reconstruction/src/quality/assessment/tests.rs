use ::image::{Rgb, RgbImage};
use nalgebra::{Isometry3, Matrix3, Vector3};

use super::*;
use crate::geometry::{Distortion, FrameSize};
use crate::image::ImageStatistics;
use crate::prediction::Camera;

const SIZE: FrameSize = FrameSize::new(40, 30);
const PIXELS: usize = 40 * 30;

/// A textured image, different for each number.
fn picture(number: u32) -> RgbImage {
    RgbImage::from_fn(SIZE.width, SIZE.height, |x, y| {
        let mut state = x * 7919 + y * 104_729 + number * 1_299_709 + 1;
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Rgb([(64 + (state >> 25)) as u8; 3])
    })
}

fn images(count: u32) -> Vec<(String, ImageStatistics)> {
    let image = |number| (number, ImageStatistics::of(&picture(number)));
    let images = (0..count).map(image);
    images
        .map(|(number, statistics)| (format!("{number}.jpg"), statistics))
        .collect()
}

fn moved(x: f64) -> Isometry3<f64> {
    Isometry3::translation(-x, 0.0, 0.0)
}

fn turned(degrees: f64) -> Isometry3<f64> {
    Isometry3::rotation(Vector3::new(0.0, degrees.to_radians(), 0.0))
}

/// A prediction of cameras in front of a slope, known throughout.
fn prediction(poses: &[Isometry3<f64>]) -> Prediction {
    let camera = |pose: &Isometry3<f64>| Camera {
        extrinsics: pose.to_homogeneous(),
        distortion: Distortion::default(),
        intrinsics: Matrix3::new(35.0, 0.0, 19.5, 0.0, 35.0, 14.5, 0.0, 0.0, 1.0),
        registered: true,
    };
    let depth = (0..PIXELS).map(|index| 2.0 + index as f32 / PIXELS as f32);
    Prediction {
        size: SIZE,
        cameras: poses.iter().map(camera).collect(),
        depth: poses.iter().flat_map(|_| depth.clone()).collect(),
        confidence: vec![2.0; poses.len() * PIXELS],
        report: None,
        links: None,
    }
}

/// Three cameras on a line.
fn line() -> Prediction {
    prediction(&[moved(0.0), moved(0.2), moved(0.4)])
}

fn unregister(prediction: &mut Prediction, frame: usize) {
    prediction.cameras[frame].registered = false;
    prediction.confidence[frame * PIXELS..(frame + 1) * PIXELS].fill(1.0);
}

/// The quality with as many points as there are known pixels.
fn judge(prediction: &mut Prediction, images: &[(String, ImageStatistics)]) -> Quality {
    let images: Vec<_> = images
        .iter()
        .enumerate()
        .map(|(index, (name, statistics))| RequestImage {
            name,
            statistics: *statistics,
            frame: Some(index),
        })
        .collect();
    let assessment = Assessment::begin(prediction);
    let points = prediction.confidence.iter().filter(|value| **value > 1.0);
    let quality = assessment.finish(&images, points.count());
    assert_eq!(quality.reasons.len(), quality.advice.len());
    assert_eq!(quality.frames.len(), images.len());
    quality
}

fn frame_reasons(quality: &Quality) -> Vec<Option<QualityReason>> {
    quality.frames.iter().map(|frame| frame.reason).collect()
}

fn used(quality: &Quality) -> Vec<bool> {
    quality.frames.iter().map(|frame| frame.used).collect()
}

/// A row of the model's report: all is well.
fn fine() -> FrameReport {
    FrameReport {
        reason: None,
        piece: Some(0),
        observations: Some(200.0),
        reprojection_error: Some(0.4),
        parallax_degrees: Some(5.0),
        focal_uncertainty: Some(0.01),
        depth_uncertainty: Some(0.02),
        reliability: Some(0.9),
    }
}

#[test]
fn a_result_without_faults_is_good() {
    let quality = judge(&mut line(), &images(3));
    assert_eq!(quality.verdict, Verdict::Good);
    assert_eq!(quality.reasons, []);
    assert_eq!(used(&quality), [true; 3]);
    assert_eq!((quality.pieces, quality.used()), (1, 3));
    assert_eq!(quality.known_share, 1.0);
    assert_eq!(quality.parallax_degrees, None);
    assert_eq!(quality.frames[1].name, "1.jpg");
    assert_eq!(quality.frames[1].piece, Some(0));
}

#[test]
fn a_single_photo_with_points_is_good() {
    let quality = judge(&mut prediction(&[moved(0.0)]), &images(1));
    assert_eq!((quality.verdict, quality.reasons), (Verdict::Good, vec![]));
}

#[test]
fn a_single_photo_without_points_needs_others() {
    let mut prediction = prediction(&[moved(0.0)]);
    prediction.confidence.fill(1.0);
    let quality = judge(&mut prediction, &images(1));
    assert_eq!(quality.verdict, Verdict::Failed);
    assert_eq!(quality.reasons, [QualityReason::TooFewImages]);
    assert_eq!((quality.known_share, quality.pieces), (0.0, 0));
    // The same photo three times is no more than one.
    let mut copies = line();
    copies.confidence.fill(1.0);
    let quality = judge(&mut copies, &[images(1), images(1), images(1)].concat());
    assert_eq!(quality.verdict, Verdict::Failed);
    assert_eq!(
        quality.reasons,
        [QualityReason::Duplicates, QualityReason::TooFewImages]
    );
}

#[test]
fn pixels_below_the_threshold_are_not_known() {
    let mut prediction = line();
    prediction.confidence.fill(1.04);
    let quality = judge(&mut prediction, &images(3));
    assert_eq!(used(&quality), [false; 3]);
    assert_eq!(quality.verdict, Verdict::Failed);
    assert_eq!(quality.reasons, [QualityReason::NoConfidentPixels]);
}

#[test]
fn hardly_any_known_pixels_make_a_result_partial() {
    let mut prediction = line();
    prediction.confidence.fill(1.0);
    for frame in 0..3 {
        prediction.confidence[frame * PIXELS..frame * PIXELS + 12].fill(3.0);
    }
    let quality = judge(&mut prediction, &images(3));
    assert_eq!(quality.verdict, Verdict::Partial);
    assert_eq!(quality.reasons, [QualityReason::NoConfidentPixels]);
    assert!((quality.known_share - 0.01).abs() < 1e-6);
}

#[test]
fn a_missing_frame_makes_a_result_partial() {
    let mut prediction = line();
    unregister(&mut prediction, 1);
    let quality = judge(&mut prediction, &images(3));
    assert_eq!(quality.verdict, Verdict::Partial);
    assert_eq!(used(&quality), [true, false, true]);
    assert_eq!(
        frame_reasons(&quality),
        [None, Some(QualityReason::NotConnected), None]
    );
    assert_eq!(quality.known_share, 1.0, "of the used frames");
    assert_eq!(quality.frames[1].known_share, Some(0.0));
}

#[test]
fn the_images_explain_what_the_model_cannot() {
    let mut prediction = line();
    unregister(&mut prediction, 1);
    let mut images = images(3);
    images[1].1 = ImageStatistics::of(&RgbImage::new(SIZE.width, SIZE.height));
    let quality = judge(&mut prediction, &images);
    assert_eq!(quality.frames[1].reason, Some(QualityReason::TooDark));
    // Blurred compared with the others, though it is used.
    images[1].1 = ImageStatistics::of(&::image::imageops::blur(&picture(1), 3.0));
    let quality = judge(&mut line(), &images);
    assert_eq!(quality.frames[1].reason, Some(QualityReason::Blurred));
    assert_eq!(used(&quality), [true; 3]);
    assert_eq!(quality.verdict, Verdict::Partial);
}

#[test]
fn copies_are_named_and_spoil_nothing() {
    let images = [images(3), images(1)].concat();
    let mut prediction = prediction(&[moved(0.0), moved(0.2), moved(0.4), moved(0.0)]);
    let quality = judge(&mut prediction, &images);
    assert_eq!(quality.verdict, Verdict::Good);
    assert_eq!(quality.reasons, [QualityReason::Duplicates]);
    assert_eq!(
        frame_reasons(&quality),
        [None, None, None, Some(QualityReason::Duplicates)]
    );
}

#[test]
fn odd_shapes_are_out_and_the_others_keep_their_frames() {
    let mut prediction = prediction(&[moved(0.0), moved(0.2)]);
    let statistics = images(3);
    let image = |index: usize, frame| RequestImage {
        name: &statistics[index].0,
        statistics: statistics[index].1,
        frame,
    };
    let images = [image(0, Some(0)), image(1, None), image(2, Some(1))];
    let quality = Assessment::begin(&mut prediction).finish(&images, 100);
    assert_eq!(quality.verdict, Verdict::Partial);
    assert_eq!(used(&quality), [true, false, true]);
    assert_eq!(quality.reasons, [QualityReason::OddShape]);
    assert_eq!(quality.frames[1].known_share, None);
}

#[test]
fn filters_that_remove_everything_are_named() {
    let statistics = images(1);
    let image = RequestImage {
        name: "a",
        statistics: statistics[0].1,
        frame: Some(0),
    };
    let quality = Assessment::begin(&mut prediction(&[moved(0.0)])).finish(&[image], 0);
    assert_eq!(quality.verdict, Verdict::Failed);
    assert!(quality.reasons.contains(&QualityReason::AllFiltered));
}

#[test]
fn depth_at_a_limit_is_left_out() {
    let stuck = |prediction: &mut Prediction, frame: usize| {
        let start = frame * PIXELS;
        prediction.depth[start..start + PIXELS * 3 / 5].fill(1e6);
    };
    let mut one = line();
    stuck(&mut one, 2);
    let quality = judge(&mut one, &images(3));
    assert_eq!(quality.verdict, Verdict::Partial);
    assert_eq!(used(&quality), [true, true, false]);
    assert_eq!(quality.reasons, [QualityReason::ImplausibleGeometry]);
    assert!(!one.cameras[2].registered && one.frame_confidence(2).iter().all(|c| *c == 1.0));
    assert!(one.cameras[0].registered && one.frame_confidence(0).iter().all(|c| *c == 2.0));

    let mut most = line();
    stuck(&mut most, 0);
    stuck(&mut most, 2);
    let quality = judge(&mut most, &images(3));
    assert_eq!(quality.verdict, Verdict::Failed);
    assert_eq!(used(&quality), [false; 3]);
    assert_eq!(quality.reasons, [QualityReason::ImplausibleGeometry]);
    assert!(most.cameras.iter().all(|camera| !camera.registered));
    assert!(most.confidence.iter().all(|confidence| *confidence == 1.0));
}

#[test]
fn a_wall_in_half_precision_is_no_limit() {
    let mut prediction = line();
    prediction.depth[100..100 + PIXELS * 3 / 5].fill(2.5);
    let quality = judge(&mut prediction, &images(3));
    assert_eq!(quality.verdict, Verdict::Good);
}

#[test]
fn a_range_of_depth_that_no_camera_sees_is_left_out() {
    let mut prediction = line();
    for (index, depth) in prediction.depth[..PIXELS].iter_mut().enumerate() {
        *depth = 1e-3 * 10_f32.powf(10.0 * index as f32 / PIXELS as f32);
    }
    let quality = judge(&mut prediction, &images(3));
    assert_eq!(used(&quality), [false, true, true]);
}

#[test]
fn cameras_far_beyond_the_scene_are_left_out() {
    let mut one = prediction(&[moved(0.0), moved(0.2), moved(0.4), moved(1e5)]);
    let quality = judge(&mut one, &images(4));
    assert_eq!(used(&quality), [true, true, true, false]);
    assert_eq!(quality.reasons, [QualityReason::ImplausibleGeometry]);
    let mut all = prediction(&[moved(0.0), moved(1e5)]);
    let quality = judge(&mut all, &images(2));
    assert_eq!(quality.verdict, Verdict::Failed);
    assert_eq!(quality.reasons, [QualityReason::ImplausibleGeometry]);
}

#[test]
fn numbers_that_are_not_finite_are_left_out() {
    let mut prediction = line();
    prediction.cameras[1].extrinsics[(0, 3)] = f64::NAN;
    prediction.depth[2 * PIXELS..].fill(f32::INFINITY);
    let quality = judge(&mut prediction, &images(3));
    assert_eq!(used(&quality), [true, false, false]);
    assert_eq!(
        frame_reasons(&quality),
        [
            None,
            Some(QualityReason::ImplausibleGeometry),
            Some(QualityReason::NoConfidentPixels)
        ]
    );
}

#[test]
fn cameras_at_one_place_do_not_measure_depth() {
    for (poses, reason) in [
        ([moved(0.0), moved(0.0)], QualityReason::NoParallax),
        ([turned(0.0), turned(30.0)], QualityReason::RotationOnly),
        ([moved(0.0), moved(1e-5)], QualityReason::DegenerateScale),
    ] {
        let quality = judge(&mut prediction(&poses), &images(2));
        assert_eq!(quality.verdict, Verdict::Partial);
        assert_eq!(quality.reasons, [reason]);
    }
}

#[test]
fn the_models_report_is_passed_on() {
    let mut prediction = line();
    let other = FrameReport {
        reprojection_error: Some(0.8),
        parallax_degrees: None,
        ..fine()
    };
    prediction.report = Some(vec![fine(), other, fine()]);
    let quality = judge(&mut prediction, &images(3));
    assert_eq!((quality.verdict, quality.reasons), (Verdict::Good, vec![]));
    assert_eq!(quality.reprojection_error, Some(0.4));
    assert_eq!(quality.parallax_degrees, Some(5.0));
    assert_eq!(quality.frames[1].reprojection_error, Some(0.8));
    assert_eq!(quality.frames[1].parallax_degrees, None);
    assert_eq!(quality.frames[1].observations, Some(200));
}

#[test]
fn the_models_doubts_make_a_result_partial() {
    let doubts = [
        (
            FrameReport {
                reason: Some(crate::prediction::ReportedReason::MixedCameras),
                ..fine()
            },
            QualityReason::MixedCameras,
        ),
        (
            FrameReport {
                reliability: Some(0.1),
                ..fine()
            },
            QualityReason::Ambiguous,
        ),
        (
            FrameReport {
                piece: Some(1),
                ..fine()
            },
            QualityReason::NotConnected,
        ),
    ];
    for (doubtful, reason) in doubts {
        let mut prediction = line();
        prediction.report = Some(vec![fine(), doubtful, fine()]);
        let quality = judge(&mut prediction, &images(3));
        assert_eq!(quality.verdict, Verdict::Partial, "{reason}");
        assert_eq!(quality.reasons, [reason]);
    }
    let uncertain = [
        (
            FrameReport {
                parallax_degrees: Some(0.1),
                ..fine()
            },
            QualityReason::NoParallax,
        ),
        (
            FrameReport {
                depth_uncertainty: Some(0.8),
                ..fine()
            },
            QualityReason::NoParallax,
        ),
        (
            FrameReport {
                focal_uncertainty: Some(0.4),
                ..fine()
            },
            QualityReason::UncertainFocalLength,
        ),
    ];
    for (row, reason) in uncertain {
        let mut prediction = line();
        prediction.report = Some(vec![row; 3]);
        let quality = judge(&mut prediction, &images(3));
        assert_eq!(quality.verdict, Verdict::Partial, "{reason}");
        assert_eq!(quality.reasons, [reason]);
    }
}

#[test]
fn the_model_says_why_it_left_frames_out() {
    let mut prediction = line();
    unregister(&mut prediction, 2);
    let lost = FrameReport {
        reason: Some(crate::prediction::ReportedReason::RotationOnly),
        piece: Some(1),
        ..fine()
    };
    prediction.report = Some(vec![fine(), fine(), lost]);
    let quality = judge(&mut prediction, &images(3));
    assert_eq!(quality.verdict, Verdict::Partial);
    assert_eq!(quality.reasons, [QualityReason::RotationOnly]);
    assert_eq!((quality.pieces, quality.frames[2].piece), (2, Some(1)));
}

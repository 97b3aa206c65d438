//! Point clouds of a scene with known geometry.

mod common;

use common::{SIZE, pose, predict, predict_distorted, wall};
use nalgebra::{Point3, Similarity3, Vector3};
use pointstream_reconstruction::cloud::{
    Alignment, CloudError, CloudOptions, PointFilters, Scene, axes_flip, build_scene,
};
use pointstream_reconstruction::geometry::{Distortion, FrameSize};

const OPTIONS: CloudOptions = CloudOptions {
    conf_thresh_percentile: 0.0,
    num_max_points: usize::MAX,
    show_cameras: true,
    filters: PointFilters::OFF,
};

fn model_world() -> Similarity3<f64> {
    Similarity3::new(
        Vector3::new(1.0, 2.0, -3.0),
        Vector3::new(0.2, 0.1, -0.4),
        0.31,
    )
}

fn truth(scene: &Scene, point: &[f32; 3]) -> Point3<f64> {
    let world = scene.world_to_glb.inverse() * Point3::from(point.map(f64::from));
    model_world().inverse() * world
}

#[test]
fn every_confident_pixel_is_a_point_on_the_surface_with_its_color() {
    let synthetic = predict(&[0, 1, 2], SIZE, &model_world());
    let (scene, _) =
        build_scene(&synthetic.prediction, &synthetic.frames(), None, &OPTIONS).unwrap();
    assert_eq!(scene.points.len(), 3 * SIZE.columns() * SIZE.rows());
    assert_eq!(scene.colors.len(), scene.points.len());
    assert_eq!(scene.alignment, Alignment::Origin);
    for point in &scene.points {
        let truth = truth(&scene, point);
        assert!((truth.z - wall(truth.x, truth.y)).abs() < 1e-4);
    }
    // Order: frames, then rows, then columns.
    let index = SIZE.columns() * SIZE.rows() + 5 * SIZE.columns() + 40;
    assert_eq!(scene.colors[index], [120, 20, 1]);
    let camera = &synthetic.prediction.cameras[1];
    let world = scene.world_to_glb.inverse() * Point3::from(scene.points[index].map(f64::from));
    let seen = camera.intrinsics * (camera.extrinsics * world.to_homogeneous()).xyz();
    assert!((seen.x / seen.z - 40.0).abs() < 1e-3 && (seen.y / seen.z - 5.0).abs() < 1e-3);
}

#[test]
fn pixels_of_distorted_images_are_points_on_the_surface() {
    let lens = |id| Distortion {
        k1: 0.2 - 0.25 * id as f64,
        k2: 0.03,
    };
    let synthetic = predict_distorted(&[0, 1, 2], SIZE, &model_world(), lens);
    let (scene, _) =
        build_scene(&synthetic.prediction, &synthetic.frames(), None, &OPTIONS).unwrap();
    assert_eq!(scene.points.len(), 3 * SIZE.columns() * SIZE.rows());
    for point in &scene.points {
        let truth = truth(&scene, point);
        assert!((truth.z - wall(truth.x, truth.y)).abs() < 1e-4);
    }
    for (camera, id) in scene.cameras.iter().zip(0..) {
        assert_eq!(camera.distortion, lens(id));
    }
}

#[test]
fn pixels_beyond_the_fold_of_a_lens_are_left_out() {
    let mut synthetic = predict(&[0, 1], SIZE, &model_world());
    // Nothing appears beyond a distorted radius of 0.385.
    synthetic.prediction.cameras[0].distortion.k1 = -1.0;
    let (scene, _) =
        build_scene(&synthetic.prediction, &synthetic.frames(), None, &OPTIONS).unwrap();
    let focal = synthetic.prediction.cameras[0].intrinsics[(0, 0)];
    let radius = |index: u32| {
        let (u, v) = (index % SIZE.width, index / SIZE.width);
        (f64::from(u) - 41.5).hypot(f64::from(v) - 31.0) / focal
    };
    let pixels: Vec<_> = scene
        .pixels
        .iter()
        .filter(|pixel| pixel.frame == 0)
        .collect();
    let expected = (0..SIZE.width * SIZE.height).filter(|&index| radius(index) < 0.3849);
    assert_eq!(pixels.len(), expected.count());
    assert!(pixels.iter().all(|pixel| radius(pixel.index) < 0.3849));
    assert_eq!(scene.points.len(), scene.pixels.len());
}

#[test]
fn glb_is_the_first_cameras_view_centred_on_the_median() {
    let synthetic = predict(&[0, 1], SIZE, &model_world());
    let (scene, _) =
        build_scene(&synthetic.prediction, &synthetic.frames(), None, &OPTIONS).unwrap();
    for axis in 0..3 {
        let mut values: Vec<f32> = scene.points.iter().map(|point| point[axis]).collect();
        values.sort_by(f32::total_cmp);
        assert!(values[values.len() / 2].abs() < 1e-3, "axis {axis}");
    }
    assert_eq!(scene.world_to_glb.scaling(), 1.0);
    // x right, y up, z backward: the first camera's rotation is the flip of axes.
    let first = scene.cameras[0].pose.unwrap();
    assert!(first.rotation.angle_to(&axes_flip()) < 1e-7);
    assert!(
        first.translation.vector.z > 0.0,
        "the scene is in front of the camera"
    );
    // The second camera has its true pose relative to the first.
    let relative = first.inverse() * scene.cameras[1].pose.unwrap();
    let expected = pose(0).inverse() * pose(1);
    assert!(relative.rotation.angle_to(&expected.rotation) < 1e-7);
    let moved = relative.translation.vector / 0.31 - expected.translation.vector;
    assert!(moved.norm() < 1e-7);
}

#[test]
fn unknown_invalid_and_unregistered_pixels_are_left_out() {
    let mut synthetic = predict(&[0, 1, 2], SIZE, &model_world());
    let frame = SIZE.columns() * SIZE.rows();
    let prediction = &mut synthetic.prediction;
    prediction.confidence[..100].fill(1.01);
    prediction.confidence[100..110].fill(f32::NAN);
    prediction.depth[110..120].fill(f32::INFINITY);
    prediction.depth[120..130].fill(0.0);
    prediction.depth[130..140].fill(-1.0);
    prediction.depth[140..150].fill(f32::NAN);
    prediction.cameras[1].registered = false;
    prediction.cameras[2].intrinsics[(0, 0)] = f64::NAN;
    let (scene, _) =
        build_scene(&synthetic.prediction, &synthetic.frames(), None, &OPTIONS).unwrap();
    assert_eq!(scene.points.len(), frame - 150);
    assert!(scene.confidence_threshold == 1.05);
    let placed: Vec<bool> = scene
        .cameras
        .iter()
        .map(|camera| camera.pose.is_some())
        .collect();
    assert_eq!(placed, [true, false, false]);
}

#[test]
fn the_percentile_removes_the_least_confident_pixels() {
    let synthetic = predict(&[0, 1], SIZE, &model_world());
    let options = CloudOptions {
        conf_thresh_percentile: 50.0,
        ..OPTIONS
    };
    let (scene, _) =
        build_scene(&synthetic.prediction, &synthetic.frames(), None, &options).unwrap();
    // Confidences are 2, 3, ..., 8 in equal numbers.
    assert_eq!(scene.confidence_threshold, 5.0);
    let confidence = &synthetic.prediction.confidence;
    let expected = confidence.iter().filter(|&&value| value >= 5.0).count();
    assert_eq!(scene.points.len(), expected);
}

#[test]
fn unknown_pixels_give_no_points() {
    let mut synthetic = predict(&[0], SIZE, &model_world());
    synthetic.prediction.confidence.fill(1.0);
    let (scene, world) =
        build_scene(&synthetic.prediction, &synthetic.frames(), None, &OPTIONS).unwrap();
    assert!(scene.points.is_empty());
    assert!(scene.cameras[0].pose.is_some());
    assert!(!world.is_established());
}

#[test]
fn pixels_that_are_hardly_known_give_no_points_at_any_percentile() {
    for confidence in [1.0, 1.01, 1.049] {
        let mut synthetic = predict(&[0, 1], SIZE, &model_world());
        synthetic.prediction.confidence.fill(confidence);
        for conf_thresh_percentile in [0.0, 50.0, 90.0, 100.0] {
            let options = CloudOptions {
                conf_thresh_percentile,
                ..OPTIONS
            };
            let (scene, _) =
                build_scene(&synthetic.prediction, &synthetic.frames(), None, &options).unwrap();
            assert!(scene.points.is_empty(), "{confidence}");
            assert_eq!(scene.confidence_threshold, 1.05);
        }
    }
}

#[test]
fn samples_are_ordered_reproducible_subsets() {
    let synthetic = predict(&[0, 1, 2, 3], SIZE, &model_world());
    let frames = synthetic.frames();
    let (all, _) = build_scene(&synthetic.prediction, &frames, None, &OPTIONS).unwrap();
    for limit in [0, 1, 1000, all.points.len() - 1, all.points.len()] {
        let options = CloudOptions {
            num_max_points: limit,
            ..OPTIONS
        };
        let (scene, _) = build_scene(&synthetic.prediction, &frames, None, &options).unwrap();
        assert_eq!(scene.points.len(), limit);
        assert_eq!(
            scene.world_to_glb, all.world_to_glb,
            "sampling must not change the world"
        );
        let mut everything = all.points.iter().zip(&all.colors);
        for chosen in scene.points.iter().zip(&scene.colors) {
            assert!(everything.any(|candidate| candidate == chosen));
        }
        let (again, _) = build_scene(&synthetic.prediction, &frames, None, &options).unwrap();
        assert_eq!(scene, again);
    }
}

#[test]
fn mismatched_input_is_refused() {
    let synthetic = predict(&[0, 1], SIZE, &model_world());
    let frames = synthetic.frames();
    let error = build_scene(&synthetic.prediction, &frames[..1], None, &OPTIONS).unwrap_err();
    assert_eq!(
        error,
        CloudError::FrameCount {
            predicted: 2,
            given: 1
        }
    );

    let mut short = synthetic.prediction.clone();
    short.depth.pop();
    let error = build_scene(&short, &frames, None, &OPTIONS).unwrap_err();
    assert!(matches!(
        error,
        CloudError::BufferSize { what: "depth", .. }
    ));

    let other = predict(
        &[0, 1],
        FrameSize::new(SIZE.width, SIZE.height - 14),
        &model_world(),
    );
    let error = build_scene(&synthetic.prediction, &other.frames(), None, &OPTIONS).unwrap_err();
    assert!(matches!(error, CloudError::ImageSize { frame: 0, .. }));
}

use nalgebra::{Isometry3, Matrix3, Matrix4, Vector3};

use super::*;
use crate::geometry::{Distortion, FrameSize};
use crate::model::{CameraDeviations, Metadata};
use crate::prediction::Camera;

fn at(x: f64, turn: f64) -> Matrix4<f64> {
    let pose = Isometry3::new(Vector3::new(x, 0.0, 0.0), Vector3::new(0.0, turn, 0.0));
    pose.inverse().to_homogeneous()
}

/// Four cameras along a line, a unit apart, and a depth of 2.
fn prediction() -> Prediction {
    let camera = |index: u8| Camera {
        extrinsics: at(f64::from(index), 0.1 * f64::from(index)),
        intrinsics: Matrix3::identity(),
        distortion: Distortion::NONE,
        registered: true,
    };
    Prediction {
        size: FrameSize::new(1, 1),
        cameras: (0..4).map(camera).collect(),
        depth: vec![2.0; 4],
        confidence: vec![2.0; 4],
        report: None,
        links: None,
    }
}

/// The same in a world that is turned, moved and three times as large.
fn known() -> Vec<Option<KnownCamera>> {
    let to_known = Similarity3::new(
        Vector3::new(5.0, 6.0, 7.0),
        Vector3::new(0.0, 0.0, 1.0),
        3.0,
    );
    let cameras = prediction().cameras.into_iter().map(|camera| {
        let found = View::from_camera(&camera)?.camera_to_world;
        Some(KnownCamera {
            intrinsics: Matrix3::identity() * 2.0,
            extrinsics: (to_known * found).isometry.inverse().to_homogeneous(),
            deviations: CameraDeviations::default(),
        })
    });
    cameras.collect()
}

fn model(scale: Scale, poses: bool) -> Metadata {
    let scale = match scale {
        Scale::Relative => "relative",
        Scale::Metric => "metric",
    };
    let json = serde_json::json!({
        "contract_version": 1, "name": "a model", "version": "1", "license": "none",
        "patch_size": 1, "default_process_res": 1, "max_process_res": 1, "scale": scale,
        "precision": "fp32", "fuse": false, "poses": poses, "digest": "sha256:0",
    });
    serde_json::from_value(json).expect("metadata")
}

#[test]
fn a_result_gets_the_world_and_the_unit_of_some_known_cameras() {
    let mut some = known();
    some[1] = None;
    let mut found = prediction();
    let model = model(Scale::Relative, false);
    let (world, report) = adopt_known_world(&mut found, &some, &model);
    let world = world.expect("it is found");
    assert!((world.model_unit - 3.0).abs() < 1e-9 && world.unit == 1.0);
    for (camera, known) in found.cameras.iter().zip(known()) {
        let off = camera.extrinsics - known.expect("it is known").extrinsics;
        assert!(off.amax() < 1e-9, "also that of the second camera");
    }
    assert!(found.depth.iter().all(|depth| (depth - 6.0).abs() < 1e-5));
    let report = report.expect("a report");
    assert_eq!(
        (report.images, report.agreeing, report.applied),
        (3, 3, true)
    );
    assert!(report.position_error.expect("a distance") < 1e-9);
    assert_eq!(report.scale_ratio, None);
}

#[test]
fn a_metric_result_keeps_its_metres() {
    let mut found = prediction();
    let model = model(Scale::Metric, false);
    let (world, report) = adopt_known_world(&mut found, &known(), &model);
    let world = world.expect("it is found");
    assert!((world.unit - 1.0 / 3.0).abs() < 1e-9 && world.model_unit == 1.0);
    assert!(found.depth.iter().all(|depth| (depth - 2.0).abs() < 1e-6));
    let report = report.expect("a report");
    assert!((report.scale_ratio.expect("a ratio") - 3.0).abs() < 1e-9);
    assert!(report.position_error.expect("a distance") < 1e-9);
    // Turned and placed as the client says, with lengths in metres.
    let last = View::from_camera(&found.cameras[3]).expect("a camera");
    let said = known()[3]
        .and_then(|known| known.camera_to_world())
        .expect("one");
    assert!(last.camera_to_world.rotation.angle_to(&said.rotation) < 1e-9);
    assert!((last.centre().coords - said.translation.vector / 3.0).norm() < 1e-9);
}

#[test]
fn what_contradicts_leaves_the_result_as_it_is() {
    let mut wrong = known();
    for known in wrong.iter_mut().flatten() {
        known.extrinsics = known.extrinsics.try_inverse().expect("a pose");
    }
    let mut found = prediction();
    let model = model(Scale::Relative, false);
    let (world, report) = adopt_known_world(&mut found, &wrong, &model);
    assert_eq!((world, &found), (None, &prediction()));
    let report = report.expect("a report");
    assert_eq!(report.reason, Some(Misfit::Contradictory));
    assert!(!report.applied && report.advice.is_some());
    assert_eq!(
        adopt_known_world(&mut found, &[None; 4], &model),
        (None, None)
    );
}

#[test]
fn a_model_that_was_given_the_cameras_is_left_alone() {
    let mut found = prediction();
    for (camera, known) in found.cameras.iter_mut().zip(known()) {
        camera.extrinsics = known.expect("it is known").extrinsics;
    }
    let before = found.clone();
    let model = model(Scale::Relative, true);
    let (world, report) = adopt_known_world(&mut found, &known(), &model);
    assert_eq!(world, Some(KnownWorld::OF_CLIENT));
    assert_eq!(found, before, "to the bit");
    assert!(report.is_some_and(|report| report.applied));
}

//! The embedded model places further photos of the sample scene among placed ones.

mod common;

use std::ops::ControlFlow;

use common::{embedded, encode, photos, repository, rewrite};
use nalgebra::{Matrix4, Point3};
use pointstream_inference::{ResolvedModel, TorchScriptModel};
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::CameraTags;
use pointstream_reconstruction::model::{
    Adjustment, AdjustmentFrame, CameraHint, CameraPriors, Device, Extension, ExtensionFrame,
    Features, FramesPerCall, LinksOfRuns, Model, ModelError, OnStep, PlacedFrame, Step,
};
use pointstream_reconstruction::prediction::{Camera, Prediction};

/// Photos that the first prediction has, and all of them.
const PLACED: usize = 5;
const ALL: usize = 7;

fn predict(model: &dyn Model, features: &[Features]) -> Prediction {
    let rows: Vec<&Features> = features.iter().collect();
    model
        .predict(&rows, CameraPriors::default(), &mut |_| {
            ControlFlow::Continue(())
        })
        .expect("the sample scene is reconstructed")
}

/// Extends the cameras of the first frames to all frames. `maps` are the model's own of an earlier
/// extension.
fn extend(
    model: &dyn Model,
    features: &[Features],
    placed: &[Camera],
    maps: &[Option<Features>],
    on_step: &mut OnStep<'_>,
) -> Result<Extension, ModelError> {
    let frames: Vec<ExtensionFrame> = features
        .iter()
        .enumerate()
        .map(|(index, features)| ExtensionFrame {
            features,
            hint: CameraHint::of_photo(&CameraTags::default(), features.size()),
            placed: placed.get(index).map(|camera| PlacedFrame {
                camera,
                maps: maps.get(index).and_then(Option::as_ref),
            }),
        })
        .collect();
    model.extend(&frames, on_step)
}

fn centre(extrinsics: &Matrix4<f64>) -> Point3<f64> {
    let to_world = extrinsics.try_inverse().expect("a pose");
    to_world.transform_point(&Point3::origin())
}

/// Degrees between the directions of two cameras as seen from a third one, in two predictions.
fn turn(found: [&Camera; 2], expected: [&Camera; 2]) -> f64 {
    let relative = |[one, other]: [&Camera; 2]| {
        let one = one.extrinsics.fixed_view::<3, 3>(0, 0).into_owned();
        let other = other.extrinsics.fixed_view::<3, 3>(0, 0).into_owned();
        other * one.transpose()
    };
    let turn = relative(found) * relative(expected).transpose();
    ((turn.trace() - 1.0) / 2.0)
        .clamp(-1.0, 1.0)
        .acos()
        .to_degrees()
}

#[test]
fn new_photos_are_placed_where_a_prediction_of_all_has_them() {
    let model = embedded();
    let features = encode(&model, &photos(ALL));
    let first = predict(&model, &features[..PLACED]);
    let all = predict(&model, &features);
    assert!(first.cameras.iter().all(|camera| camera.registered));
    let mut steps = Vec::new();
    let extension = extend(&model, &features, &first.cameras, &[], &mut |step| {
        steps.push(step);
        ControlFlow::Continue(())
    })
    .expect("an extension");
    let new = &extension.prediction;
    assert_eq!((new.len(), new.size), (ALL - PLACED, all.size));
    assert_eq!(new.depth.len(), new.len() * new.pixels_per_frame());
    assert!(new.cameras.iter().all(|camera| camera.registered));
    let report = new.report.as_ref().expect("the model reports");
    assert_eq!(report.len(), new.len());
    assert_eq!(steps.first(), Some(&Step::Relating));
    let computed = Step::Dense {
        done: ALL,
        total: ALL,
    };
    assert!(steps.contains(&computed));
    let fused = Step::Fused { done: 2, total: 2 };
    assert_eq!(steps.last(), Some(&fused));

    // Poses relative to the placed cameras, up to the unit of length.
    let found: Vec<&Camera> = first.cameras.iter().chain(&new.cameras).collect();
    let expected: Vec<&Camera> = all.cameras.iter().collect();
    let distance = |cameras: &[&Camera], one: usize, other: usize| {
        (centre(&cameras[one].extrinsics) - centre(&cameras[other].extrinsics)).norm()
    };
    let pairs = || (PLACED..ALL).flat_map(|new| (0..PLACED).map(move |placed| (placed, new)));
    let total = |cameras: &[&Camera]| -> f64 {
        pairs()
            .map(|(one, other)| distance(cameras, one, other))
            .sum()
    };
    let unit = total(&found) / total(&expected);
    for (placed, new) in pairs() {
        let degrees = turn(
            [found[placed], found[new]],
            [expected[placed], expected[new]],
        );
        assert!(
            degrees < 1.0,
            "{degrees} degrees between {placed} and {new}"
        );
        let ratio = distance(&found, placed, new) / distance(&expected, placed, new) / unit;
        assert!(
            (ratio - 1.0).abs() < 0.05,
            "{ratio} between {placed} and {new}"
        );
    }

    // Known pixels of both have the same depth.
    let pixels = new.pixels_per_frame();
    for frame in 0..new.len() {
        let known = |prediction: &Prediction, frame: usize, pixel: usize| {
            let known = prediction.frame_confidence(frame)[pixel] >= 1.05;
            known.then(|| f64::from(prediction.frame_depth(frame)[pixel]))
        };
        let ratios = (0..pixels).filter_map(|pixel| {
            let expected = known(&all, PLACED + frame, pixel)?;
            Some(known(new, frame, pixel)? / expected / unit)
        });
        let mut ratios: Vec<f64> = ratios.collect();
        assert!(ratios.len() > pixels / 10, "{} of {pixels}", ratios.len());
        ratios.sort_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        assert!((median - 1.0).abs() < 0.05, "{median}");
    }
}

#[test]
fn the_models_own_maps_save_work_and_change_nothing() {
    let model = embedded();
    let features = encode(&model, &photos(ALL));
    let first = predict(&model, &features[..PLACED]);
    let go_on = &mut |_| ControlFlow::Continue(());
    let one = extend(&model, &features, &first.cameras, &[], go_on).expect("an extension");
    assert_eq!(one.maps.len(), ALL);
    let bytes = |maps: &Option<Features>| maps.as_ref().map_or(0, Features::bytes);
    assert!(
        one.maps.iter().all(|maps| bytes(maps) > 0),
        "all were computed"
    );

    let mut steps = Vec::new();
    let again = extend(&model, &features, &first.cameras, &one.maps, &mut |step| {
        steps.push(step);
        ControlFlow::Continue(())
    });
    let again = again.expect("an extension");
    assert_eq!(again.prediction, one.prediction);
    let computed = Step::Dense { done: 2, total: 2 };
    assert!(steps.contains(&computed), "{steps:?}");
    let known: Vec<bool> = again.maps.iter().map(Option::is_none).collect();
    assert_eq!(known, [true, true, true, true, true, false, false]);
}

#[test]
fn frames_of_two_runs_are_adjusted_together() {
    let model = embedded();
    let features = encode(&model, &photos(ALL));
    let first = predict(&model, &features[..PLACED]);
    let go_on = &mut |_| ControlFlow::Continue(());
    let new = extend(&model, &features, &first.cameras, &[], go_on).expect("an extension");
    let new = new.prediction;
    let mut links = LinksOfRuns::default();
    let indices: Vec<Option<usize>> = (0..ALL).map(Some).collect();
    let run = first.links.as_ref().expect("links of the first run");
    links.add(run, &indices[..PLACED]);
    let run = new.links.as_ref().expect("links of the second run");
    assert!(
        run.iter().any(|link| link.frame < PLACED),
        "of placed frames"
    );
    assert!(run.iter().any(|link| link.frame >= PLACED), "of new frames");
    links.add(run, &indices);
    let hint = CameraHint::of_photo(&CameraTags::default(), first.size);
    // One new frame is far off.
    let mut cameras: Vec<Camera> = first.cameras.iter().chain(&new.cameras).cloned().collect();
    let right = cameras.clone();
    cameras[ALL - 1].extrinsics[(0, 3)] += 0.03;
    let frames = cameras.iter();
    let frames: Vec<_> = frames
        .map(|camera| AdjustmentFrame { camera, hint })
        .collect();
    let adjusted = model
        .adjust(&Adjustment {
            size: first.size,
            frames: &frames,
            links: links.links(),
        })
        .expect("an adjustment");
    let adjusted: Vec<_> = adjusted.into_iter().flatten().collect();
    assert_eq!(adjusted.len(), ALL);
    for (frame, found) in adjusted.iter().enumerate() {
        let degrees = turn(
            [&adjusted[0].camera, &found.camera],
            [&right[0], &right[frame]],
        );
        assert!(degrees < 0.5, "{degrees} degrees between 0 and {frame}");
        let off = centre(&found.camera.extrinsics) - centre(&right[frame].extrinsics);
        assert!(off.norm() < 0.02, "{frame} is {} off", off.norm());
        assert!(
            (found.depth_factor - 1.0).abs() < 0.1,
            "{}",
            found.depth_factor
        );
    }
    let nothing = model.adjust(&Adjustment {
        size: first.size,
        frames: &[],
        links: &[],
    });
    assert!(matches!(nothing, Err(ModelError::Empty)));
}

#[test]
fn one_placed_frame_holds_no_coordinates() {
    let model = embedded();
    let features = encode(&model, &photos(3));
    let first = predict(&model, &features);
    let go_on = &mut |_| ControlFlow::Continue(());
    let placed = &first.cameras[..1];
    let extension = extend(&model, &features, placed, &[], go_on).expect("an extension");
    let new = extension.prediction;
    assert!(new.cameras.iter().all(|camera| !camera.registered));
    assert!(new.confidence.iter().all(|confidence| *confidence == 1.0));
}

#[test]
fn a_break_cancels_the_extension() {
    let model = embedded();
    let features = encode(&model, &photos(3));
    let first = predict(&model, &features);
    let is_dense = |step| matches!(step, Step::Dense { done: 1, .. });
    let is_fused = |step| matches!(step, Step::Fused { done: 0, .. });
    let is_relating = |step| matches!(step, Step::Relating);
    for breaks in [is_relating as fn(Step) -> bool, is_dense, is_fused] {
        let result = extend(
            &model,
            &features,
            &first.cameras[..2],
            &[],
            &mut |step| match breaks(step) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            },
        );
        assert!(matches!(result, Err(ModelError::Cancelled)));
    }
}

#[test]
fn what_cannot_be_extended_is_refused() {
    let model = embedded();
    let go_on = &mut |_| ControlFlow::Continue(());
    let nothing = extend(&model, &[], &[], &[], go_on);
    assert!(matches!(nothing, Err(ModelError::Empty)));

    let frames = photos(3);
    let features = encode(&model, &frames);
    let first = predict(&model, &features);
    let placed = &first.cameras[..2];
    // Maps of another size.
    let other = |_| Some(Features::new(FrameSize::new(28, 28), 1, Box::new(())));
    let maps: Vec<Option<Features>> = (0..2).map(other).collect();
    let unlike = extend(&model, &features, placed, &maps, go_on);
    assert!(matches!(unlike, Err(ModelError::Features(_))));

    // An archive without the entry point.
    let original = std::fs::read(repository().join("weights/mvs/mvs.pt")).expect("the archive");
    let unable = rewrite(&original, |name, content| {
        if !name.ends_with("pointstream.json") {
            return Some(content);
        }
        let text = String::from_utf8(content).expect("JSON");
        let changed = text.replace("\"extend\": true", "\"extend\": false");
        assert_ne!(changed, text);
        Some(changed.into_bytes())
    });
    let folder = tempfile::tempdir().expect("a folder for the archive");
    let path = folder.path().join("unable.pt");
    std::fs::write(&path, unable).expect("the archive is written");
    let archive = ResolvedModel::open(&path).expect("its content is the same");
    let unable = TorchScriptModel::load(&archive, Device::Cpu, FramesPerCall::Fixed(1));
    let unable = unable.expect("it loads");
    let features = encode(&unable, &frames);
    let refused = extend(&unable, &features, placed, &[], go_on);
    let Err(ModelError::Features(reason)) = refused else {
        panic!("it must be refused");
    };
    assert!(reason.contains("cannot place frames"), "{reason}");
}

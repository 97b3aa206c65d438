//! The embedded model through the trait that the service uses, and archives that are refused.

mod common;

use std::io::Write;
use std::ops::ControlFlow;

use common::{embedded, embedded_with, encode, photos, repository, rewrite};
use image::RgbImage;
use pointstream_inference::{ResolvedModel, TorchScriptModel};
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::model::{
    CameraPriors, Device, FramesPerCall, Model, ModelError, Step,
};

#[test]
fn predictions_follow_the_contract_and_report_their_steps() {
    let model = embedded();
    let frames = photos(3);
    let features = encode(&model, &frames);
    assert!(features.iter().all(|frame| frame.bytes() > 0));
    let mut steps = Vec::new();
    let prediction = model
        .predict(
            &features.iter().collect::<Vec<_>>(),
            CameraPriors::default(),
            &mut |step| {
                steps.push(step);
                ControlFlow::Continue(())
            },
        )
        .expect("three photos are reconstructed");
    assert_eq!(prediction.size, FrameSize::of(&frames[0]));
    assert_eq!(prediction.len(), 3);
    assert_eq!(prediction.depth.len(), 3 * prediction.pixels_per_frame());
    assert!(prediction.cameras.iter().any(|camera| camera.registered));
    assert!(
        prediction
            .confidence
            .iter()
            .any(|confidence| *confidence > 1.05)
    );
    assert_eq!(steps.first(), Some(&Step::Relating));
    assert!(steps.contains(&Step::Dense { done: 1, total: 3 }));
    assert_eq!(steps.last(), Some(&Step::Fused { done: 3, total: 3 }));
}

#[test]
fn frames_that_are_computed_together_do_not_change_the_prediction() {
    let frames = photos(3);
    let one = embedded();
    let features = encode(&one, &frames);
    let expected = one
        .predict(
            &features.iter().collect::<Vec<_>>(),
            CameraPriors::default(),
            &mut |_| ControlFlow::Continue(()),
        )
        .expect("a prediction");
    let several = embedded_with(2);
    let features = several.encode(&frames).expect("frames are encoded");
    let mut steps = Vec::new();
    let found = several
        .predict(
            &features.iter().collect::<Vec<_>>(),
            CameraPriors::default(),
            &mut |step| {
                steps.push(step);
                ControlFlow::Continue(())
            },
        )
        .expect("a prediction");
    assert_eq!(found, expected);
    // Each frame has a call of its own, and they are done in order.
    let dense = (0..=3).map(|done| Step::Dense { done, total: 3 });
    let fused = (0..=3).map(|done| Step::Fused { done, total: 3 });
    let all: Vec<Step> = [Step::Relating]
        .into_iter()
        .chain(dense)
        .chain(fused)
        .collect();
    assert_eq!(steps, all);
}

#[test]
fn a_break_cancels_the_prediction() {
    let model = embedded();
    let features = encode(&model, &photos(2));
    let rows: Vec<_> = features.iter().collect();
    let result = model.predict(&rows, CameraPriors::default(), &mut |step| match step {
        Step::Dense { done: 1, .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(result, Err(ModelError::Cancelled)), "{result:?}");
}

#[test]
fn frames_must_have_one_size_and_be_multiples_of_the_patch_size() {
    let model = embedded();
    let odd = model.encode(&[RgbImage::new(101, 98)]);
    assert!(matches!(
        odd,
        Err(ModelError::Size { size, .. }) if size == FrameSize::new(101, 98)
    ));
    let unlike = model.encode(&[RgbImage::new(112, 98), RgbImage::new(98, 98)]);
    assert!(matches!(unlike, Err(ModelError::Features(_))));
    assert!(matches!(model.encode(&[]), Err(ModelError::Empty)));
    let empty = model.predict(&[], CameraPriors::default(), &mut |_| {
        ControlFlow::Continue(())
    });
    assert!(matches!(empty, Err(ModelError::Empty)));
    let features = encode(&model, &[RgbImage::new(112, 98), RgbImage::new(98, 98)]);
    let mixed = model.predict(
        &[&features[0], &features[1]],
        CameraPriors::default(),
        &mut |_| ControlFlow::Continue(()),
    );
    assert!(matches!(mixed, Err(ModelError::Features(_))));
}

#[test]
fn invalid_archives_are_refused() {
    let original =
        std::fs::read(repository().join("weights/mvs/mvs.pt")).expect("the archive exists");
    let refused = [
        (
            "no zip",
            b"not a zip file at all".to_vec(),
            "not a TorchScript archive",
        ),
        (
            "no metadata",
            rewrite(&original, |name, content| {
                (!name.ends_with("pointstream.json")).then_some(content)
            }),
            "it has no extra/pointstream.json",
        ),
        (
            "another contract",
            rewrite(&original, |name, content| {
                Some(if name.ends_with("pointstream.json") {
                    br#"{"contract_version": 99}"#.to_vec()
                } else {
                    content
                })
            }),
            "version 99 of the contract",
        ),
        (
            "tampered",
            rewrite(&original, |name, mut content| {
                if name.ends_with("data.pkl") {
                    content.push(0);
                }
                Some(content)
            }),
            "its content was changed",
        ),
    ];
    let folder = tempfile::tempdir().expect("a folder for archives");
    for (name, archive, reason) in refused {
        let path = folder.path().join("model.pt");
        std::fs::write(&path, archive).expect("the archive is written");
        let error = ResolvedModel::open(&path).expect_err(&format!("{name} must be refused"));
        assert!(
            matches!(error, ModelError::Archive { .. }),
            "{name}: {error}"
        );
        assert!(error.to_string().contains(reason), "{name}: {error}");
    }
    let missing = ResolvedModel::open(&folder.path().join("nothing.pt"));
    assert!(matches!(missing, Err(ModelError::Read { .. })));
}

#[test]
fn a_file_that_changed_after_the_check_is_not_loaded() {
    let folder = tempfile::tempdir().expect("a folder for archives");
    let path = folder.path().join("model.pt");
    let copy = || {
        std::fs::copy(repository().join("weights/mvs/mvs.pt"), &path).expect("it is copied");
        ResolvedModel::open(&path).expect("the archive is valid")
    };
    let load = |model: &ResolvedModel| {
        TorchScriptModel::load(model, Device::Cpu, FramesPerCall::Automatic)
    };

    let moved_away = copy();
    std::fs::rename(&path, folder.path().join("older.pt")).expect("it is renamed");
    std::fs::write(&path, "something else").expect("another file replaces it");
    assert!(
        load(&moved_away).is_ok(),
        "the file that was checked is open"
    );

    let overwritten = copy();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .expect("it is writable");
    file.write_all(b"more").expect("the file is changed");
    let error = load(&overwritten).err().expect("the load must fail");
    assert!(matches!(error, ModelError::Archive { .. }), "{error}");
    assert!(error.to_string().contains("it was changed"), "{error}");
}

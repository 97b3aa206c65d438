//! Results of one session overlay although each run of the model has a world of its own.

mod common;

use common::{SIZE, Synthetic, predict, predict_distorted};
use image::imageops;
use nalgebra::{Point3, Similarity3, Vector3};
use pointstream_reconstruction::cloud::{
    Alignment, AlignmentQuality, CloudOptions, PointFilters, Scene, SceneFrame, Unaligned, World,
    build_scene,
};
use pointstream_reconstruction::geometry::{Distortion, FrameSize, Region};

fn first_world() -> Similarity3<f64> {
    Similarity3::new(
        Vector3::new(1.0, 2.0, -3.0),
        Vector3::new(0.2, 0.1, -0.4),
        0.31,
    )
}

fn second_world() -> Similarity3<f64> {
    Similarity3::new(
        Vector3::new(-9.0, 0.1, 4.0),
        Vector3::new(-1.0, 0.5, 2.0),
        12.0,
    )
}

fn third_world() -> Similarity3<f64> {
    Similarity3::new(
        Vector3::new(0.5, 0.5, 0.5),
        Vector3::new(0.0, 3.0, 0.0),
        1.0,
    )
}

fn build(synthetic: &Synthetic, world: Option<&World>) -> (Scene, World) {
    build_frames(synthetic, &synthetic.frames(), world)
}

fn build_frames(
    synthetic: &Synthetic,
    frames: &[SceneFrame],
    world: Option<&World>,
) -> (Scene, World) {
    let options = CloudOptions {
        conf_thresh_percentile: 10.0,
        num_max_points: 100_000,
        show_cameras: true,
        filters: PointFilters::OFF,
    };
    build_scene(&synthetic.prediction, frames, world, &options).unwrap()
}

/// Largest distance between the same true points in two scenes. The true scene is about 6 units
/// large.
fn overlay_error(
    (a, world_a): (&Scene, Similarity3<f64>),
    (b, world_b): (&Scene, Similarity3<f64>),
) -> f64 {
    let probes = [
        [0.0, 0.0, 6.0],
        [2.0, 1.0, 6.5],
        [-2.0, -1.0, 5.5],
        [0.5, 1.5, 2.0],
    ];
    let shown = |scene: &Scene, world: Similarity3<f64>, probe: [f64; 3]| {
        scene.world_to_glb * world * Point3::from(probe)
    };
    let gaps = probes.map(|probe| (shown(a, world_a, probe) - shown(b, world_b, probe)).norm());
    // In units of the true scene.
    gaps.into_iter().fold(0.0, f64::max) / (a.world_to_glb.scaling() * world_a.scaling())
}

fn quality(scene: &Scene) -> AlignmentQuality {
    match &scene.alignment {
        Alignment::Points(quality) | Alignment::Cameras(quality) => *quality,
        other => panic!("not aligned: {other:?}"),
    }
}

#[test]
fn later_results_overlay_with_the_first() {
    let first = predict(&[0, 1, 2], SIZE, &first_world());
    // The order of the frames and the first frame change, too.
    let second = predict(&[4, 2, 3, 1], SIZE, &second_world());
    let (first_scene, world) = build(&first, None);
    let (second_scene, world) = build(&second, Some(&world));
    assert!(matches!(second_scene.alignment, Alignment::Points(_)));
    let quality = quality(&second_scene);
    assert_eq!(quality.common_frames, 2);
    assert!(quality.correspondences > 500, "{quality:?}");
    assert_eq!(quality.inliers, quality.correspondences);
    assert!(quality.median_error < 1e-5 && quality.rotation_error_degrees < 1e-3);
    let error = overlay_error(
        (&first_scene, first_world()),
        (&second_scene, second_world()),
    );
    assert!(error < 1e-4, "{error}");

    // Frames 3 and 4 are known through the second result only.
    let third = predict(&[3, 4, 5], SIZE, &third_world());
    let (third_scene, _) = build(&third, Some(&world));
    let error = overlay_error((&first_scene, first_world()), (&third_scene, third_world()));
    assert!(error < 1e-3, "{error}");
}

#[test]
fn distorted_images_overlay() {
    let lens = |_| Distortion { k1: -0.3, k2: 0.05 };
    let first = predict_distorted(&[0, 1, 2], SIZE, &first_world(), lens);
    let second = predict_distorted(&[1, 2, 3], SIZE, &second_world(), lens);
    let (first_scene, world) = build(&first, None);
    let (second_scene, _) = build(&second, Some(&world));
    let quality = quality(&second_scene);
    assert_eq!(quality.inliers, quality.correspondences);
    assert!(quality.median_error < 1e-5, "{quality:?}");
    let error = overlay_error(
        (&first_scene, first_world()),
        (&second_scene, second_world()),
    );
    assert!(error < 1e-4, "{error}");
}

#[test]
fn a_third_of_the_depths_may_be_wrong() {
    let first = predict(&[0, 1, 2], SIZE, &first_world());
    let mut second = predict(&[0, 1, 2, 3], SIZE, &second_world());
    for (index, depth) in second.prediction.depth.iter_mut().enumerate() {
        let hash = (index as u32).wrapping_mul(2_654_435_761) >> 16;
        match hash % 10 {
            0..3 => *depth *= 0.3 + (hash % 97) as f32 / 30.0,
            _ => *depth *= 1.0 + ((hash % 101) as f32 - 50.0) * 2e-4,
        }
    }
    let (first_scene, world) = build(&first, None);
    let (second_scene, _) = build(&second, Some(&world));
    let quality = quality(&second_scene);
    assert!(
        quality.inliers > quality.correspondences * 6 / 10,
        "{quality:?}"
    );
    let error = overlay_error(
        (&first_scene, first_world()),
        (&second_scene, second_world()),
    );
    assert!(error < 0.02, "{error}");
}

#[test]
fn other_processed_sizes_and_crops_overlay() {
    let first = predict(&[0, 1], SIZE, &first_world());
    let (first_scene, world) = build(&first, None);

    let larger = predict(&[0, 1, 2], SIZE.scaled(2.0), &second_world());
    let (scene, _) = build(&larger, Some(&world));
    assert!(matches!(scene.alignment, Alignment::Points(_)));
    let error = overlay_error((&first_scene, first_world()), (&scene, second_world()));
    assert!(error < 0.02, "{error}");

    // The middle of the images, as if a narrower photo were among them.
    let mut cropped = predict(&[0, 1, 2], SIZE, &second_world());
    let left = 14;
    let size = FrameSize::new(SIZE.width - 2 * left, SIZE.height);
    let keep = |values: &[f32]| -> Vec<f32> {
        let rows = values.chunks(SIZE.columns());
        rows.flat_map(|row| row[left as usize..][..size.columns()].to_vec())
            .collect()
    };
    let prediction = &mut cropped.prediction;
    prediction.depth = keep(&prediction.depth);
    prediction.confidence = keep(&prediction.confidence);
    prediction.size = size;
    for camera in &mut prediction.cameras {
        camera.intrinsics[(0, 2)] -= f64::from(left);
    }
    for image in &mut cropped.images {
        *image = imageops::crop_imm(image, left, 0, size.width, size.height).to_image();
    }
    let region = Region::of_center_crop(SIZE, size);
    let frames: Vec<_> = cropped
        .frames()
        .into_iter()
        .map(|frame| SceneFrame { region, ..frame })
        .collect();
    let (scene, _) = build_frames(&cropped, &frames, Some(&world));
    assert!(quality(&scene).median_error < 1e-5, "{:?}", scene.alignment);
    let error = overlay_error((&first_scene, first_world()), (&scene, second_world()));
    assert!(error < 1e-4, "{error}");
}

#[test]
fn cameras_align_results_without_common_points() {
    let first = predict(&[0, 1, 2], SIZE, &first_world());
    let (first_scene, world) = build(&first, None);
    let mut second = predict(&[0, 1, 2, 3], SIZE, &second_world());
    second.prediction.confidence[..3 * SIZE.columns() * SIZE.rows()].fill(1.0);
    let (scene, _) = build(&second, Some(&world));
    assert!(
        matches!(scene.alignment, Alignment::Cameras(_)),
        "{:?}",
        scene.alignment
    );
    let error = overlay_error((&first_scene, first_world()), (&scene, second_world()));
    assert!(error < 1e-6, "{error}");
}

#[test]
fn without_common_frames_the_first_cameras_coincide() {
    let first = predict(&[0, 1], SIZE, &first_world());
    let (first_scene, world) = build(&first, None);
    let second = predict(&[4, 5], SIZE, &second_world());
    let (scene, world) = build(&second, Some(&world));
    let reason = Unaligned::NoCommonFrame;
    assert_eq!(scene.alignment, Alignment::Unaligned { reason });
    let expected = first_scene.cameras[0].pose.unwrap();
    let found = scene.cameras[0].pose.unwrap();
    assert!((expected.to_homogeneous() - found.to_homogeneous()).norm() < 1e-6);
    // The median depth is that of the first result, not 40 times larger.
    let scale = scene.world_to_glb.scaling() * second_world().scaling() / first_world().scaling();
    assert!((0.5..2.0).contains(&scale), "{scale}");
    // The next result overlays with this one.
    let third = predict(&[4, 5, 6], SIZE, &third_world());
    let (third_scene, _) = build(&third, Some(&world));
    let error = overlay_error((&scene, second_world()), (&third_scene, third_world()));
    assert!(error < 1e-3, "{error}");
}

#[test]
fn the_first_result_with_points_defines_the_world() {
    let mut nothing = predict(&[0], SIZE, &first_world());
    nothing.prediction.confidence.fill(1.0);
    let (_, world) = build(&nothing, None);
    let (scene, world) = build(&predict(&[0, 1], SIZE, &second_world()), Some(&world));
    assert_eq!(scene.alignment, Alignment::Origin);

    // A result without cameras does not change the world.
    let mut lost = predict(&[0, 1], SIZE, &third_world());
    for camera in &mut lost.prediction.cameras {
        camera.registered = false;
    }
    let (lost_scene, same) = build(&lost, Some(&world));
    let reason = Unaligned::NoCamera;
    assert_eq!(lost_scene.alignment, Alignment::Unaligned { reason });
    assert!(lost_scene.points.is_empty());
    assert_eq!(same, world);
}

//! Which points the filters remove, and that they change nothing else.

mod common;

use std::collections::{HashMap, HashSet};

use common::{SIZE, Synthetic, predict};
use image::Rgb;
use nalgebra::{Similarity3, Vector3};
use pointstream_reconstruction::cloud::{
    CloudOptions, PointFilters, Scene, VoxelSize, World, build_scene,
};

const FRAME: usize = SIZE.columns() * SIZE.rows();

fn options(filters: PointFilters) -> CloudOptions {
    CloudOptions {
        conf_thresh_percentile: 10.0,
        num_max_points: usize::MAX,
        show_cameras: true,
        filters,
    }
}

fn voxels(size: f64) -> PointFilters {
    PointFilters {
        voxel_size: VoxelSize::new(size),
        ..PointFilters::OFF
    }
}

fn build(synthetic: &Synthetic, filters: PointFilters) -> Scene {
    let frames = synthetic.frames();
    let (scene, _) = build_scene(&synthetic.prediction, &frames, None, &options(filters)).unwrap();
    scene
}

/// The images of the scene; each pixel has a colour of its own.
fn photos(count: u64) -> Synthetic {
    let ids: Vec<u64> = (0..count).collect();
    predict(&ids, SIZE, &Similarity3::identity())
}

/// Frame and index of the pixel with this colour.
fn pixel_of([red, green, blue]: [u8; 3]) -> (usize, usize) {
    let index = usize::from(green) / 4 * SIZE.columns() + usize::from(red) / 3;
    (usize::from(blue), index)
}

fn pixels(scene: &Scene) -> Vec<(usize, usize)> {
    scene.colors.iter().copied().map(pixel_of).collect()
}

/// Compares everything that does not depend on the points with the unfiltered scene.
fn assert_same_world(filtered: &Scene, all: &Scene) {
    assert_eq!(filtered.world_to_glb, all.world_to_glb);
    assert_eq!(filtered.confidence_threshold, all.confidence_threshold);
    assert_eq!(filtered.alignment, all.alignment);
    assert_eq!(filtered.cameras, all.cameras);
    let known: HashMap<_, _> = all.colors.iter().zip(&all.points).collect();
    for (color, point) in filtered.colors.iter().zip(&filtered.points) {
        assert_eq!(known[color], point, "points must not move");
    }
}

#[test]
fn edges_are_removed_around_a_near_box() {
    let mut synthetic = photos(2);
    let depth = &mut synthetic.prediction.depth;
    let (columns, rows) = (20..40, 10..30);
    for row in rows.clone() {
        for column in columns.clone() {
            depth[row * SIZE.columns() + column] *= 0.5;
        }
    }
    let all = build(&synthetic, PointFilters::OFF);
    let edges = PointFilters {
        edges: true,
        ..PointFilters::OFF
    };
    let filtered = build(&synthetic, edges);
    assert_same_world(&filtered, &all);
    let kept: HashSet<_> = pixels(&filtered).into_iter().collect();
    let inside = |x: usize, y: usize, margin: isize| {
        let within = |value: usize, range: &std::ops::Range<usize>| {
            let value = value as isize;
            value >= range.start as isize - margin && value < range.end as isize + margin
        };
        within(x, &columns) && within(y, &rows)
    };
    for (frame, index) in pixels(&all) {
        let (x, y) = (index % SIZE.columns(), index / SIZE.columns());
        // One pixel on each side of the box's outline.
        let at_edge = frame == 0 && inside(x, y, 1) && !inside(x, y, -1);
        assert_eq!(kept.contains(&(frame, index)), !at_edge, "{frame} {x} {y}");
    }
}

#[test]
fn black_and_white_are_removed_on_request() {
    let mut synthetic = photos(2);
    // Pixels with unique colours.
    let painted = [
        ((3, 4), [15, 15, 14]),
        ((9, 7), [15, 15, 16]),
        ((50, 8), [240, 255, 240]),
        ((51, 9), [239, 255, 255]),
    ];
    for ((x, y), color) in painted {
        synthetic.images[0].put_pixel(x, y, Rgb(color));
    }
    let has = |scene: &Scene, color: [u8; 3]| scene.colors.contains(&color);
    let black = PointFilters {
        black_background: true,
        ..PointFilters::OFF
    };
    let white = PointFilters {
        white_background: true,
        ..PointFilters::OFF
    };
    let both = PointFilters {
        black_background: true,
        white_background: true,
        ..PointFilters::OFF
    };
    let all = build(&synthetic, PointFilters::OFF);
    assert!(painted.iter().all(|&(_, color)| has(&all, color)));
    for (filters, gone) in [(black, vec![0]), (white, vec![2]), (both, vec![0, 2])] {
        let filtered = build(&synthetic, filters);
        assert_same_world(&filtered, &all);
        for (index, (_, color)) in painted.into_iter().enumerate() {
            assert_eq!(has(&filtered, color), !gone.contains(&index), "{color:?}");
        }
        assert!(filtered.points.len() > all.points.len() - 100);
    }

    for image in &mut synthetic.images {
        image.pixels_mut().for_each(|pixel| *pixel = Rgb([0; 3]));
    }
    let nothing = build(&synthetic, black);
    assert!(nothing.points.is_empty());
    assert_eq!(nothing.cameras, all.cameras);
}

#[test]
fn a_voxel_keeps_its_most_confident_point() {
    let synthetic = photos(3);
    let all = build(&synthetic, PointFilters::OFF);
    let confidence =
        |&(frame, index): &(usize, usize)| synthetic.prediction.confidence[frame * FRAME + index];
    for size in [0.03, 0.2, 1.5] {
        let voxel = |point: &[f32; 3]| point.map(|x| (f64::from(x) / size).floor() as i64);
        // The first one of the most confident ones.
        let mut expected: HashMap<[i64; 3], (usize, usize)> = HashMap::new();
        for (point, pixel) in all.points.iter().zip(pixels(&all)) {
            let best = expected.entry(voxel(point)).or_insert(pixel);
            if confidence(&pixel) > confidence(best) {
                *best = pixel;
            }
        }
        let mut expected: Vec<_> = expected.into_values().collect();
        expected.sort_unstable();
        assert!(expected.len() < all.points.len());
        let filtered = build(&synthetic, voxels(size));
        assert_eq!(pixels(&filtered), expected, "voxels of {size}");
        assert_same_world(&filtered, &all);
        assert_eq!(
            build(&synthetic, voxels(size)),
            filtered,
            "the result must be deterministic"
        );
    }
}

#[test]
fn tiny_and_huge_voxels_are_handled() {
    let synthetic = photos(2);
    let all = build(&synthetic, PointFilters::OFF);
    // So small that each point has a voxel of its own.
    for size in [f64::MIN_POSITIVE, 1e-12] {
        assert_eq!(build(&synthetic, voxels(size)), all);
    }
    // All points lie in the eight voxels around the origin.
    for size in [1e6, f64::MAX] {
        let filtered = build(&synthetic, voxels(size));
        assert!((1..=8).contains(&filtered.points.len()), "{filtered:?}");
    }
    // An invalid size disables the filter.
    for size in [0.0, f64::NAN, f64::INFINITY, -1.0] {
        assert!(voxels(size).is_off(), "{size}");
    }
}

#[test]
fn the_limit_comes_after_the_filters() {
    let synthetic = photos(3);
    let thinned = build(&synthetic, voxels(0.05));
    let frames = synthetic.frames();
    for limit in [0, 1, thinned.points.len() / 2, thinned.points.len()] {
        let options = CloudOptions {
            num_max_points: limit,
            ..options(voxels(0.05))
        };
        let limited = || {
            let (scene, _) = build_scene(&synthetic.prediction, &frames, None, &options).unwrap();
            scene
        };
        let scene = limited();
        assert_eq!(scene.points.len(), limit);
        let mut everything = thinned.points.iter().zip(&thinned.colors);
        for chosen in scene.points.iter().zip(&scene.colors) {
            assert!(everything.any(|candidate| candidate == chosen));
        }
        assert_eq!(scene, limited());
    }
}

#[test]
fn filters_accept_empty_predictions() {
    let filters = PointFilters {
        edges: true,
        black_background: true,
        white_background: true,
        voxel_size: VoxelSize::new(0.1),
    };
    assert_eq!(
        build(&photos(0), filters),
        build(&photos(0), PointFilters::OFF)
    );
    let mut unknown = photos(2);
    unknown.prediction.confidence.fill(1.0);
    assert!(build(&unknown, filters).points.is_empty());
    let mut unplaced = photos(2);
    unplaced.prediction.cameras[0].registered = false;
    unplaced.prediction.cameras[1].registered = false;
    assert!(build(&unplaced, filters).points.is_empty());
}

#[test]
fn overflowing_points_have_no_voxel() {
    let mut synthetic = photos(1);
    synthetic.prediction.cameras[0].intrinsics[(0, 0)] = 10.0;
    synthetic.prediction.depth[..SIZE.columns()].fill(f32::MAX);
    let all = build(&synthetic, PointFilters::OFF);
    assert!(all.points.len() < FRAME);
    assert_eq!(build(&synthetic, voxels(1e-12)), all);
}

#[test]
fn filters_do_not_change_the_world() {
    let filters = PointFilters {
        edges: true,
        voxel_size: VoxelSize::new(0.3),
        ..PointFilters::OFF
    };
    let other_world = Similarity3::new(Vector3::x(), Vector3::y() * 0.4, 3.0);
    let first = photos(3);
    let later = predict(&[0, 1, 2, 3], SIZE, &other_world);
    let run = |filters| -> (Scene, World) {
        let options = options(filters);
        let frames = first.frames();
        let (_, world) = build_scene(&first.prediction, &frames, None, &options).unwrap();
        build_scene(&later.prediction, &later.frames(), Some(&world), &options).unwrap()
    };
    let (all, world) = run(PointFilters::OFF);
    let (filtered, filtered_world) = run(filters);
    assert!(filtered.points.len() < all.points.len());
    assert_same_world(&filtered, &all);
    assert_eq!(world, filtered_world);
}

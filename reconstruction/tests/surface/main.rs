//! Surfaces of shapes that are known exactly.

mod scene;

use nalgebra::Vector3;
use pointstream_reconstruction::geometry::Distortion;
use pointstream_reconstruction::surface::{Limits, Mesh, SurfaceError};
use scene::{Failed, Frames, HEIGHT, WIDTH, around, color, normal, places, sphere, triangles};

/// Checks that vertices lie on a shape, that triangles face the outside of it and are small, and that colours are
/// right. `shape` gives the distance of a place from it, and the direction to its outside.
fn check(mesh: &Mesh, shape: impl Fn(Vector3<f64>) -> (f64, Vector3<f64>)) {
    assert_eq!(mesh.positions.len(), mesh.colors.len());
    let voxel = mesh.voxel_size;
    let (mut errors, mut off) = (0.0, 0.0);
    for (place, found) in places(mesh).zip(&mesh.colors) {
        let (distance, _) = shape(place);
        assert!(distance.abs() <= voxel, "{place:?} is {distance} away");
        errors += distance.abs();
        let expected = color(place);
        for (found, expected) in found.iter().zip(expected) {
            let difference = f64::from(*found) - f64::from(expected);
            assert!(difference.abs() <= 20.0, "{found} {expected} at {place:?}");
            off += difference.abs() / 3.0;
        }
    }
    let count = mesh.positions.len() as f64;
    assert!(
        errors / count < 0.25 * voxel,
        "mean error {}",
        errors / count
    );
    assert!(
        off / count < 4.0,
        "mean difference of colours {}",
        off / count
    );
    let mut inverted = 0;
    for triangle in triangles(mesh) {
        let [a, b, c] = triangle;
        for side in [a - b, b - c, c - a] {
            assert!(side.norm() < 3.5 * voxel, "a long side: {triangle:?}");
        }
        let (_, outside) = shape((a + b + c) / 3.0);
        let normal = normal(triangle);
        inverted += usize::from(normal.dot(&outside) < 0.1 * normal.norm());
    }
    let part = inverted as f64 / mesh.triangles.len() as f64;
    assert!(part < 1e-3, "{inverted} triangles do not face outside");
}

fn area(mesh: &Mesh) -> f64 {
    triangles(mesh)
        .map(|triangle| normal(triangle).norm() / 2.0)
        .sum()
}

fn of_sphere(place: Vector3<f64>) -> (f64, Vector3<f64>) {
    (place.norm() - 1.0, place.normalize())
}

#[test]
fn a_sphere_is_round_and_faces_the_cameras() {
    let mesh = Frames::of(&around(3.0), sphere(1.0)).mesh().unwrap();
    check(&mesh, of_sphere);
    let whole = 4.0 * std::f64::consts::PI;
    let part = area(&mesh) / whole;
    assert!((0.93..1.02).contains(&part), "{part} of the sphere");
}

#[test]
fn distorted_cameras_see_the_same_sphere() {
    let lens = Distortion { k1: -0.2, k2: 0.05 };
    let frames = Frames::distorted(lens, &around(3.0), sphere(1.0));
    let mesh = frames.mesh().unwrap();
    check(&mesh, of_sphere);
    assert!(area(&mesh) > 0.9 * 4.0 * std::f64::consts::PI);
}

/// Where a ray meets the inside of a box around the origin with sides of 4.
fn room(eye: Vector3<f64>, ray: Vector3<f64>) -> Option<f64> {
    let walls = (0..3).map(|axis| (2.0 * ray[axis].signum() - eye[axis]) / ray[axis]);
    walls.filter(|depth| depth.is_finite()).reduce(f64::min)
}

#[test]
fn a_room_is_seen_from_inside() {
    let directions = [
        [1.0, 0.1, 0.2],
        [-1.0, 0.1, 0.3],
        [0.2, 0.1, 1.0],
        [0.1, 0.2, -1.0],
        [0.7, -0.9, 0.2],
        [-0.7, -0.9, -0.3],
        [0.3, 0.9, -0.7],
    ];
    let cameras = directions.map(|direction| {
        let direction = Vector3::from(direction);
        (direction * -0.4, direction)
    });
    let mesh = Frames::of(&cameras, room).mesh().unwrap();
    check(&mesh, |place| {
        let axis = place.iamax();
        let mut inside = Vector3::zeros();
        inside[axis] = -place[axis].signum();
        (place[axis].abs() - 2.0, inside)
    });
    // Each of these views shows about this much of the walls.
    assert!(area(&mesh) > 30.0, "{}", area(&mesh));
}

/// A square of side 1 at z = 0 before a wall at z = -`gap`, seen from the front.
fn before_a_wall(gap: f64) -> impl Fn(Vector3<f64>, Vector3<f64>) -> Option<f64> {
    move |eye, ray| {
        let at = |z: f64| (z - eye.z) / ray.z;
        let near = eye + ray * at(0.0);
        let hits = near.x.abs() <= 0.5 && near.y.abs() <= 0.5;
        Some(if hits { at(0.0) } else { at(-gap) })
    }
}

fn from_the_front() -> Vec<(Vector3<f64>, Vector3<f64>)> {
    let eyes = [
        [0.0, 0.0],
        [0.6, 0.1],
        [-0.6, -0.1],
        [0.1, 0.5],
        [0.0, -0.5],
    ];
    let cameras = eyes.map(|[x, y]| (Vector3::new(x, y, 2.5), Vector3::new(0.0, 0.0, -0.3)));
    cameras.into()
}

#[test]
fn nothing_joins_a_near_surface_with_the_one_behind_it() {
    // Also behind it by little more than the band of voxels.
    for gap in [2.0, 0.5, 0.25] {
        for count in [1, 5] {
            let cameras = &from_the_front()[..count];
            let mesh = Frames::of(cameras, before_a_wall(gap)).mesh().unwrap();
            assert!(gap > 8.0 * mesh.voxel_size, "{} {gap}", mesh.voxel_size);
            let (mut near, mut far) = (0, 0);
            for place in places(&mesh) {
                let [before, behind] = [place.z, place.z + gap].map(f64::abs);
                assert!(
                    before.min(behind) < mesh.voxel_size,
                    "{place:?} between the surfaces {gap} apart, seen {count} times"
                );
                match before < behind {
                    true => near += 1,
                    false => far += 1,
                }
            }
            let square = f64::from(near) * mesh.voxel_size * mesh.voxel_size;
            assert!((0.7..1.15).contains(&square), "the square has {square}");
            assert!(far > near, "the wall is larger");
            for corners in triangles(&mesh) {
                let deep = corners.map(|corner| corner.z);
                let step = deep.iter().fold(f64::MIN, |a, b| a.max(*b))
                    - deep.iter().fold(f64::MAX, |a, b| a.min(*b));
                assert!(
                    step < 2.0 * mesh.voxel_size,
                    "a triangle reaches over {step}"
                );
            }
        }
    }
}

#[test]
fn a_step_that_is_smaller_than_the_band_bends_the_surface_only_there() {
    let mesh = Frames::of(&from_the_front(), before_a_wall(0.04));
    let mesh = mesh.mesh().unwrap();
    for place in places(&mesh) {
        assert!((-0.04 - mesh.voxel_size..mesh.voxel_size).contains(&place.z));
    }
}

#[test]
fn pixels_that_do_not_count_leave_a_hole() {
    let mut frames = Frames::of(&around(3.0), sphere(1.0));
    for frame in &mut frames.0 {
        for index in 0..frame.depth.len() {
            let (u, v) = (index as u32 % WIDTH, index as u32 / WIDTH);
            let ray = frame.intrinsics.try_inverse().unwrap()
                * Vector3::new(f64::from(u), f64::from(v), 1.0);
            let place = frame.pose * nalgebra::Point3::from(ray * f64::from(frame.depth[index]));
            if place.x > 0.5 {
                frame.depth[index] = 0.0;
            }
        }
    }
    let mesh = frames.mesh().unwrap();
    check(&mesh, of_sphere);
    assert!(places(&mesh).all(|place| place.x < 0.5 + 2.0 * mesh.voxel_size));
    let whole = 4.0 * std::f64::consts::PI;
    assert!(
        (0.66..0.78).contains(&(area(&mesh) / whole)),
        "a quarter is missing"
    );
}

#[test]
fn small_pieces_that_float_are_removed() {
    let mut frames = Frames::of(&around(3.0), sphere(1.0));
    for (number, frame) in frames.0.iter_mut().enumerate() {
        // A patch of 6 x 6 pixels in front of the sphere, another in each frame.
        for v in 0..6 {
            for u in 0..6 {
                let row = HEIGHT as usize / 3 + 3 * number / 2 + v;
                frame.depth[row * WIDTH as usize + 70 + number + u] = 1.2;
            }
        }
    }
    let mesh = frames.mesh().unwrap();
    for place in places(&mesh) {
        assert!((place.norm() - 1.0).abs() < mesh.voxel_size, "{place:?}");
    }
}

#[test]
fn what_others_see_through_is_no_surface() {
    let inner = sphere(1.0);
    let in_a_hall = |eye: Vector3<f64>, ray: Vector3<f64>| {
        let (a, b) = (ray.norm_squared(), eye.dot(&ray));
        let root = b * b - a * (eye.norm_squared() - 36.0);
        inner(eye, ray).or(Some((root.sqrt() - b) / a))
    };
    let mut frames = Frames::of(&around(3.0), in_a_hall);
    let off = |mesh: &Mesh| {
        let off = |place: &Vector3<f64>| {
            [1.0, 6.0]
                .iter()
                .all(|radius| (place.norm() - radius).abs() > mesh.voxel_size)
        };
        places(mesh).filter(off).count()
    };
    assert_eq!(off(&frames.mesh().unwrap()), 0);
    // One frame has a large plate in front of the sphere that no other sees.
    for row in 30..90 {
        frames.0[0].depth[row * WIDTH as usize + 40..][..80].fill(1.5);
    }
    assert_eq!(off(&frames.mesh().unwrap()), 0);
    // It is a surface if nobody else looks there.
    frames.0.truncate(1);
    assert!(off(&frames.mesh().unwrap()) > 100);
}

#[test]
fn fewer_voxels_give_a_coarser_mesh() {
    let frames = Frames::of(&around(3.0), sphere(1.0));
    let fine = frames.mesh().unwrap();
    for voxels in [50_000, 200_000] {
        let mesh = frames.mesh_within(Limits::of_voxels(voxels)).unwrap();
        assert!(mesh.voxel_size > 1.4 * fine.voxel_size);
        assert!(mesh.positions.len() * 8 <= voxels);
        check(&mesh, of_sphere);
    }
    let too_few = frames.mesh_within(Limits::of_voxels(600)).unwrap_err();
    assert_eq!(too_few, Failed(SurfaceError::TooLarge { voxels: 600 }));
}

#[test]
fn without_a_surface_the_error_says_what_helps() {
    let mut frames = Frames::of(&around(3.0), sphere(1.0));
    for frame in &mut frames.0 {
        frame.depth.fill(0.0);
    }
    assert_eq!(frames.mesh().unwrap_err(), Failed(SurfaceError::NoDepth));
    assert_eq!(
        Frames(Vec::new()).mesh().unwrap_err(),
        Failed(SurfaceError::NoDepth)
    );
    // Single pixels see something, but never two that are neighbours.
    for frame in &mut frames.0 {
        for (index, depth) in frame.depth.iter_mut().enumerate() {
            *depth = if index % 5 == 0 { 2.0 } else { 0.0 };
        }
    }
    let error = frames.mesh().unwrap_err().0;
    assert_eq!(error, SurfaceError::NoDepth);
    assert!(error.to_string().contains("conf_thresh_percentile"));
    // Two neighbours in both directions, which are too few for a voxel with all its neighbours.
    let mut frames = Frames(frames.0[..1].to_vec());
    frames.0[0].depth.fill(0.0);
    for index in [0, 1, WIDTH as usize, WIDTH as usize + 1] {
        frames.0[0].depth[index] = 2.0;
    }
    let error = frames.mesh().unwrap_err().0;
    assert_eq!(error, SurfaceError::NoSurface);
    assert!(error.to_string().contains("more photos"));
}

#[test]
fn the_same_frames_give_the_same_mesh() {
    let frames = Frames::of(&around(3.0), sphere(1.0));
    assert!(frames.mesh().unwrap() == frames.mesh().unwrap());
}

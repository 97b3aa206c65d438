use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, Similarity3, UnitQuaternion, Vector3};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::model::CameraDeviations;

struct Random(Xoshiro256PlusPlus);

impl Random {
    fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// About normal: a sum of uniform numbers.
    fn normal(&mut self) -> f64 {
        let uniform = |random: &mut Self| (random.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        (0..12).map(|_| uniform(self)).sum::<f64>() - 6.0
    }

    fn vector(&mut self, deviation: f64) -> Vector3<f64> {
        Vector3::from_fn(|_, _| deviation * self.normal())
    }
}

/// From the result's world to the client's.
fn truth() -> Similarity3<f64> {
    let angles = Vector3::new(0.3, -1.1, 0.2);
    Similarity3::new(Vector3::new(2.0, 0.3, -5.0), angles, 7.5)
}

/// Cameras on a curve about 10 long that look around.
fn path(count: usize) -> Vec<Isometry3<f64>> {
    let at = |index: usize| {
        let along = index as f64 / (count - 1) as f64;
        let centre = Vector3::new(10.0 * along, (4.0 * along).sin(), (2.0 * along).cos());
        Isometry3::new(centre, Vector3::new(0.1, 1.5 * along, 0.2 * along))
    };
    (0..count).map(at).collect()
}

fn known(found: &[Isometry3<f64>]) -> Vec<AnchorPair> {
    let pair = |found: &Isometry3<f64>| AnchorPair {
        found: *found,
        known: (truth() * found).isometry,
        deviations: CameraDeviations::default(),
    };
    found.iter().map(pair).collect()
}

/// Noise of 1 % of the path, and of a degree.
fn noisy(mut pairs: Vec<AnchorPair>) -> Vec<AnchorPair> {
    let mut random = Random::new(3);
    for pair in &mut pairs {
        let turn = UnitQuaternion::from_scaled_axis(random.vector(1_f64.to_radians()));
        pair.known.rotation = turn * pair.known.rotation;
        pair.known.translation.vector += random.vector(0.01 * 10.0 * 7.5);
    }
    pairs
}

/// Every third camera is anywhere.
fn spoiled(mut pairs: Vec<AnchorPair>) -> Vec<AnchorPair> {
    let mut random = Random::new(4);
    for pair in pairs.iter_mut().step_by(3) {
        pair.known = Isometry3::new(random.vector(200.0), random.vector(2.0));
    }
    pairs
}

fn assert_close(fit: &WorldFit, tolerance: f64) {
    let error = fit.similarity.inverse() * truth();
    assert!((error.scaling() - 1.0).abs() < tolerance, "{error}");
    assert!(error.isometry.rotation.angle() < tolerance, "{error}");
    let shift = (error * Point3::new(5.0, 0.0, 0.0) - Point3::new(5.0, 0.0, 0.0)).norm();
    assert!(shift < 10.0 * tolerance, "{error}");
}

#[test]
fn finds_the_world_of_exact_and_of_noisy_cameras() {
    let exact = WorldFit::of(&known(&path(20)), 0.0).expect("a fit");
    assert_close(&exact, 1e-9);
    assert_eq!(exact.agreeing, 20);
    let fit = WorldFit::of(&noisy(known(&path(20))), 0.0).expect("a fit");
    assert_close(&fit, 0.02);
    assert!(fit.agreeing >= 18, "{}", fit.agreeing);
}

#[test]
fn a_third_of_wrong_cameras_does_not_spoil_it() {
    let right = WorldFit::of(&noisy(known(&path(30))), 0.0).expect("a fit");
    let fit = WorldFit::of(&spoiled(noisy(known(&path(30)))), 0.0).expect("a fit");
    assert_close(&fit, 0.02);
    assert!((15..=20).contains(&fit.agreeing), "{}", fit.agreeing);
    let moved = fit.similarity.inverse() * right.similarity;
    assert!((moved.scaling() - 1.0).abs() < 0.01, "{moved}");
}

#[test]
fn centres_on_a_line_are_enough_with_their_rotations() {
    let straight = |index: i32| {
        let turn = Vector3::new(0.0, 0.05 * f64::from(index), 0.0);
        Isometry3::new(Vector3::new(f64::from(index), 0.0, 0.0), turn)
    };
    let line: Vec<_> = (0..8).map(straight).collect();
    let fit = WorldFit::of(&known(&line), 0.0).expect("a fit");
    let error = fit.similarity.inverse() * truth();
    assert!(
        error.isometry.rotation.angle() < 1e-9,
        "the roll is known, too"
    );
    assert!((error.scaling() - 1.0).abs() < 1e-9);
}

#[test]
fn two_cameras_that_agree_are_enough() {
    let mut pairs = known(&path(5));
    pairs.drain(1..4);
    let fit = WorldFit::of(&pairs, 0.0).expect("a fit");
    assert_close(&fit, 1e-9);
    // The direction between them contradicts their rotations.
    pairs[1].known.translation.vector.x += 40.0;
    assert_eq!(WorldFit::of(&pairs, 0.0), Err(Misfit::Contradictory));
    assert_eq!(WorldFit::of(&pairs[..1], 0.0), Err(Misfit::TooFew));
    assert_eq!(WorldFit::of(&[], 0.0), Err(Misfit::TooFew));
}

#[test]
fn cameras_at_one_place_give_no_unit() {
    let turned = |index: i32| Isometry3::rotation(Vector3::new(0.0, 0.3 * f64::from(index), 0.0));
    let resting: Vec<_> = (0..6).map(turned).collect();
    assert_eq!(WorldFit::of(&known(&resting), 0.0), Err(Misfit::OnePlace));
    let mut close = known(&path(6));
    assert_eq!(WorldFit::of(&close, 20.0), Err(Misfit::OnePlace));
    // Their clients say that they may be anywhere on the path.
    for pair in &mut close {
        pair.deviations.position = Some(50.0);
    }
    assert_eq!(WorldFit::of(&close, 0.0), Err(Misfit::OnePlace));
    // All known cameras at one place, which the result denies.
    let mut denied = known(&path(6));
    for pair in &mut denied {
        pair.known.translation.vector = Vector3::new(1.0, 2.0, 3.0);
    }
    assert!(WorldFit::of(&denied, 0.0).is_err());
}

#[test]
fn other_conventions_are_refused() {
    // The camera to the world in place of the world to the camera.
    let inverse = |pair: &AnchorPair| pair.known.inverse();
    // The axes of OpenGL: x right, y up, z backward.
    let half_turn = UnitQuaternion::from_axis_angle(&Vector3::x_axis(), std::f64::consts::PI);
    let of_opengl = |pair: &AnchorPair| {
        let rotation = pair.known.rotation * half_turn;
        Isometry3::from_parts(pair.known.translation, rotation)
    };
    // A world with one axis mirrored.
    let mirrored = |pair: &AnchorPair| {
        let mirror = Matrix3::from_diagonal(&Vector3::new(1.0, -1.0, 1.0));
        let rotation = mirror * pair.known.rotation.to_rotation_matrix().matrix() * mirror;
        let rotation = Rotation3::from_matrix_unchecked(rotation);
        let centre = mirror * pair.known.translation.vector;
        Isometry3::from_parts(
            centre.into(),
            UnitQuaternion::from_rotation_matrix(&rotation),
        )
    };
    type Convention<'a> = &'a dyn Fn(&AnchorPair) -> Isometry3<f64>;
    let conventions: [(&str, Convention); 3] = [
        ("inverse", &inverse),
        ("axes", &of_opengl),
        ("mirror", &mirrored),
    ];
    for (name, convention) in conventions {
        let mut pairs = known(&path(20));
        for pair in &mut pairs {
            pair.known = convention(pair);
        }
        assert_eq!(
            WorldFit::of(&pairs, 0.0),
            Err(Misfit::Contradictory),
            "{name}"
        );
    }
}

#[test]
fn a_majority_of_wrong_cameras_is_refused() {
    let mut pairs = known(&path(20));
    let mut random = Random::new(8);
    for pair in pairs.iter_mut().take(11) {
        pair.known = Isometry3::new(random.vector(100.0), random.vector(2.0));
    }
    assert_eq!(WorldFit::of(&pairs, 0.0), Err(Misfit::Contradictory));
}

use nalgebra::Isometry3;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::model::CameraDeviations;

/// Frames of a walk about 14 long.
const FRAMES: u64 = 71;

struct Random(Xoshiro256PlusPlus);

impl Random {
    /// About normal: a sum of uniform numbers.
    fn vector(&mut self, deviation: f64) -> Vector3<f64> {
        let mut uniform = || (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        Vector3::from_fn(|_, _| deviation * ((0..12).map(|_| uniform()).sum::<f64>() - 6.0))
    }
}

fn true_pose(number: u64) -> Isometry3<f64> {
    let along = number as f64 / 10.0;
    let centre = Vector3::new(2.0 * along, (along).sin(), 0.0);
    Isometry3::new(centre, Vector3::new(0.0, 0.4 * along.cos(), 0.0))
}

/// Where the map has it: it bends by 6 degrees and shrinks by 6 % to its end.
fn drifted(number: u64) -> Isometry3<f64> {
    let mut pose = true_pose(0);
    for step in 1..=number {
        let share = step as f64 / FRAMES as f64;
        let bend = UnitQuaternion::from_euler_angles(0.0, 0.1 * share, 0.0);
        let moved = true_pose(step).translation.vector - true_pose(step - 1).translation.vector;
        pose.translation.vector += bend * moved * (1.0 - 0.06 * share);
        pose.rotation = bend * true_pose(step).rotation;
    }
    pose
}

fn anchors(every: usize, noise: f64, degrees: f64, seed: u64) -> Vec<(u64, AnchorPair)> {
    let mut random = Random(Xoshiro256PlusPlus::seed_from_u64(seed));
    let numbers = (0..FRAMES).step_by(every);
    numbers
        .map(|number| {
            let mut known = true_pose(number);
            known.translation.vector += random.vector(noise);
            let turn = UnitQuaternion::from_scaled_axis(random.vector(degrees.to_radians()));
            known.rotation = turn * known.rotation;
            let pair = AnchorPair {
                found: drifted(number),
                known,
                deviations: CameraDeviations::default(),
            };
            (number, pair)
        })
        .collect()
}

/// Mean distances from the true positions, of the map and after the movements.
fn errors(movements: &[(u64, Movement)]) -> (f64, f64) {
    let count = movements.len() as f64;
    let before = movements.iter().map(|(number, _)| {
        (drifted(*number).translation.vector - true_pose(*number).translation.vector).norm()
    });
    let after = movements.iter().map(|(number, movement)| {
        (movement.centre.coords - true_pose(*number).translation.vector).norm()
    });
    (before.sum::<f64>() / count, after.sum::<f64>() / count)
}

#[test]
fn exact_cameras_take_the_drift_away() {
    let drift = Drift::of(&anchors(5, 0.0, 0.0, 1)).expect("enough cameras");
    let movements = drift.significant().expect("it is significant");
    let (before, after) = errors(&movements);
    assert!(before > 0.2 && after < 0.05 * before, "{before} {after}");
    let (_, last) = &movements[movements.len() - 1];
    let turn = (last.turn * drifted(70).rotation).angle_to(&true_pose(70).rotation);
    assert!(turn < 0.01, "{turn}");
    // Depths follow: the map has shrunk there.
    assert!((last.factor - 1.0 / 0.94).abs() < 0.03, "{}", last.factor);
    let (_, first) = &movements[0];
    assert!((first.factor - 1.0).abs() < 0.03, "{}", first.factor);
}

#[test]
fn noise_of_the_cameras_does_not_get_into_the_map() {
    let noise = 0.14;
    let drift = Drift::of(&anchors(1, noise, 1.0, 2)).expect("enough cameras");
    let movements = drift.significant().expect("it is significant");
    let (before, after) = errors(&movements);
    // The mean length of the noise itself is 1.6 deviations.
    assert!(
        after < 0.5 * 1.6 * noise && after < 0.5 * before,
        "{before} {after}"
    );
}

#[test]
fn a_map_within_the_uncertainty_stays() {
    let mut pairs = anchors(5, 0.05, 0.5, 3);
    for (number, pair) in &mut pairs {
        pair.found = true_pose(*number);
        pair.deviations = CameraDeviations {
            position: Some(0.05),
            rotation: Some(0.5),
        };
    }
    let drift = Drift::of(&pairs).expect("enough cameras");
    assert!(drift.significant().is_none());
    // What the client says counts: the same deviations matter if it is sure.
    for (_, pair) in &mut pairs {
        pair.deviations.position = Some(0.001);
    }
    let drift = Drift::of(&pairs).expect("enough cameras");
    assert!(drift.significant().is_some());
}

#[test]
fn a_wrong_camera_changes_nothing() {
    let right = anchors(5, 0.02, 0.2, 4);
    let mut spoiled = right.clone();
    let (number, pair) = &mut spoiled[6];
    pair.known.translation.vector += Vector3::new(0.0, 9.0, 4.0);
    let wrong = *number;
    let [right, spoiled] = [right, spoiled].map(|pairs| {
        let drift = Drift::of(&pairs).expect("enough cameras");
        drift.significant().expect("it is significant")
    });
    assert!(spoiled.iter().all(|(number, _)| *number != wrong));
    for (number, movement) in &spoiled {
        let (_, same) = right.iter().find(|(other, _)| other == number).expect("it");
        let apart = nalgebra::distance(&movement.centre, &same.centre);
        assert!(apart < 0.05, "{number}: {apart}");
    }
}

#[test]
fn cameras_that_would_tear_the_map_move_nothing() {
    let mut pairs = anchors(5, 0.0, 0.0, 5);
    // The client's world is another one again and again, as after each loss of tracking.
    for (index, (_, pair)) in pairs.iter_mut().enumerate() {
        let part = (index / 5) as f64;
        pair.known.translation.vector += Vector3::new(0.0, 8.0 * part, -5.0 * part * part);
    }
    let drift = Drift::of(&pairs).expect("enough cameras");
    assert!(drift.significant().is_none());
    assert!(Drift::of(&pairs[..2]).is_none(), "two are too few");
}

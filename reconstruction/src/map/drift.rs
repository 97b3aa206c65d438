//! How far a map has drifted from the known cameras of its frames.
//!
//! The frames are a chain in the order of their numbers. Each known camera says where its frame belongs,
//! up to its own error; the map says how each lies to the one before, up to what it drifts in between.
//! Rotations, scales and positions that fit both best follow one after another, as in a join: each is a
//! sum of weighted squares over a chain, and so a linear system with three diagonals. So the noise of the
//! known cameras does not get into the map, and the drift of the map goes out of it.

use nalgebra::{Isometry3, Point3, Similarity3, UnitQuaternion, Vector3};

use super::chain::{Chain, Said, Step};
use super::correction::FrameCorrection;
use super::noise::{POSITION, ROTATION, off_neighbours};
use crate::anchors::{AnchorPair, reach};
use crate::cloud::View;

/// Fewer known cameras do not correct a map.
const LEAST: usize = 3;
/// A known camera is plainly wrong if it is off from its neighbours by more than so many deviations,
const WRONG_DEVIATIONS: f64 = 6.0;
/// and by more than this share of the path,
const WRONG_SHIFT: f64 = 0.05;
/// or this angle in radians: 8 degrees.
const WRONG_TURN: f64 = 0.14;
/// How much a map turns from one frame to the next, in radians: it adds up like a random walk.
const TURN_PER_FRAME: f64 = 0.0025;
/// The same of the logarithm of its scale.
const SCALE_PER_FRAME: f64 = 0.0015;
/// Deviation of the logarithm of the scale of a part, as all of the map was fitted before. Without it the
/// noise of positions would change depths, which the model knows better.
const SCALE_OF_PART: f64 = 0.05;
/// Share of the distance between two frames that a map is wrong by,
const SHIFT_PER_DISTANCE: f64 = 0.02;
/// and share of the path, from one frame to the next.
const SHIFT_PER_FRAME: f64 = 0.001;
/// Relative deviation of the distance between two known cameras that says enough about the scale,
const SCALE_DEVIATION: f64 = 0.03;
/// and of the first and the last one.
const WIDEST_SCALE_DEVIATION: f64 = 0.3;
/// Deviations by which a frame must move, so that a correction is worth while.
const SIGNIFICANT: f64 = 2.0;
/// Deviations that most known cameras may be off after a correction: otherwise they contradict each other.
const AGREEING: f64 = 4.0;
/// Deviations by which all of the map must be off, so that it moves.
const FELT: f64 = 0.5;
/// A correction tears the map if it changes the distance of neighbours by more than this share of it,
const MOST_STRETCH: f64 = 0.15;
/// and this share of the path,
const MOST_TEAR: f64 = 0.02;
/// or their scale by more than this, as a logarithm,
const MOST_SCALING: f64 = 0.15;
/// or turns them by more than this, in radians: 15 degrees.
const MOST_BEND: f64 = 0.26;

/// Known cameras of the frames of a map, by ascending numbers, without those that are plainly wrong.
pub(super) struct Drift {
    anchors: Vec<Anchor>,
    /// Size of their path.
    reach: f64,
}

struct Anchor {
    number: u64,
    pair: AnchorPair,
    /// Of the known position and rotation: standard deviations along and about each axis.
    position: f64,
    rotation: f64,
}

/// How a frame moves in the world.
pub(super) struct Movement {
    turn: UnitQuaternion<f64>,
    factor: f64,
    centre: Point3<f64>,
}

impl Movement {
    /// The correction of a frame that has moved with all of the map before.
    pub fn correction(&self, view: &View, all: &Similarity3<f64>) -> FrameCorrection {
        let moved = FrameCorrection::of_all(view, all);
        let rotation = self.turn * moved.camera_to_world.rotation;
        FrameCorrection {
            camera_to_world: Isometry3::from_parts(self.centre.into(), rotation),
            depth_factor: moved.depth_factor * self.factor,
            ..moved
        }
    }
}

impl Anchor {
    /// From the position in the map to the known one.
    fn shift(&self) -> Vector3<f64> {
        self.pair.known_centre() - self.pair.found_centre()
    }

    /// From the rotation in the map to the known one.
    fn turn(&self) -> Vector3<f64> {
        let turn = self.pair.known.rotation * self.pair.found.rotation.inverse();
        turn.scaled_axis()
    }
}

impl Drift {
    /// `None` if there are too few known cameras.
    pub fn of(pairs: &[(u64, AnchorPair)]) -> Option<Self> {
        let mut all = Self::with_all(pairs)?;
        let off = |part: fn(&Anchor) -> Vector3<f64>| {
            let anchors = all.anchors.iter();
            let values = anchors.map(|anchor| (anchor.number as f64, part(anchor)));
            off_neighbours(&values.collect::<Vec<_>>())
        };
        let (shifts, turns) = (off(Anchor::shift), off(Anchor::turn));
        let mut off = shifts.into_iter().zip(turns);
        let reach = all.reach;
        all.anchors.retain(|anchor| {
            let (shift, turn) = off.next().unwrap_or_default();
            let most_shift = (WRONG_DEVIATIONS * anchor.position).max(WRONG_SHIFT * reach);
            let most_turn = (WRONG_DEVIATIONS * anchor.rotation).max(WRONG_TURN);
            shift <= most_shift && turn <= most_turn
        });
        (all.anchors.len() >= LEAST).then_some(all)
    }

    /// Also with those that are plainly wrong.
    fn with_all(pairs: &[(u64, AnchorPair)]) -> Option<Self> {
        let centres: Vec<_> = pairs.iter().map(|(_, pair)| pair.found_centre()).collect();
        let reach = reach(&centres);
        if pairs.len() < LEAST || !reach.is_normal() {
            return None;
        }
        let mut anchors: Vec<Anchor> = pairs
            .iter()
            .map(|(number, pair)| Anchor {
                number: *number,
                pair: *pair,
                position: 0.0,
                rotation: 0.0,
            })
            .collect();
        let shifts: Vec<_> = anchors.iter().map(Anchor::shift).collect();
        let turns: Vec<_> = anchors.iter().map(Anchor::turn).collect();
        let position = POSITION.deviation(&shifts, reach);
        let rotation = ROTATION.deviation(&turns, 1.0);
        for anchor in &mut anchors {
            let given = anchor.pair.deviations;
            anchor.position = given.position.unwrap_or(position);
            anchor.rotation = given.rotation.map_or(rotation, f64::to_radians);
        }
        Some(Self { anchors, reach })
    }

    /// Whether a movement of all frames is more than a small part of what the known cameras may be off.
    pub fn is_felt(pairs: &[(u64, AnchorPair)], by: &Similarity3<f64>) -> bool {
        let all = Self::with_all(pairs);
        all.is_some_and(|all| {
            all.anchors.iter().any(|anchor| {
                let found = anchor.pair.found_centre();
                let shift = nalgebra::distance(&(by * found), &found);
                let turn = by.isometry.rotation.angle();
                shift > FELT * anchor.position || turn > FELT * anchor.rotation
            })
        })
    }

    /// How the frames move, by their numbers. `None` if that is within what the known cameras may be off,
    /// or if it tears the map: then they contradict each other.
    pub fn significant(&self) -> Option<Vec<(u64, Movement)>> {
        let turns = self.turns()?;
        let scales = self.scales()?;
        let centres = self.centres(&turns, &scales)?;
        let moved = self.anchors.iter().zip(&turns).zip(&centres);
        let significance = moved.map(|((anchor, turn), centre)| {
            let shift = nalgebra::distance(centre, &anchor.pair.found_centre());
            (shift / anchor.position).max(turn.norm() / anchor.rotation)
        });
        let most = significance.fold(0.0, f64::max);
        let agreeing = self
            .anchors
            .iter()
            .zip(&centres)
            .filter(|(anchor, centre)| {
                let off = nalgebra::distance(centre, &anchor.pair.known_centre());
                off <= AGREEING * anchor.position
            });
        let contradict = 2 * agreeing.count() <= self.anchors.len();
        if most < SIGNIFICANT || contradict || self.tears(&turns, &scales, &centres) {
            return None;
        }
        let moved = self.anchors.iter().zip(turns).zip(scales).zip(centres);
        let movements = moved.map(|(((anchor, turn), scale), centre)| {
            let movement = Movement {
                turn: UnitQuaternion::from_scaled_axis(turn),
                factor: scale.exp(),
                centre,
            };
            (anchor.number, movement)
        });
        Some(movements.collect())
    }

    /// Frames from each anchor to the next.
    fn gaps(&self) -> impl Iterator<Item = f64> {
        let pairs = self.anchors.windows(2);
        pairs.map(|pair| (pair[1].number - pair[0].number) as f64)
    }

    fn turns(&self) -> Option<Vec<Vector3<f64>>> {
        let said = self.anchors.iter().map(|anchor| Said {
            value: anchor.turn(),
            deviation: anchor.rotation,
        });
        let steps = self.gaps().map(|gap| Step {
            value: Vector3::zeros(),
            deviation: TURN_PER_FRAME * gap.sqrt(),
        });
        Chain::new(said, steps).solve()
    }

    /// Logarithms of the scales.
    fn scales(&self) -> Option<Vec<f64>> {
        let said: Vec<Said> = (0..self.anchors.len())
            .map(|index| self.scale_at(index))
            .collect();
        let steps = self.gaps().map(|gap| Step {
            value: Vector3::zeros(),
            deviation: SCALE_PER_FRAME * gap.sqrt(),
        });
        let solved = Chain::new(said.into_iter(), steps).solve()?;
        Some(solved.into_iter().map(|scale| scale.x).collect())
    }

    /// What the known cameras around one say about the scale there: the ratio of the distances between
    /// the nearest two, one before and one after, that are far enough apart.
    fn scale_at(&self, index: usize) -> Said {
        let last = self.anchors.len() - 1;
        let (mut begin, mut end) = (index, index);
        while begin > 0 || end < last {
            (begin, end) = (begin.saturating_sub(1), (end + 1).min(last));
            let (one, other) = (&self.anchors[begin], &self.anchors[end]);
            let known = nalgebra::distance(&one.pair.known_centre(), &other.pair.known_centre());
            let found = nalgebra::distance(&one.pair.found_centre(), &other.pair.found_centre());
            let deviation = one.position.hypot(other.position) / known;
            let scale = (known / found).ln();
            let is_widest = begin == 0 && end == last;
            let most = match is_widest {
                true => WIDEST_SCALE_DEVIATION,
                false => SCALE_DEVIATION,
            };
            if deviation <= most && scale.is_finite() {
                // The anchors in between say the same by the same two.
                let deviation = deviation.max(SCALE_PER_FRAME) * ((end - begin) as f64).sqrt();
                let [said, of_part] =
                    [deviation, SCALE_OF_PART].map(|deviation| deviation.powi(-2));
                return Said {
                    value: Vector3::new(scale * said / (said + of_part), 0.0, 0.0),
                    deviation: (said + of_part).sqrt().recip(),
                };
            }
        }
        Said {
            value: Vector3::zeros(),
            deviation: SCALE_OF_PART,
        }
    }

    /// How each anchor lies to the one before in the map, with their turns and scales.
    fn steps(&self, turns: &[Vector3<f64>], scales: &[f64]) -> Vec<Vector3<f64>> {
        let pairs = self.anchors.windows(2).enumerate();
        let step = |(index, pair): (usize, &[Anchor])| {
            let step = pair[1].pair.found_centre() - pair[0].pair.found_centre();
            let turn = (turns[index] + turns[index + 1]) / 2.0;
            let scale = (scales[index] + scales[index + 1]) / 2.0;
            UnitQuaternion::from_scaled_axis(turn) * step * scale.exp()
        };
        pairs.map(step).collect()
    }

    fn centres(&self, turns: &[Vector3<f64>], scales: &[f64]) -> Option<Vec<Point3<f64>>> {
        let said = self.anchors.iter().map(|anchor| Said {
            value: anchor.pair.known_centre().coords,
            deviation: anchor.position,
        });
        let steps = self.steps(turns, scales).into_iter().zip(self.gaps());
        let steps = steps.map(|(step, gap)| Step {
            value: step,
            deviation: (SHIFT_PER_DISTANCE * step.norm())
                .hypot(SHIFT_PER_FRAME * gap.sqrt() * self.reach),
        });
        let solved = Chain::new(said, steps).solve()?;
        Some(solved.into_iter().map(Point3::from).collect())
    }

    fn tears(&self, turns: &[Vector3<f64>], scales: &[f64], centres: &[Point3<f64>]) -> bool {
        let bends = turns
            .windows(2)
            .any(|pair| (pair[1] - pair[0]).norm() > MOST_BEND);
        let scaling = |pair: &[f64]| (pair[1] - pair[0]).abs() > MOST_SCALING;
        let stretches = self
            .steps(turns, scales)
            .into_iter()
            .zip(centres.windows(2));
        bends
            || scales.windows(2).any(scaling)
            || stretches.into_iter().any(|(step, pair)| {
                let off = (pair[1] - pair[0] - step).norm();
                off > MOST_STRETCH * step.norm() + MOST_TEAR * self.reach
            })
    }
}

#[cfg(test)]
mod tests;

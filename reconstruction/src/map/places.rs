//! Which frames may show the same place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Steps of a number in a [`PlaceVector`], up to its largest one.
const STEPS: f32 = 127.0;

/// A model's vector of a frame: the scalar product of two is high if the frames show the same place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaceVector {
    numbers: Vec<i8>,
    /// Length of the vector of `numbers`.
    length: f32,
}

impl PlaceVector {
    /// Rounds a vector to 8 bits per number, or `None` if it has no direction.
    pub fn new(vector: &[f32]) -> Option<Self> {
        let largest = vector
            .iter()
            .fold(0.0_f32, |most, number| most.max(number.abs()));
        if !(largest.is_normal() && vector.iter().all(|number| number.is_finite())) {
            return None;
        }
        let numbers: Vec<i8> = vector
            .iter()
            .map(|number| (number / largest * STEPS).round() as i8)
            .collect();
        let length = (dot(&numbers, &numbers) as f32).sqrt();
        Some(Self { numbers, length })
    }

    /// The cosine of the angle between two vectors; 0 for vectors of different models.
    pub fn similarity(&self, other: &Self) -> f32 {
        if self.numbers.len() != other.numbers.len() {
            return 0.0;
        }
        dot(&self.numbers, &other.numbers) as f32 / (self.length * other.length)
    }
}

/// The scalar product. At most 2^16 numbers of 2^14 each stay below 2^31.
fn dot(one: &[i8], other: &[i8]) -> i64 {
    let chunks = one.chunks(1 << 16).zip(other.chunks(1 << 16));
    chunks
        .map(|(one, other)| {
            let products = one.iter().zip(other);
            let sum: i32 = products.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
            i64::from(sum)
        })
        .sum()
}

/// The vectors of frames, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Places(BTreeMap<u64, PlaceVector>);

impl Places {
    /// Adds the vector of a frame.
    pub fn insert(&mut self, number: u64, place: PlaceVector) {
        self.0.insert(number, place);
    }

    /// Whether the vector of a frame is known.
    pub fn contains(&self, number: u64) -> bool {
        self.0.contains_key(&number)
    }

    /// The similarity of a frame with each of others; none if the vector of the frame is not known,
    /// and none of those others whose vector is not.
    pub fn similarities(&self, number: u64, others: impl Iterator<Item = u64>) -> Vec<(u64, f32)> {
        let Some(place) = self.0.get(&number) else {
            return Vec::new();
        };
        let known = others.filter_map(|other| Some((other, self.0.get(&other)?)));
        known
            .map(|(other, vector)| (other, place.similarity(vector)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_is_the_cosine() {
        let vector = |numbers: &[f32]| PlaceVector::new(numbers).expect("it has a direction");
        let one = vector(&[0.6, 0.8, 0.0]);
        assert!((one.similarity(&one) - 1.0).abs() < 1e-6);
        assert!((one.similarity(&vector(&[6.0, 8.0, 0.0])) - 1.0).abs() < 0.01);
        assert!(one.similarity(&vector(&[0.0, 0.0, 2.0])).abs() < 1e-6);
        assert!((one.similarity(&vector(&[1.0, 0.0, 0.0])) - 0.6).abs() < 0.01);
        assert_eq!(one.similarity(&vector(&[1.0])), 0.0);
    }

    #[test]
    fn vectors_without_a_direction_are_none() {
        for numbers in [&[][..], &[0.0, 0.0], &[f32::NAN, 1.0], &[f32::INFINITY]] {
            assert_eq!(PlaceVector::new(numbers), None);
        }
    }

    #[test]
    fn unknown_frames_have_no_similarity() {
        let mut places = Places::default();
        places.insert(1, PlaceVector::new(&[1.0, 0.0]).expect("a direction"));
        places.insert(2, PlaceVector::new(&[0.0, 1.0]).expect("a direction"));
        assert_eq!(places.similarities(1, [2, 3].into_iter()), [(2, 0.0)]);
        assert!(places.similarities(3, [1, 2].into_iter()).is_empty());
    }
}

//! Values along a chain that fit best what is said about each and about the steps between them.

use nalgebra::Vector3;

/// Times that the weights follow what is still off.
const ROUNDS: usize = 6;
/// Deviations from which on what is said loses weight.
const DOUBTFUL: f64 = 4.0;

/// What is said about a value, with its standard deviation along each axis.
pub(super) struct Said {
    pub value: Vector3<f64>,
    pub deviation: f64,
}

/// The difference between a value and the one before.
pub(super) struct Step {
    pub value: Vector3<f64>,
    pub deviation: f64,
}

pub(super) struct Chain {
    said: Vec<Said>,
    /// One fewer.
    steps: Vec<Step>,
}

impl Chain {
    pub fn new(said: impl Iterator<Item = Said>, steps: impl Iterator<Item = Step>) -> Self {
        Self {
            said: said.collect(),
            steps: steps.collect(),
        }
    }

    /// The values. What is said and stays far off loses its weight (iteratively reweighted least squares
    /// with the weights of Geman and McClure). `None` if the numbers are not finite.
    pub fn solve(&self) -> Option<Vec<Vector3<f64>>> {
        let mut weights: Vec<f64> = self
            .said
            .iter()
            .map(|said| weight(said.deviation))
            .collect();
        let mut values = self.solve_once(&weights)?;
        for _ in 1..ROUNDS {
            for ((weight_now, said), value) in weights.iter_mut().zip(&self.said).zip(&values) {
                let off = (value - said.value).norm() / (DOUBTFUL * said.deviation);
                *weight_now = weight(said.deviation) / (1.0 + off * off).powi(2);
            }
            values = self.solve_once(&weights)?;
        }
        Some(values)
    }

    /// Solves the system with three diagonals from the first row to the last and back.
    fn solve_once(&self, weights: &[f64]) -> Option<Vec<Vector3<f64>>> {
        let links: Vec<f64> = self
            .steps
            .iter()
            .map(|step| weight(step.deviation))
            .collect();
        let mut rows: Vec<(f64, Vector3<f64>)> = Vec::with_capacity(self.said.len());
        for (index, (said, said_weight)) in self.said.iter().zip(weights).enumerate() {
            let mut diagonal = *said_weight;
            let mut right = said.value * diagonal;
            if let (Some(link), Some(step)) = (links.get(index), self.steps.get(index)) {
                diagonal += link;
                right -= step.value * *link;
            }
            if let Some((before_diagonal, before_right)) = rows.last() {
                let link = links[index - 1];
                diagonal += link - link * link / before_diagonal;
                right +=
                    self.steps[index - 1].value * link + before_right * (link / before_diagonal);
            }
            rows.push((diagonal, right));
        }
        let mut values: Vec<Vector3<f64>> = Vec::with_capacity(rows.len());
        for (index, (diagonal, right)) in rows.iter().enumerate().rev() {
            let after = values.last().map(|after| after * links[index]);
            values.push((right + after.unwrap_or_else(Vector3::zeros)) / *diagonal);
        }
        values.reverse();
        let mut numbers = values.iter().flat_map(|value| value.iter());
        numbers.all(|number| number.is_finite()).then_some(values)
    }
}

fn weight(deviation: f64) -> f64 {
    deviation.powi(-2)
}

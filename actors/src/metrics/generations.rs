//! Counts and durations of generations.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use pointstream_reconstruction::quality::Verdict;
use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, Registry,
    register_histogram_vec_with_registry, register_histogram_with_registry,
    register_int_counter_vec_with_registry,
};
use strum::{IntoStaticStr, VariantArray};

use crate::answer::{AnswerKind, Timings};

/// Upper bounds of the buckets in seconds: from a frame read from the cache to half an hour of a
/// large model on a CPU.
const SECONDS: [f64; 17] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0,
    1800.0,
];
/// Upper bounds of the buckets of frames.
const FRAMES: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
/// Generations whose times are remembered.
const REMEMBERED: usize = 100;

/// How a generation ended.
#[derive(Debug, Clone, Copy, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum Outcome {
    Succeeded,
    Failed,
    Cancelled,
}

/// Counts generations and their time.
#[derive(Debug)]
pub(crate) struct GenerationMetrics {
    ended: IntCounterVec,
    results: IntCounterVec,
    stages: HistogramVec,
    total: Histogram,
    frames: Histogram,
    recent: Mutex<VecDeque<Timings>>,
}

/// Counts by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    pub succeeded: u64,
    pub failed: u64,
    pub cancelled: u64,
}

impl GenerationMetrics {
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let ended = register_int_counter_vec_with_registry!(
            "pointstream_generations_total",
            "Generations by kind of the answer (delta, complete) and outcome.",
            &["kind", "outcome"],
            registry
        )?;
        let stages = register_histogram_vec_with_registry!(
            "pointstream_generation_stage_duration_seconds",
            "Time of generations with an answer in each of their stages.",
            &["stage"],
            SECONDS.to_vec(),
            registry
        )?;
        let results = register_int_counter_vec_with_registry!(
            "pointstream_results_total",
            "Results by the verdict on their quality (good, partial, failed).",
            &["verdict"],
            registry
        )?;
        for verdict in Verdict::VARIANTS {
            results.with_label_values(&[verdict.wire_name()]);
        }
        for kind in AnswerKind::VARIANTS {
            for outcome in Outcome::VARIANTS {
                ended.with_label_values(&labels(*kind, *outcome));
            }
        }
        for (stage, _) in stages_of(&Timings::default()) {
            stages.with_label_values(&[stage]);
        }
        Ok(Self {
            ended,
            results,
            stages,
            total: register_histogram_with_registry!(
                "pointstream_generation_duration_seconds",
                "Time of generations with an answer from the request to the answer.",
                SECONDS.to_vec(),
                registry
            )?,
            frames: register_histogram_with_registry!(
                "pointstream_generation_frames",
                "Frames of generations with an answer.",
                FRAMES.to_vec(),
                registry
            )?,
            recent: Mutex::new(VecDeque::with_capacity(REMEMBERED)),
        })
    }

    /// Counts a generation with a result. It has failed if the result has no points.
    pub fn answered(&self, kind: AnswerKind, frames: usize, timings: &Timings, verdict: Verdict) {
        let outcome = match verdict {
            Verdict::Good | Verdict::Partial => Outcome::Succeeded,
            Verdict::Failed => Outcome::Failed,
        };
        self.ended(kind, outcome).inc();
        self.results.with_label_values(&[verdict.wire_name()]).inc();
        for (stage, seconds) in stages_of(timings) {
            self.stages.with_label_values(&[stage]).observe(seconds);
        }
        self.total.observe(timings.total);
        self.frames.observe(frames as f64);
        // Every change leaves a valid ring, so a poisoned lock is usable.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(*timings);
    }

    /// Counts a generation that ended with an error.
    pub fn failed(&self, kind: AnswerKind) {
        self.ended(kind, Outcome::Failed).inc();
    }

    /// Counts a generation that was cancelled because its session ended.
    pub fn cancelled(&self, kind: AnswerKind) {
        self.ended(kind, Outcome::Cancelled).inc();
    }

    fn ended(&self, kind: AnswerKind, outcome: Outcome) -> IntCounter {
        self.ended.with_label_values(&labels(kind, outcome))
    }

    pub fn outcomes(&self) -> Outcomes {
        let sum = |outcome| {
            AnswerKind::VARIANTS
                .iter()
                .map(|kind| self.ended(*kind, outcome).get())
                .sum()
        };
        Outcomes {
            succeeded: sum(Outcome::Succeeded),
            failed: sum(Outcome::Failed),
            cancelled: sum(Outcome::Cancelled),
        }
    }

    pub fn latencies(&self) -> StageLatencies {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let timings: Vec<Timings> = recent.iter().copied().collect();
        drop(recent);
        let names = stages_of(&Timings::default()).map(|(name, _)| name);
        let stages = names.into_iter().enumerate().filter_map(|(index, name)| {
            let seconds = timings.iter().map(|one| stages_of(one)[index].1);
            Some((name, Quantiles::of(seconds)?))
        });
        let total = Quantiles::of(timings.iter().map(|one| one.total));
        StageLatencies {
            generations: timings.len(),
            stages: stages
                .chain(total.map(|quantiles| ("total", quantiles)))
                .collect(),
        }
    }
}

/// Durations of the stages of the last generations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageLatencies {
    /// Number of generations measured.
    pub generations: usize,
    /// Each stage in its order, then `total`; empty without a generation.
    pub stages: Vec<(&'static str, Quantiles)>,
}

/// Quantiles in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
}

impl Quantiles {
    /// By the nearest rank, so that each quantile is a measured value. None without values.
    fn of(seconds: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = seconds.collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).copied()
        };
        Some(Self {
            p50: rank(50)?,
            p95: rank(95)?,
        })
    }
}

/// The stages that make up the total.
fn stages_of(timings: &Timings) -> [(&'static str, f64); 7] {
    [
        ("queued", timings.queued),
        ("frames", timings.frames),
        ("encode", timings.encode),
        ("model", timings.model),
        ("cloud", timings.cloud),
        ("glb", timings.glb),
        ("store", timings.store),
    ]
}

fn labels(kind: AnswerKind, outcome: Outcome) -> [&'static str; 2] {
    [kind.into(), outcome.into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_measured_values() {
        assert_eq!(Quantiles::of(std::iter::empty()), None);
        let one = Quantiles::of([3.0].into_iter()).expect("one");
        assert_eq!((one.p50, one.p95), (3.0, 3.0));
        let hundred = Quantiles::of((1..=100).rev().map(f64::from)).expect("a hundred");
        assert_eq!((hundred.p50, hundred.p95), (50.0, 95.0));
        let four = Quantiles::of([4.0, 1.0, 2.0, 3.0].into_iter()).expect("four");
        assert_eq!((four.p50, four.p95), (2.0, 4.0));
    }

    #[test]
    fn the_oldest_generation_is_forgotten() {
        let metrics = GenerationMetrics::new(&Registry::new()).expect("valid metrics");
        assert_eq!(metrics.latencies(), StageLatencies::default());
        for total in 0..150 {
            let timings = Timings {
                total: f64::from(total),
                ..Timings::default()
            };
            metrics.answered(AnswerKind::Delta, 3, &timings, Verdict::Partial);
        }
        metrics.failed(AnswerKind::Complete);
        let latencies = metrics.latencies();
        assert_eq!(latencies.generations, 100);
        let names: Vec<_> = latencies.stages.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "queued", "frames", "encode", "model", "cloud", "glb", "store", "total"
            ]
        );
        assert_eq!(latencies.stages[7].1.p50, 99.0);
        let outcomes = metrics.outcomes();
        assert_eq!((outcomes.succeeded, outcomes.failed), (150, 1));
    }

    #[test]
    fn a_result_that_failed_is_no_success() {
        let metrics = GenerationMetrics::new(&Registry::new()).expect("valid metrics");
        for verdict in Verdict::VARIANTS {
            metrics.answered(AnswerKind::Complete, 3, &Timings::default(), *verdict);
        }
        let outcomes = metrics.outcomes();
        assert_eq!((outcomes.succeeded, outcomes.failed), (2, 1));
        assert_eq!(metrics.latencies().generations, 3);
    }
}

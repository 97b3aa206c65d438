//! Measures the way from a prediction to a GLB file on eight frames of 504 x 378 pixels:
//!
//! `cargo run --release -p pointstream-reconstruction --example cloud_timing`

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{HEIGHT, WIDTH, predict};
use nalgebra::{Similarity3, Vector3};
use pointstream_reconstruction::cloud::{CloudOptions, PointFilters, build_scene};
use pointstream_reconstruction::export::glb::{GlbCompression, write_glb};

const RUNS: usize = 7;

/// 504 x 378 pixels.
const SIZE: (usize, usize) = (6 * WIDTH, 6 * HEIGHT);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ids: Vec<u64> = (0..8).collect();
    let other_world = Similarity3::new(Vector3::x(), Vector3::y(), 3.0);
    let synthetic = predict(&ids, SIZE, &Similarity3::identity());
    let later = predict(&ids, SIZE, &other_world);
    for num_max_points in [100_000, 1_000_000, 10_000_000] {
        let options = CloudOptions {
            conf_thresh_percentile: 10.0,
            num_max_points,
            show_cameras: true,
            filters: PointFilters::OFF,
        };
        let first = || build_scene(&synthetic.prediction, &synthetic.frames(), None, &options);
        let (scene, world) = first()?;
        let align =
            || build_scene(&later.prediction, &later.frames(), Some(&world), &options).map(drop);
        let glb = write_glb(&scene, GlbCompression::None)?;
        println!(
            "{} points: first scene {:.1} ms, later scene {:.1} ms, glb of {:.1} MB {:.1} ms",
            scene.points.len(),
            median_ms(|| first().map(drop))?,
            median_ms(align)?,
            glb.len() as f64 / 1e6,
            median_ms(|| write_glb(&scene, GlbCompression::None).map(drop))?,
        );
    }
    Ok(())
}

/// Median time of several runs.
fn median_ms<E>(mut work: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut times = [Duration::ZERO; RUNS];
    for time in &mut times {
        let start = Instant::now();
        work()?;
        *time = start.elapsed();
    }
    times.sort();
    Ok(times[RUNS / 2].as_secs_f64() * 1e3)
}

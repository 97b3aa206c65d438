//! Measures the time from a prediction to a GLB file for eight frames of 504 x 378 pixels: the
//! eight photos of the sample scene on a synthetic surface.
//!
//! `cargo run --release -p pointstream-reconstruction --example cloud_timing`

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{SIZE, Synthetic, predict, predict_distorted};
use nalgebra::{Similarity3, Vector3};
use pointstream_reconstruction::cloud::{CloudOptions, PointFilters, VoxelSize, build_scene};
use pointstream_reconstruction::formats::glb::{GlbCompression, write_glb};
use pointstream_reconstruction::geometry::Distortion;
use pointstream_reconstruction::image::{DecodeLimits, ProcessResMethod, decode, preprocess};
use strum::VariantArray;

const RUNS: usize = 7;

/// Sides of the frames, as a multiple of those of the synthetic scene: 504 x 378 pixels.
const SCALE: f64 = 6.0;

/// Divides both sides.
const PATCH_SIZE: u32 = 14;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let ids: Vec<u64> = (0..8).collect();
    let other_world = Similarity3::new(Vector3::x(), Vector3::y(), 3.0);
    let mut synthetic = predict(&ids, SIZE.scaled(SCALE), &Similarity3::identity());
    show_photos(&mut synthetic)?;
    let later = predict(&ids, SIZE.scaled(SCALE), &other_world);
    for num_max_points in [100_000, 1_000_000, 10_000_000] {
        let options = options(num_max_points, PointFilters::OFF);
        let first = || build_scene(&synthetic.prediction, &synthetic.frames(), None, &options);
        let (scene, world) = first()?;
        let align =
            || build_scene(&later.prediction, &later.frames(), Some(&world), &options).map(drop);
        println!(
            "{} points: first scene {:.1} ms, later scene {:.1} ms",
            scene.points.len(),
            median_ms(|| first().map(drop))?,
            median_ms(align)?,
        );
        for &compression in GlbCompression::VARIANTS {
            let glb = write_glb(&scene, compression)?;
            println!(
                "  glb, {compression}: {:.2} MB, {:.1} ms",
                glb.len() as f64 / 1e6,
                median_ms(|| write_glb(&scene, compression).map(drop))?,
            );
        }
    }
    filters(&synthetic)?;
    let lens = |_| Distortion { k1: -0.2, k2: 0.05 };
    let mut distorted = predict_distorted(&ids, SIZE.scaled(SCALE), &Similarity3::identity(), lens);
    show_photos(&mut distorted)?;
    for (name, synthetic) in [("pinhole", &synthetic), ("distorted", &distorted)] {
        let options = options(10_000_000, PointFilters::OFF);
        let build = || build_scene(&synthetic.prediction, &synthetic.frames(), None, &options);
        println!(
            "{name} images: {} points, first scene {:.1} ms",
            build()?.0.points.len(),
            median_ms(|| build().map(drop))?,
        );
    }
    Ok(())
}

/// Measures each filter by itself.
fn filters(synthetic: &Synthetic) -> Result<(), Error> {
    let off = PointFilters::OFF;
    let voxels = |size| PointFilters {
        voxel_size: VoxelSize::new(size),
        ..off
    };
    for (name, filters) in [
        ("no filter", off),
        ("edges", PointFilters { edges: true, ..off }),
        (
            "black and white",
            PointFilters {
                black_background: true,
                white_background: true,
                ..off
            },
        ),
        ("voxels of 0.1", voxels(0.1)),
        ("voxels of 0.01", voxels(0.01)),
        ("voxels of 1e-9", voxels(1e-9)),
    ] {
        let options = options(10_000_000, filters);
        let build = || build_scene(&synthetic.prediction, &synthetic.frames(), None, &options);
        println!(
            "{name}: {} points, first scene {:.1} ms",
            build()?.0.points.len(),
            median_ms(|| build().map(drop))?,
        );
    }
    Ok(())
}

fn options(num_max_points: usize, filters: PointFilters) -> CloudOptions {
    CloudOptions {
        conf_thresh_percentile: 10.0,
        num_max_points,
        show_cameras: true,
        filters,
    }
}

/// Replaces the images of the frames by the photos of the sample scene.
fn show_photos(synthetic: &mut Synthetic) -> Result<(), Error> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sample_scene");
    let method = ProcessResMethod::UpperBoundResize;
    for (index, image) in synthetic.images.iter_mut().enumerate() {
        let file = fs::read(folder.join(format!("{index:03}.jpg")))?;
        let photo = decode(&file, &DecodeLimits::default())?;
        *image = preprocess(&photo.image, SIZE.scaled(SCALE).width, method, PATCH_SIZE)?;
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

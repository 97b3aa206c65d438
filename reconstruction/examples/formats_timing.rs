//! Measures time, size and memory of each format for a result with the given number of frames of
//! 504 x 378 pixels and at most the given number of points:
//!
//! `cargo run --release -p pointstream-reconstruction --example formats_timing 100 10000000`

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use common::{SIZE, predict};
use image::RgbImage;
use nalgebra::Similarity3;
use pointstream_reconstruction::cloud::{CloudOptions, PointFilters, SceneFrame, build_scene};
use pointstream_reconstruction::formats::colmap::write_colmap;
use pointstream_reconstruction::formats::nerfstudio::write_nerfstudio;
use pointstream_reconstruction::formats::npz::{NpzReader, NpzWriter};
use pointstream_reconstruction::formats::ply::write_ply;
use pointstream_reconstruction::formats::{Cameras, FrameData, Images, Reconstruction};
use pointstream_reconstruction::prediction::Prediction;

/// Sides of the frames, as a multiple of those of the synthetic scene: 504 x 378 pixels.
const SCALE: f64 = 6.0;

/// Number of different frames; the others repeat them.
const DISTINCT: u64 = 8;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments = env::args().skip(1);
    let mut next = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (count, num_max_points) = (next(100)?, next(10_000_000)?);
    let ids: Vec<u64> = (0..DISTINCT).collect();
    let sample = predict(&ids, SIZE.scaled(SCALE), &Similarity3::identity());

    let folder = tempfile::tempdir()?;
    let npz = folder.path().join("result.npz");
    let (cameras, points) = {
        let prediction = repeat(&sample.prediction, count);
        let distinct = sample.frames();
        let frames: Vec<_> = (0..count)
            .map(|frame| SceneFrame {
                id: frame as u64,
                ..distinct[frame % distinct.len()]
            })
            .collect();
        let options = CloudOptions {
            conf_thresh_percentile: 10.0,
            num_max_points,
            show_cameras: true,
            filters: PointFilters::OFF,
        };
        let (scene, _) = build_scene(&prediction, &frames, None, &options)?;
        measure("npz", || {
            let file = BufWriter::new(File::create(&npz)?);
            Ok(NpzWriter::begin(&prediction, file)?.finish(&scene)?)
        })?;
        (Cameras::of(&scene), scene.points.len())
    };
    println!("{count} frames, {points} points");
    let npz = File::open(&npz)?;
    let frames = Frames {
        images: &sample.images,
        arrays: NpzReader::new(npz, count, sample.prediction.size)?,
    };
    let reconstruction = Reconstruction {
        cameras: &cameras,
        frames: &frames,
    };
    let create =
        || -> io::Result<_> { Ok(BufWriter::new(File::create(folder.path().join("other"))?)) };
    measure("ply", || {
        let mut file = create()?;
        write_ply(&reconstruction, &mut file)?;
        Ok(file)
    })?;
    measure("colmap", || {
        Ok(write_colmap(&reconstruction, Images::Processed, create()?)?)
    })?;
    measure("nerfstudio", || {
        Ok(write_nerfstudio(
            &reconstruction,
            Images::Processed,
            create()?,
        )?)
    })
}

/// A prediction of `count` frames that repeats those of `prediction`.
fn repeat(prediction: &Prediction, count: usize) -> Prediction {
    let frames = || (0..count).map(|frame| frame % prediction.len());
    Prediction {
        size: prediction.size,
        cameras: frames()
            .map(|frame| prediction.cameras[frame].clone())
            .collect(),
        depth: frames()
            .flat_map(|frame| prediction.frame_depth(frame))
            .copied()
            .collect(),
        confidence: frames()
            .flat_map(|frame| prediction.frame_confidence(frame))
            .copied()
            .collect(),
        report: None,
        links: None,
    }
}

struct Frames<'a> {
    images: &'a [RgbImage],
    arrays: NpzReader<File>,
}

impl FrameData for Frames<'_> {
    fn point_count(&self, frame: usize) -> usize {
        self.arrays.point_count(frame)
    }
    fn pixels(&self, frame: usize) -> io::Result<Vec<u32>> {
        self.arrays.pixels(frame)
    }
    fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.arrays.depth(frame)
    }
    fn confidence(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.arrays.confidence(frame)
    }
    fn image(&self, frame: usize) -> io::Result<RgbImage> {
        Ok(self.images[frame % self.images.len()].clone())
    }
}

/// Writes a file and prints time, size and memory.
fn measure(
    name: &str,
    write: impl FnOnce() -> Result<BufWriter<File>, Error>,
) -> Result<(), Error> {
    // SAFETY: the call returns free memory to the system, so that the measured memory is new.
    unsafe { libc::malloc_trim(0) };
    let before = private_bytes()?;
    let (done, peak) = (AtomicBool::new(false), AtomicU64::new(before));
    let start = Instant::now();
    let (written, seconds) = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(private_bytes().unwrap_or(0), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let written = write();
        let seconds = start.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        (written, seconds)
    });
    let mut file = written?;
    file.flush()?;
    println!(
        "{name:10} {seconds:6.2} s, {:8.1} MB, {:6.1} MB of memory",
        file.stream_position()? as f64 / 1e6,
        (peak.into_inner() - before) as f64 / 1e6,
    );
    Ok(())
}

/// Anonymous resident memory of the process in bytes.
fn private_bytes() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(1024 * kilobytes.unwrap_or(0))
}

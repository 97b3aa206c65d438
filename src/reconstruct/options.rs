//! The options of `pointstream reconstruct`.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pointstream_actors::{
    ConfigLimits, DiskLimits, Durability, PoolSettings, ResultFormat, SessionConfig, Settings,
};
use pointstream_inference::{ResolvedModel, free_memory, machine_memory};
use pointstream_reconstruction::formats::glb::GlbCompression;
use pointstream_reconstruction::image::{DecodeLimits, ProcessResMethod};
use pointstream_reconstruction::model::{Device, FramesPerCall};
use pointstream_reconstruction::word_list;
use strum::VariantArray;

use super::error::ReconstructError;
use crate::api::Query;
use crate::logging::LogOptions;
use crate::models::ModelOptions;
use crate::options::default_decode_memory;
use crate::video::{MOST_FRAMES, MOST_PER_SECOND, Wanted};

/// The one job has no time limit; the user can interrupt it.
const NO_TIMEOUT: Duration = Duration::from_secs(30 * 86_400);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Larger files are not photos. Without a limit, a damaged file could use all memory.
pub(super) const IMAGE_LIMITS: DecodeLimits = DecodeLimits {
    max_bytes: 1 << 30,
    max_pixels: 1_000_000_000,
};
/// The most points that every file format can hold.
const MAX_POINTS: u64 = 250_000_000;
/// Memory for photos until they are written to the disk.
const UPLOAD_BYTES: usize = 512 << 20;
/// Memory for encoded frames.
const FEATURE_BYTES: usize = 4 << 30;

/// The command-line options of a reconstruction. The [`Settings`] of the actors are derived from
/// them.
#[derive(Debug, Args)]
pub struct ReconstructOptions {
    /// Photos (JPEG, PNG, WebP, HEIC), folders of photos, and videos. They are sorted by the numbers in
    /// their names: 2.jpg comes before 10.jpg. Of a folder all photos are taken, whatever their names.
    #[arg(required = true, value_name = "PHOTOS")]
    pub inputs: Vec<PathBuf>,

    #[arg(short, long, value_name = "FILE", default_value = "scene.glb", help = output_help())]
    pub output: PathBuf,

    #[arg(long, help = format_help())]
    pub format: Option<ResultFormat>,

    /// Replaces the file if it exists.
    #[arg(short, long)]
    pub force: bool,

    /// Takes also the photos of folders in folders. Links to folders are not followed.
    #[arg(short, long)]
    pub recursive: bool,

    /// Stops at the first file that cannot be used. Without it, such files are skipped and named.
    #[arg(long)]
    pub strict: bool,

    /// Writes a report as JSON to stdout, in place of a sentence; with --output - to stderr.
    #[arg(long)]
    pub json: bool,

    /// Frames to take of a video, evenly spread over it, at most 5000; all if it has fewer. Of neighbours the
    /// sharpest is taken. Needs ffmpeg.
    #[arg(long, value_name = "COUNT", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_FRAMES)))]
    pub num_frames: u32,

    /// Frames to take of each second of a video, in place of a number of frames; at most 60, and at most 5000
    /// of a video.
    #[arg(long, value_name = "COUNT", conflicts_with = "num_frames", value_parser = per_second)]
    pub frames_per_second: Option<f64>,

    #[command(flatten)]
    pub session: SessionOptions,

    #[command(flatten)]
    pub model: ModelOptions,

    #[command(flatten)]
    pub log: LogOptions,
}

/// The parameters of the session (see docs/protocol.md) as command-line options. The
/// [`SessionConfig`] of the actors is derived from them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reconstruction")]
pub struct SessionOptions {
    /// Pixels to which photos are resized for the model. Default: 504.
    #[arg(long, value_name = "PIXELS")]
    pub process_res: Option<u32>,

    #[arg(long, value_name = "METHOD",
          help = format!("How photos are resized: {}", choices::<ProcessResMethod>()))]
    pub process_res_method: Option<String>,

    /// Percentage of the pixels, the least confident ones, that are left out. Default: 10.
    #[arg(long, value_name = "PERCENT")]
    pub conf_thresh_percentile: Option<f64>,

    /// The most points of the cloud. Default: 10000000.
    #[arg(long, value_name = "COUNT")]
    pub num_max_points: Option<u64>,

    /// Leaves out the lines that show the cameras in a GLB.
    #[arg(long)]
    pub no_cameras: bool,

    /// How more than about 24 photos are reconstructed: whole (the default), in one run of the model,
    /// or refine, a few at a time in their order, which needs less memory and suits videos.
    #[arg(long, value_name = "MODE", default_value = "whole")]
    pub finalize_mode: String,

    /// Photos of one run of the model with refine. Default: 0, which lets the program choose.
    #[arg(long, value_name = "COUNT")]
    pub window: Option<u32>,

    /// Leaves out points at depth discontinuities, which lie between objects.
    #[arg(long)]
    pub filter_edges: bool,

    /// Keeps the most confident point of each cube with edges of this length, in units of the GLB.
    #[arg(long, value_name = "LENGTH")]
    pub voxel_size: Option<f64>,

    /// Leaves out black points.
    #[arg(long)]
    pub filter_black_bg: bool,

    /// Leaves out white points.
    #[arg(long)]
    pub filter_white_bg: bool,

    #[arg(long, value_name = "METHOD",
          help = format!("How a GLB holds its points: {}", choices::<GlbCompression>()))]
    pub glb_compression: Option<String>,
}

fn per_second(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= MOST_PER_SECOND => Ok(rate),
        _ => Err(format!(
            "it must be a number above 0 and at most {MOST_PER_SECOND}"
        )),
    }
}

fn output_help() -> String {
    let endings = word_list(ResultFormat::endings(), "or");
    format!("The file to write, or - for stdout. The end of its name selects the format: {endings}")
}

fn format_help() -> String {
    let names = word_list(ResultFormat::VARIANTS.iter().map(<&str>::from), "or");
    format!("The format, whatever the file's name: {names}")
}

/// The names of an option's values, with a note at the default.
fn choices<T: VariantArray + Default + PartialEq + Display>() -> String {
    let default = T::default();
    let names = T::VARIANTS.iter().map(|value| match *value == default {
        true => format!("{value} (the default)"),
        false => value.to_string(),
    });
    word_list(names, "or")
}

impl SessionOptions {
    /// The session's parameters for this number of photos, parsed like those of a client.
    ///
    /// # Errors
    /// [`ReconstructError::Parameter`] for the first wrong one.
    pub fn config(
        &self,
        photos: usize,
        limits: &ConfigLimits,
    ) -> Result<SessionConfig, ReconstructError> {
        let given = [
            ("max_images", Some(photos.to_string())),
            (
                "process_res",
                self.process_res.map(|value| value.to_string()),
            ),
            ("process_res_method", self.process_res_method.clone()),
            (
                "conf_thresh_percentile",
                self.conf_thresh_percentile.map(|value| value.to_string()),
            ),
            (
                "num_max_points",
                self.num_max_points.map(|value| value.to_string()),
            ),
            ("show_cameras", Some((!self.no_cameras).to_string())),
            ("finalize_mode", Some(self.finalize_mode.clone())),
            ("window", self.window.map(|value| value.to_string())),
            ("filter_edges", Some(self.filter_edges.to_string())),
            ("voxel_size", self.voxel_size.map(|value| value.to_string())),
            ("filter_black_bg", Some(self.filter_black_bg.to_string())),
            ("filter_white_bg", Some(self.filter_white_bg.to_string())),
            ("glb_compression", self.glb_compression.clone()),
        ];
        let pairs: Vec<_> = given
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        Query::from(pairs)
            .session_config(limits)
            .map_err(|error| ReconstructError::Parameter(error.detail().to_owned()))
    }
}

impl ReconstructOptions {
    /// Frames of each video.
    pub fn frames(&self) -> Wanted {
        match self.frames_per_second {
            None => Wanted::Count(self.num_frames),
            Some(rate) => Wanted::PerSecond(rate, MOST_FRAMES),
        }
    }

    /// The settings of an actor system for one session.
    pub fn settings(
        &self,
        data_dir: PathBuf,
        model: Arc<ResolvedModel>,
        mut devices: Vec<Device>,
    ) -> Settings {
        // One reconstruction uses one device.
        devices.truncate(1);
        Settings {
            data_dir,
            pool: PoolSettings {
                model,
                devices,
                workers_per_device: 1,
                frames_per_call: FramesPerCall::Automatic,
                // A quarter may be frames that the only session has encoded ahead of time.
                queue_capacity: 32,
                max_jobs_of_creator: None,
                job_memory_bytes: machine_memory().unwrap_or(u64::MAX),
                free_memory,
                feature_cache_bytes: FEATURE_BYTES,
                job_timeout: NO_TIMEOUT,
                // Nobody else waits.
                long_turn: NO_TIMEOUT,
            },
            nats: None,
            sharing: None,
            max_sessions: 1,
            durability: Durability::None,
            disk: DiskLimits::NONE,
            unused_session_timeout: NO_TIMEOUT,
            session_timeout: NO_TIMEOUT,
            max_images_limit: u32::MAX,
            max_points_limit: MAX_POINTS,
            max_pending_requests: 1,
            max_connections: 1,
            max_watchers: 1,
            max_unanswered_messages: 16,
            image_limits: IMAGE_LIMITS,
            upload_buffer_bytes: UPLOAD_BYTES,
            decode_memory_bytes: default_decode_memory(machine_memory()),
            drain_timeout: DRAIN_TIMEOUT,
            courier: None,
        }
    }
}

//! Everything that the operator of a server decides.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pointstream_actors::Settings;
use pointstream_inference::ResolvedModel;
use pointstream_reconstruction::image::DecodeLimits;
use pointstream_reconstruction::model::{Device, FramesPerCall};

use crate::cli::{LogOptions, ModelOptions};
use crate::origins::OriginPolicy;

/// The options of the server, each also an environment variable.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Address or host name to listen on; 0.0.0.0 or :: for all of the machine's.
    #[arg(long, env = "POINTSTREAM_HOST", default_value = "127.0.0.1")]
    pub host: String,

    /// Port to listen on; 0 picks a free one.
    #[arg(long, env = "POINTSTREAM_PORT", default_value_t = 8000)]
    pub port: u16,

    /// Folder for the sessions' images and results. They end with their session, and the rest with
    /// the server. Default: a folder of its own for this address and port below
    /// $XDG_STATE_HOME/pointstream or ~/.local/state/pointstream.
    #[arg(long, env = "POINTSTREAM_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelOptions,

    /// Workers per device, each with its own copy of the model.
    #[arg(long, env = "POINTSTREAM_WORKERS_PER_DEVICE", value_name = "COUNT", default_value_t = 1,
          value_parser = at_least_one)]
    pub workers_per_device: usize,

    /// Sessions at the same time; one more is refused.
    #[arg(long, env = "POINTSTREAM_MAX_SESSIONS", value_name = "COUNT", default_value_t = 100,
          value_parser = at_least_one)]
    pub max_sessions: usize,

    /// A session without any activity for this many seconds ends.
    #[arg(long, env = "POINTSTREAM_SESSION_TIMEOUT", value_name = "SECONDS",
          default_value = "3600", value_parser = seconds)]
    pub session_timeout: Duration,

    /// The most that a session may ask for as its max_images.
    #[arg(long, env = "POINTSTREAM_MAX_IMAGES_LIMIT", value_name = "COUNT", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_images_limit: u32,

    /// The most that a session may ask for as its num_max_points.
    #[arg(long, env = "POINTSTREAM_MAX_POINTS_LIMIT", value_name = "COUNT",
          default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_points_limit: u64,

    /// Size of one encoded image.
    #[arg(long, env = "POINTSTREAM_MAX_IMAGE_BYTES", value_name = "BYTES",
          default_value_t = 32 << 20, value_parser = at_least_one)]
    pub max_image_bytes: usize,

    /// Pixels of one image.
    #[arg(long, env = "POINTSTREAM_MAX_IMAGE_PIXELS", value_name = "COUNT",
          default_value_t = 64_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_image_pixels: u64,

    /// Size of one message from a client. Default: what the largest image needs as base64.
    #[arg(long, env = "POINTSTREAM_MAX_MESSAGE_BYTES", value_name = "BYTES",
          value_parser = at_least_one)]
    pub max_message_bytes: Option<usize>,

    /// Requests for a point cloud that may wait in a session beside the one that runs.
    #[arg(
        long,
        env = "POINTSTREAM_MAX_PENDING_REQUESTS",
        value_name = "COUNT",
        default_value_t = 4
    )]
    pub max_pending_requests: usize,

    /// Messages of one socket that may be unanswered before no more are read from it.
    #[arg(long, env = "POINTSTREAM_MAX_UNANSWERED_MESSAGES", value_name = "COUNT",
          default_value_t = 16, value_parser = at_least_one)]
    pub max_unanswered_messages: usize,

    /// Sockets of one session at the same time.
    #[arg(long, env = "POINTSTREAM_MAX_CONNECTIONS", value_name = "COUNT", default_value_t = 8,
          value_parser = at_least_one)]
    pub max_connections: usize,

    /// Network connections at the same time, sockets and all others; one more has to wait.
    #[arg(long, env = "POINTSTREAM_MAX_CLIENTS", value_name = "COUNT", default_value_t = 1024,
          value_parser = at_least_one)]
    pub max_clients: usize,

    /// Frames that the model encodes, or estimates the depth of, in one call. Default: 1 on the
    /// processor; on a GPU a power of two up to 32 that fits into 2 GiB, or 8 if the model does not
    /// say what it needs, and a quarter of that for depth.
    #[arg(long, env = "POINTSTREAM_FRAMES_PER_CALL", value_name = "COUNT",
          value_parser = at_least_one)]
    pub frames_per_call: Option<usize>,

    /// Jobs that may wait for a worker, over all sessions.
    #[arg(long, env = "POINTSTREAM_QUEUE_CAPACITY", value_name = "COUNT", default_value_t = 256,
          value_parser = at_least_one)]
    pub queue_capacity: usize,

    /// Memory for encoded frames that wait for a generation, over all sessions, in MiB.
    #[arg(
        long,
        env = "POINTSTREAM_FEATURE_CACHE_MB",
        value_name = "MIB",
        default_value_t = 1024
    )]
    pub feature_cache_mb: usize,

    /// Memory for images between the socket and the disk, over all sessions, in MiB; at least what
    /// one message may hold.
    #[arg(
        long,
        env = "POINTSTREAM_UPLOAD_BUFFER_MB",
        value_name = "MIB",
        default_value_t = 512
    )]
    pub upload_buffer_mb: usize,

    /// A job of the model, or a result's file, that takes longer than this many seconds is given up.
    #[arg(long, env = "POINTSTREAM_JOB_TIMEOUT", value_name = "SECONDS", default_value = "1800",
          value_parser = seconds)]
    pub job_timeout: Duration,

    /// How many seconds running work may take to end when the server is stopped.
    #[arg(long, env = "POINTSTREAM_DRAIN_TIMEOUT", value_name = "SECONDS", default_value = "30",
          value_parser = seconds)]
    pub drain_timeout: Duration,

    /// A client that has not taken a byte of what is sent to it for this many seconds is dropped.
    #[arg(long, env = "POINTSTREAM_SEND_TIMEOUT", value_name = "SECONDS", default_value = "30",
          value_parser = seconds)]
    pub send_timeout: Duration,

    /// A client that sends nothing for this many seconds in the middle of a large message is
    /// dropped, and so is one whose message gets no memory for so long.
    #[arg(long, env = "POINTSTREAM_RECEIVE_TIMEOUT", value_name = "SECONDS", default_value = "30",
          value_parser = seconds)]
    pub receive_timeout: Duration,

    /// Origins of web pages that may use the server: a list such as
    /// https://example.org,http://192.168.0.7:8080, * for every page, or local for pages of this
    /// machine. The server's own pages always may.
    #[arg(
        long,
        env = "POINTSTREAM_CORS_ORIGINS",
        value_name = "ORIGINS",
        default_value = "local"
    )]
    pub cors_origins: OriginPolicy,

    #[command(flatten)]
    pub log: LogOptions,
}

impl Options {
    /// The largest message that is read from a socket.
    pub fn message_limit(&self) -> usize {
        self.max_message_bytes.unwrap_or_else(|| {
            // Base64 makes 4 bytes of 3; the rest is for the message around it.
            (self.max_image_bytes / 3 + 1)
                .saturating_mul(4)
                .saturating_add(64 << 10)
        })
    }

    /// What the actor system needs to know of this.
    pub fn settings(
        &self,
        data_dir: PathBuf,
        model: Arc<ResolvedModel>,
        devices: Vec<Device>,
    ) -> Settings {
        Settings {
            data_dir,
            model,
            devices,
            workers_per_device: self.workers_per_device,
            max_sessions: self.max_sessions,
            session_timeout: self.session_timeout,
            max_images_limit: self.max_images_limit,
            max_points_limit: self.max_points_limit,
            max_pending_requests: self.max_pending_requests,
            max_connections: self.max_connections,
            max_unanswered_messages: self.max_unanswered_messages,
            frames_per_call: self
                .frames_per_call
                .map_or(FramesPerCall::Automatic, FramesPerCall::Fixed),
            queue_capacity: self.queue_capacity,
            image_limits: DecodeLimits {
                max_bytes: self.max_image_bytes,
                max_pixels: self.max_image_pixels,
            },
            upload_buffer_bytes: self
                .upload_buffer_mb
                .saturating_mul(1 << 20)
                .max(self.message_limit()),
            feature_cache_bytes: self.feature_cache_mb.saturating_mul(1 << 20),
            job_timeout: self.job_timeout,
            drain_timeout: self.drain_timeout,
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}")),
    }
}

/// Seconds, fractions allowed, more than none and at most a year.
pub fn seconds(text: &str) -> Result<Duration, String> {
    const YEAR: f64 = 366.0 * 86400.0;
    match text.trim().parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= YEAR => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("it must be seconds between 0 and {YEAR}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
        Cli::try_parse_from([&["pointstream"], arguments].concat()).map(|cli| cli.serve)
    }

    #[test]
    fn messages_hold_the_largest_image_unless_told_otherwise() {
        let options = parse(&["--max-image-bytes", "3000000"]).expect("valid");
        assert!(options.message_limit() > 4_000_000);
        assert!(options.message_limit() < 4_200_000);
        let options = parse(&["--max-message-bytes", "1000"]).expect("valid");
        assert_eq!(options.message_limit(), 1000);
    }

    #[test]
    fn times_are_seconds_with_fractions() {
        let options = parse(&["--session-timeout", "0.5"]).expect("valid");
        assert_eq!(options.session_timeout, Duration::from_millis(500));
        for wrong in ["0", "-1", "NaN", "inf", "1e300", "soon"] {
            assert!(parse(&["--session-timeout", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn refuses_what_cannot_work() {
        assert!(parse(&["--max-sessions", "0"]).is_err());
        assert!(parse(&["--device", "tpu"]).is_err());
        assert!(parse(&["--model", ""]).is_err());
        assert!(parse(&["--log-level", "LOUD"]).is_err());
        assert!(parse(&["--cors-origins", "example.org"]).is_err());
        assert!(parse(&["--port", "65536"]).is_err());
    }
}

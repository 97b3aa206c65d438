//! The options of the server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pointstream_actors::Settings;
use pointstream_inference::ResolvedModel;
use pointstream_reconstruction::image::DecodeLimits;
use pointstream_reconstruction::model::{Device, FramesPerCall};

use crate::logging::LogOptions;
use crate::models::ModelOptions;
use crate::origins::OriginPolicy;
use crate::values::{at_least_one, seconds};

/// The options of the server, from the command line or the environment. The [`Settings`] of the
/// actors are derived from them.
#[derive(Debug, Clone, Args)]
pub struct ServeOptions {
    /// Address or host name to listen on; 0.0.0.0 or :: for all addresses of the machine.
    #[arg(long, env = "POINTSTREAM_HOST", default_value = "127.0.0.1")]
    pub host: String,

    /// Port to listen on; 0 picks a free one.
    #[arg(long, env = "POINTSTREAM_PORT", default_value_t = 8000)]
    pub port: u16,

    /// Folder for the sessions' images and results, which are removed when the session ends.
    /// Default: a folder for this address and port below $XDG_STATE_HOME/pointstream or
    /// ~/.local/state/pointstream, which is removed when the server ends.
    #[arg(long, env = "POINTSTREAM_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelOptions,

    /// Workers per device, each with its own copy of the model.
    #[arg(long, env = "POINTSTREAM_WORKERS_PER_DEVICE", value_name = "COUNT", default_value_t = 1,
          value_parser = at_least_one)]
    pub workers_per_device: usize,

    /// The most sessions at the same time; the server refuses to create more.
    #[arg(long, env = "POINTSTREAM_MAX_SESSIONS", value_name = "COUNT", default_value_t = 100,
          value_parser = at_least_one)]
    pub max_sessions: usize,

    /// Seconds without any activity after which a session ends.
    #[arg(long, env = "POINTSTREAM_SESSION_TIMEOUT", value_name = "SECONDS",
          default_value = "3600", value_parser = seconds)]
    pub session_timeout: Duration,

    /// The largest max_images that a client may give a session.
    #[arg(long, env = "POINTSTREAM_MAX_IMAGES_LIMIT", value_name = "COUNT", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_images_limit: u32,

    /// The largest num_max_points that a client may give a session.
    #[arg(long, env = "POINTSTREAM_MAX_POINTS_LIMIT", value_name = "COUNT",
          default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_points_limit: u64,

    /// The largest encoded image that is accepted, in bytes.
    #[arg(long, env = "POINTSTREAM_MAX_IMAGE_BYTES", value_name = "BYTES",
          default_value_t = 32 << 20, value_parser = at_least_one)]
    pub max_image_bytes: usize,

    /// The largest image that is accepted, in pixels.
    #[arg(long, env = "POINTSTREAM_MAX_IMAGE_PIXELS", value_name = "COUNT",
          default_value_t = 64_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_image_pixels: u64,

    /// The largest message that is accepted from a client, in bytes. Default: what the largest image
    /// needs in base64.
    #[arg(long, env = "POINTSTREAM_MAX_MESSAGE_BYTES", value_name = "BYTES",
          value_parser = at_least_one)]
    pub max_message_bytes: Option<usize>,

    /// Requests for a point cloud that may wait in a session while one is processed.
    #[arg(
        long,
        env = "POINTSTREAM_MAX_PENDING_REQUESTS",
        value_name = "COUNT",
        default_value_t = 4
    )]
    pub max_pending_requests: usize,

    /// Unanswered messages of one socket at which the server stops reading from it.
    #[arg(long, env = "POINTSTREAM_MAX_UNANSWERED_MESSAGES", value_name = "COUNT",
          default_value_t = 16, value_parser = at_least_one)]
    pub max_unanswered_messages: usize,

    /// The most sockets of one session at the same time.
    #[arg(long, env = "POINTSTREAM_MAX_CONNECTIONS", value_name = "COUNT", default_value_t = 8,
          value_parser = at_least_one)]
    pub max_connections: usize,

    /// The most network connections at the same time, sockets and all others; more have to wait.
    #[arg(long, env = "POINTSTREAM_MAX_CLIENTS", value_name = "COUNT", default_value_t = 1024,
          value_parser = at_least_one)]
    pub max_clients: usize,

    /// Frames that the model encodes, or estimates the depth of, in one call. Default: 1 on the CPU;
    /// on a GPU a power of two up to 32 that fits into 2 GiB, or 8 if the model does not say how much
    /// memory it needs, and a quarter of that for depth.
    #[arg(long, env = "POINTSTREAM_FRAMES_PER_CALL", value_name = "COUNT",
          value_parser = at_least_one)]
    pub frames_per_call: Option<usize>,

    /// Jobs of all sessions that may wait for a worker; a session may have half of them.
    #[arg(long, env = "POINTSTREAM_QUEUE_CAPACITY", value_name = "COUNT", default_value_t = 256,
          value_parser = at_least_one)]
    pub queue_capacity: usize,

    /// Memory for the encoded frames of all sessions that wait for a generation, in MiB.
    #[arg(
        long,
        env = "POINTSTREAM_FEATURE_CACHE_MB",
        value_name = "MIB",
        default_value_t = 1024
    )]
    pub feature_cache_mb: usize,

    /// Memory for the images of all sessions between the socket and the disk, in MiB. At least the
    /// size of the largest message is used.
    #[arg(
        long,
        env = "POINTSTREAM_UPLOAD_BUFFER_MB",
        value_name = "MIB",
        default_value_t = 512
    )]
    pub upload_buffer_mb: usize,

    /// Seconds after which a job of the model, or the writing of a result's file, is cancelled.
    #[arg(long, env = "POINTSTREAM_JOB_TIMEOUT", value_name = "SECONDS", default_value = "1800",
          value_parser = seconds)]
    pub job_timeout: Duration,

    /// Seconds that running jobs have to finish when the server is stopped; then they are cancelled.
    #[arg(long, env = "POINTSTREAM_DRAIN_TIMEOUT", value_name = "SECONDS", default_value = "30",
          value_parser = seconds)]
    pub drain_timeout: Duration,

    /// Seconds after which a client that reads none of the data sent to it is disconnected.
    #[arg(long, env = "POINTSTREAM_SEND_TIMEOUT", value_name = "SECONDS", default_value = "30",
          value_parser = seconds)]
    pub send_timeout: Duration,

    /// Seconds after which a client is disconnected if it stops in the middle of a large message, or
    /// if there is no memory for its message.
    #[arg(long, env = "POINTSTREAM_RECEIVE_TIMEOUT", value_name = "SECONDS", default_value = "30",
          value_parser = seconds)]
    pub receive_timeout: Duration,

    /// Origins of web pages that may use the server: a list such as
    /// https://example.org,http://192.168.0.7:8080, * for every page, or local for pages of this
    /// machine. The server's own pages are always allowed.
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

impl ServeOptions {
    /// The largest message that is read from a socket, in bytes.
    pub fn message_limit(&self) -> usize {
        self.max_message_bytes.unwrap_or_else(|| {
            // Base64 encodes 3 bytes as 4; 64 KiB are for the rest of the message.
            (self.max_image_bytes / 3 + 1)
                .saturating_mul(4)
                .saturating_add(64 << 10)
        })
    }

    /// The settings of the actor system, with the data folder, the model and the devices that were
    /// resolved at the start.
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        options: ServeOptions,
    }

    fn parse(arguments: &[&str]) -> Result<ServeOptions, clap::Error> {
        CommandLine::try_parse_from([&["pointstream"], arguments].concat()).map(|line| line.options)
    }

    #[test]
    fn the_default_message_limit_holds_the_largest_image() {
        let options = parse(&["--max-image-bytes", "3000000"]).expect("valid");
        assert!(options.message_limit() > 4_000_000);
        assert!(options.message_limit() < 4_200_000);
        let options = parse(&["--max-message-bytes", "1000"]).expect("valid");
        assert_eq!(options.message_limit(), 1000);
    }

    #[test]
    fn wrong_values_are_refused() {
        assert!(parse(&["--max-sessions", "0"]).is_err());
        assert!(parse(&["--session-timeout", "soon"]).is_err());
        assert!(parse(&["--device", "tpu"]).is_err());
        assert!(parse(&["--model", ""]).is_err());
        assert!(parse(&["--log-level", "LOUD"]).is_err());
        assert!(parse(&["--cors-origins", "example.org"]).is_err());
        assert!(parse(&["--port", "65536"]).is_err());
    }
}

//! The options of the server.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pointstream_actors::{Courier, DiskLimits, Durability, Settings};
use pointstream_inference::{ResolvedModel, machine_memory};
use pointstream_reconstruction::image::DecodeLimits;
use pointstream_reconstruction::model::Device;

use crate::auth::AuthOptions;
use crate::entrance::{HostList, PathPrefix, PublicUrl, TrustedProxies};
use crate::gateways::GatewayUrl;
use crate::logging::LogOptions;
use crate::nats_options::NatsOptions;
use crate::origins::OriginPolicy;
use crate::pool_options::PoolOptions;
use crate::rates::RateOptions;
use crate::tls::TlsOptions;
use crate::values::{at_least_one, seconds};
use crate::video::VideoOptions;
use crate::webhooks::WebhookOptions;

/// The options of the server, from the command line or the environment. The [`Settings`] of the
/// actors are derived from them.
#[derive(Debug, Clone, Args)]
pub struct ServeOptions {
    /// A TOML file with options, such as port = 9000 for --port 9000. The command line and the environment
    /// replace what it says.
    #[arg(long, env = "POINTSTREAM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Address or host name to listen on; 0.0.0.0 or :: for all addresses of the machine.
    #[arg(long, env = "POINTSTREAM_HOST", default_value = "127.0.0.1")]
    pub host: String,

    /// Port to listen on; 0 picks a free one.
    #[arg(long, env = "POINTSTREAM_PORT", default_value_t = 8000)]
    pub port: u16,

    /// Folder for the sessions' images and results, which are removed when the session ends. Sessions
    /// go on when the server starts again with the same folder. Default: a folder for this address and
    /// port below $XDG_STATE_HOME/pointstream or ~/.local/state/pointstream; with --port 0 it is
    /// removed when the server ends.
    #[arg(long, env = "POINTSTREAM_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// What an acknowledged image or result survives: sync: the end of the server and of the machine,
    /// also by a power failure; none: the end of the server.
    #[arg(long, env = "POINTSTREAM_DURABILITY", value_name = "WORD", default_value = "sync",
          value_parser = durability)]
    pub durability: Durability,

    /// Disk space of the files of all sessions, in MiB. Default: no limit but the free space.
    #[arg(long, env = "POINTSTREAM_MAX_DISK_MB", value_name = "MIB")]
    pub max_disk_mb: Option<u64>,

    /// Disk space of the files of all sessions of one client, in MiB: of the owner of a token, or else of an
    /// address. Default: half of --max-disk-mb.
    #[arg(long, env = "POINTSTREAM_MAX_DISK_MB_PER_CLIENT", value_name = "MIB")]
    pub max_disk_mb_per_client: Option<u64>,

    /// Disk space of the files of each session, in MiB.
    #[arg(
        long,
        env = "POINTSTREAM_MAX_SESSION_DISK_MB",
        value_name = "MIB",
        default_value_t = 16384
    )]
    pub max_session_disk_mb: u64,

    /// Free space that is left on the disk, in MiB. With less the server is not ready, and takes no
    /// images.
    #[arg(
        long,
        env = "POINTSTREAM_MIN_FREE_DISK_MB",
        value_name = "MIB",
        default_value_t = 512
    )]
    pub min_free_disk_mb: u64,

    #[command(flatten)]
    pub pool: PoolOptions,

    #[command(flatten)]
    pub nats: NatsOptions,

    /// Share the sessions with other servers of the same NATS, which reach this one at this address, such as
    /// http://10.0.0.5:8000. Port 0 means the one that the server listens at. Any of them answers for any session,
    /// and takes the sessions of one over that is gone.
    #[arg(
        long,
        env = "POINTSTREAM_GATEWAY_URL",
        value_name = "URL",
        requires = "nats"
    )]
    pub gateway_url: Option<GatewayUrl>,

    /// The most sessions at the same time; the server refuses to create more.
    #[arg(long, env = "POINTSTREAM_MAX_SESSIONS", value_name = "COUNT", default_value_t = 100,
          value_parser = at_least_one)]
    pub max_sessions: usize,

    /// The most sessions that one address may have created at the same time. Default: a quarter of
    /// --max-sessions, and no limit for this machine, where a proxy may be.
    #[arg(long, env = "POINTSTREAM_MAX_SESSIONS_PER_ADDRESS", value_name = "COUNT",
          value_parser = at_least_one)]
    pub max_sessions_per_address: Option<usize>,

    /// Seconds after which a session ends that no client has ever connected to.
    #[arg(long, env = "POINTSTREAM_UNUSED_SESSION_TIMEOUT", value_name = "SECONDS",
          default_value = "300", value_parser = seconds)]
    pub unused_session_timeout: Duration,

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

    /// The largest num_max_points that the owner of a token may give a session, if the token names no
    /// number of its own. Default: no limit but --max-points-limit.
    #[arg(long, env = "POINTSTREAM_MAX_POINTS_PER_TOKEN", value_name = "COUNT",
          value_parser = clap::value_parser!(NonZeroU64))]
    pub max_points_per_token: Option<NonZeroU64>,

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

    /// The most sockets at the same time of clients that watch a session.
    #[arg(long, env = "POINTSTREAM_MAX_WATCHERS", value_name = "COUNT", default_value_t = 32,
          value_parser = at_least_one)]
    pub max_watchers: usize,

    /// Another address and port, such as 127.0.0.1:9000, for what operators need: health, metrics,
    /// actors and the dashboard. They are then not served at the first one, except health. With
    /// --tls-cert it has TLS too, unless it is an address of loopback.
    #[arg(long, env = "POINTSTREAM_OPERATOR_LISTEN", value_name = "HOST:PORT")]
    pub operator_listen: Option<String>,

    /// The most network connections at the same time, sockets and all others. Of those that have not
    /// sent a request the oldest makes room for a new one; otherwise a new one waits.
    #[arg(long, env = "POINTSTREAM_MAX_CLIENTS", value_name = "COUNT", default_value_t = 1024,
          value_parser = at_least_one)]
    pub max_clients: usize,

    /// The most network connections of one address at the same time; more are refused. Default: a
    /// quarter of --max-clients, and no limit for this machine, where a proxy may be.
    #[arg(long, env = "POINTSTREAM_MAX_CLIENTS_PER_ADDRESS", value_name = "COUNT",
          value_parser = at_least_one)]
    pub max_clients_per_address: Option<usize>,

    /// Jobs of all sessions of one client that may run at the same time: of the owner of a token, or else of
    /// an address. Others wait until one has ended. It matters with several workers. Default: no limit.
    #[arg(long, env = "POINTSTREAM_MAX_JOBS_PER_CLIENT", value_name = "COUNT",
          value_parser = at_least_one)]
    pub max_jobs_per_client: Option<usize>,

    /// Memory for the images of all sessions between the socket and the disk, in MiB. At least the
    /// size of the largest message is used.
    #[arg(
        long,
        env = "POINTSTREAM_UPLOAD_BUFFER_MB",
        value_name = "MIB",
        default_value_t = 512
    )]
    pub upload_buffer_mb: usize,

    /// Memory for decoding the images of all sessions at the same time, in MiB. An image that needs more
    /// is refused; most need 6 bytes for each pixel, some formats up to 15. Default: an eighth of the
    /// machine's memory, at least 256.
    #[arg(long, env = "POINTSTREAM_DECODE_MEMORY_MB", value_name = "MIB",
          value_parser = at_least_one)]
    pub decode_memory_mb: Option<usize>,

    /// Seconds after which a client that reads none of the data sent to it is disconnected.
    #[arg(long, env = "POINTSTREAM_SEND_TIMEOUT", value_name = "SECONDS", default_value = "30",
          value_parser = seconds)]
    pub send_timeout: Duration,

    /// Seconds after which a client is disconnected if it stops in the middle of a large message, or
    /// if there is no memory for its message.
    #[arg(long, env = "POINTSTREAM_RECEIVE_TIMEOUT", value_name = "SECONDS", default_value = "30",
          value_parser = seconds)]
    pub receive_timeout: Duration,

    /// Seconds between the pings that the server sends on a socket. A client of which nothing comes for
    /// twice as long, not even the answer to a ping, is disconnected.
    #[arg(long, env = "POINTSTREAM_PING_INTERVAL", value_name = "SECONDS", default_value = "20",
          value_parser = seconds)]
    pub ping_interval: Duration,

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
    pub auth: AuthOptions,

    #[command(flatten)]
    pub videos: VideoOptions,

    #[command(flatten)]
    pub webhooks: WebhookOptions,

    #[command(flatten)]
    pub rates: RateOptions,

    #[command(flatten)]
    pub tls: TlsOptions,

    /// Names under which the server answers, without ports: a list such as scan.example.org,*.lan, or *
    /// for all. Always allowed are localhost, addresses, the names of --host and --operator-listen, and
    /// those in --cors-origins and --public-url.
    #[arg(
        long,
        env = "POINTSTREAM_ALLOWED_HOSTS",
        value_name = "NAMES",
        default_value = ""
    )]
    pub allowed_hosts: HostList,

    /// The address under which people reach the server through a reverse proxy, such as
    /// https://example.org/pointstream. It allows the name and pages of this origin; its path is the
    /// default of --path-prefix.
    #[arg(long, env = "POINTSTREAM_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// Addresses and networks of reverse proxies, such as 127.0.0.1,10.0.0.0/8. X-Forwarded-For, -Proto,
    /// -Host, -Prefix and Forwarded are believed only from them.
    #[arg(
        long,
        env = "POINTSTREAM_TRUSTED_PROXIES",
        value_name = "ADDRESSES",
        default_value = ""
    )]
    pub trusted_proxies: TrustedProxies,

    /// A path below which a reverse proxy shows the server, such as /pointstream. The proxy may remove
    /// it from requests or leave it.
    #[arg(long, env = "POINTSTREAM_PATH_PREFIX", value_name = "PATH")]
    pub path_prefix: Option<PathPrefix>,

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

    /// The most sessions of one client, as far as clients can be told apart.
    pub fn max_sessions_of_one(&self) -> usize {
        let standard = self.max_sessions.div_ceil(DEFAULT_PART_OF_CLIENT);
        self.max_sessions_per_address.unwrap_or(standard)
    }

    /// Disk space of one client in MiB, if there is a limit.
    fn max_disk_mb_of_one(&self) -> Option<u64> {
        let half = self.max_disk_mb.map(|all| all.div_ceil(2));
        self.max_disk_mb_per_client.or(half)
    }

    /// Bytes of the disk that stay free.
    pub fn disk_reserve(&self) -> u64 {
        mib(self.min_free_disk_mb)
    }

    /// The settings of the actor system, with the data folder, the model, the devices and the courier
    /// that were resolved at the start.
    pub fn settings(
        &self,
        data_dir: PathBuf,
        model: Arc<ResolvedModel>,
        devices: Vec<Device>,
        courier: Arc<dyn Courier>,
    ) -> Settings {
        let pool = self.pool.settings(model, devices, self.max_jobs_per_client);
        Settings {
            data_dir,
            pool,
            nats: self.nats.settings(),
            sharing: None,
            max_sessions: self.max_sessions,
            durability: self.durability,
            disk: DiskLimits {
                all: self.max_disk_mb.map_or(u64::MAX, mib),
                client: self.max_disk_mb_of_one().map_or(u64::MAX, mib),
                session: mib(self.max_session_disk_mb),
                reserve: self.disk_reserve(),
            },
            unused_session_timeout: self.unused_session_timeout.min(self.session_timeout),
            session_timeout: self.session_timeout,
            max_images_limit: self.max_images_limit,
            max_points_limit: self.max_points_limit,
            max_pending_requests: self.max_pending_requests,
            max_connections: self.max_connections,
            max_watchers: self.max_watchers,
            max_unanswered_messages: self.max_unanswered_messages,
            image_limits: DecodeLimits {
                max_bytes: self.max_image_bytes,
                max_pixels: self.max_image_pixels,
            },
            upload_buffer_bytes: self
                .upload_buffer_mb
                .saturating_mul(1 << 20)
                .max(self.message_limit()),
            decode_memory_bytes: self.decode_memory_mb.map_or_else(
                || default_decode_memory(machine_memory()),
                |count| count.saturating_mul(1 << 20),
            ),
            drain_timeout: self.pool.drain_timeout,
            courier: Some(courier),
        }
    }
}

/// Bytes for decoding on a machine with so much memory.
pub fn default_decode_memory(machine: Option<u64>) -> usize {
    const PART: u64 = 8;
    const LEAST: usize = 256 << 20;
    let part = usize::try_from(machine.unwrap_or(0) / PART).unwrap_or(usize::MAX);
    part.max(LEAST)
}

/// Without another choice, a client may have this part of all sessions.
const DEFAULT_PART_OF_CLIENT: usize = 4;

fn durability(text: &str) -> Result<Durability, String> {
    Durability::from_str(text).map_err(|_| "use sync or none".to_owned())
}

/// Bytes of so many MiB.
fn mib(count: u64) -> u64 {
    count.saturating_mul(1 << 20)
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
    fn decoding_has_a_part_of_the_memory() {
        assert_eq!(default_decode_memory(Some(16 << 30)), 2 << 30);
        assert_eq!(default_decode_memory(Some(1 << 30)), 256 << 20);
        assert_eq!(default_decode_memory(None), 256 << 20);
    }

    #[test]
    fn wrong_values_are_refused() {
        assert!(parse(&["--max-sessions", "0"]).is_err());
        assert!(parse(&["--session-timeout", "soon"]).is_err());
        assert!(parse(&["--device", "tpu"]).is_err());
        assert!(parse(&["--model", ""]).is_err());
        assert!(parse(&["--log-level", "LOUD"]).is_err());
        assert!(parse(&["--cors-origins", "example.org"]).is_err());
        assert!(parse(&["--tls-cert", "a.pem"]).is_err());
        assert!(parse(&["--tls-key", "a.pem"]).is_err());
        assert!(parse(&["--allowed-hosts", "http://example.org"]).is_err());
        assert!(parse(&["--trusted-proxies", "proxy"]).is_err());
        assert!(parse(&["--path-prefix", "pointstream"]).is_err());
        assert!(parse(&["--public-url", "example.org"]).is_err());
        assert!(parse(&["--port", "65536"]).is_err());
        assert!(parse(&["--decode-memory-mb", "0"]).is_err());
        assert!(parse(&["--videos", "perhaps"]).is_err());
        assert!(parse(&["--max-video-mb", "0"]).is_err());
        assert!(parse(&["--webhook-url", "https://example.org"]).is_err());
        assert!(parse(&["--webhook-secret-file", "a.secret"]).is_err());
        assert!(parse(&["--webhook-allow-private", "localhost"]).is_err());
    }
}

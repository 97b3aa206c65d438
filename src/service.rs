//! The server's process: start, serve, shut down.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use pointstream_actors::{Settings, SharingError, StartError, System};
use pointstream_inference::{ResolvedModel, resolve_devices};
use pointstream_reconstruction::model::{Device, DeviceError};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::auth::{Audit, Auth, AuthError};
use crate::data_dir::{self, DataDir, DataDirError};
use crate::entrance::Scheme;
use crate::exposure::{self, Exposed, Protection, Shown};
use crate::gateways::{self, Gateways};
use crate::http::{Door, Server};
use crate::logging::LogFormat;
use crate::metrics::ServiceMetrics;
use crate::models::{self, ModelsError};
use crate::open_files::OpenFiles;
use crate::options::ServeOptions;
use crate::places::Limits;
use crate::rates::Rates;
use crate::signals::Signals;
use crate::tls::{Expiry, Tls, TlsError};
use crate::video::{Reader, Videos, VideosError};
use crate::webhooks::{WebhookCourier, WebhookOptionsError};
use crate::ws::Presences;

/// The secret of the tokens of shared sessions.
const SESSION_KEY: &str = "session-tokens";
/// Time for sockets and requests to close after the actors have stopped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections of operators: few, but never taken by clients.
const OPERATORS: Limits = Limits {
    all: 64,
    of_address: 64,
    of_this_machine: 64,
};
/// Without another choice, an address may have this part of the clients' connections.
const DEFAULT_PART_OF_ADDRESS: usize = 4;

/// Why the service did not start.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// The devices of `--device` do not exist.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelsError),
    #[error("cannot listen on {host}:{port}: {source}{advice}")]
    Address {
        host: String,
        port: u16,
        source: io::Error,
        /// What the operator can do; continues the sentence.
        advice: &'static str,
    },
    #[error("--operator-listen {0:?} is not HOST:PORT, such as 127.0.0.1:9000")]
    OperatorAddress(String),
    /// Strangers could use it.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    #[error(transparent)]
    Shown(#[from] Shown),
    #[error("--workers-per-device 0 needs workers of other machines: --nats nats://HOST:4222")]
    NoWorkers,
    /// It cannot tell who its callers are.
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Webhooks(#[from] WebhookOptionsError),
    /// Videos must be read, and cannot.
    #[error(transparent)]
    Videos(#[from] VideosError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Actors(#[from] StartError),
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// The system refused signals or threads.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Runs the service until a signal ends it. The error says why it did not start.
pub async fn run(options: ServeOptions) -> Result<(), ServiceError> {
    let mut signals = Signals::new()?;
    let open_files = OpenFiles::raise()
        .inspect_err(|error| {
            tracing::warn!(%error, "cannot read or raise the limit of open files");
        })
        .ok();
    let options = Arc::new(options);
    if options.pool.workers_per_device == 0 && options.nats.nats.is_none() {
        return Err(ServiceError::NoWorkers);
    }
    let mut server = bind(&options.host, options.port).await?;
    let mut operators = bind_for_operators(&options).await?;

    let stop = CancellationToken::new();
    let max_sessions = options.max_sessions_of_one();
    let folder = data_dir::path(options.data_dir.as_deref(), server.address());
    let auth = Auth::start(&options.auth, &folder, max_sessions, stop.clone()).await?;
    let (tls, expiry) = follow_certificate(options.clone(), &stop).await?.unzip();
    if let Some(tls) = tls {
        server = server.encrypted(tls.clone());
        operators = operators.map(|operators| {
            match operators.address().ip().to_canonical().is_loopback() {
                // Nobody listens in between, and a certificate rarely has this name.
                true => operators,
                false => operators.encrypted(tls),
            }
        });
    }
    let courier = {
        let options = options.clone();
        let read = move || {
            let (public, prefix) = (options.public_url.as_ref(), options.path_prefix.as_ref());
            WebhookCourier::new(&options.webhooks, public, prefix)
        };
        Arc::new(
            tokio::task::spawn_blocking(read)
                .await
                .map_err(io::Error::other)??,
        )
    };
    for server in [Some(&server), operators.as_ref()].into_iter().flatten() {
        let protection = Protection {
            asks: auth.asks(),
            encrypts: server.scheme() == Scheme::Https,
            elsewhere: options.auth.insecure,
        };
        exposure::check(server.address(), protection)?;
    }
    let is_public = options.public_url.as_ref();
    let is_public = is_public.is_some_and(|url| !url.authority.is_of_this_machine());
    let has_proxies = !options.trusted_proxies.are_none();
    let is_guarded = auth.asks() || options.auth.insecure;
    exposure::check_proxies((is_public, has_proxies), is_guarded)?;
    let (address, scheme) = (server.address(), server.scheme());
    let is_private =
        exposure::is_private(address, (is_public, has_proxies)) && options.cors_origins.is_local();
    let reader = tokio::select! {
        reader = Reader::find(options.videos.videos, is_private) => reader?,
        () = signals.next() => return Ok(()),
    };
    let (devices, model, data_dir) = {
        let mut prepared = pin!(prepare(options.clone(), address, stop.clone()));
        tokio::select! {
            prepared = &mut prepared => prepared?,
            () = signals.next() => {
                // Wait until a cancelled fetch has removed its files.
                stop.cancel();
                prepared.await?
            }
        }
    };
    if stop.is_cancelled() {
        data_dir.close();
        return Ok(());
    }
    let data = data_dir.path().to_owned();
    let shared = options.gateway_url.as_ref();
    let settings = Settings {
        sharing: shared.map(|url| gateways::sharing(url, address.port())),
        ..options.settings(data.clone(), Arc::new(model), devices, courier)
    };
    let system = System::start(settings).await?;
    let gateways = Gateways::of(&system, stop.clone()).await?;
    let key = system.shared_secret(SESSION_KEY).await?;
    let videos = {
        let (reserve, stop) = (options.disk_reserve(), stop.clone());
        // The actors have locked the data directory: no other server uses it.
        let videos = tokio::task::spawn_blocking(move || Videos::new(reader, &data, reserve, stop));
        Arc::new(videos.await.map_err(VideosError::from)??)
    };

    let metrics = ServiceMetrics::new(system.metrics().registry(), system.model())
        .map_err(StartError::from)?;
    if let Some(expiry) = expiry {
        expiry
            .register(system.metrics().registry())
            .map_err(StartError::from)?;
    }
    let audit = Audit::new(system.metrics().registry()).map_err(StartError::from)?;
    warn_of_low_rates(&options);
    let rates = Arc::new(Rates::new(&options.rates, metrics.rates.clone()));
    let app = App {
        system,
        rates,
        options,
        auth: Arc::new(auth.keeping_keys_in(&folder, key).await?),
        gateways,
        audit: Arc::new(audit),
        metrics: Arc::new(metrics),
        sockets: TaskTracker::new(),
        videos,
        presences: Presences::default(),
    };
    let serving = {
        let (app, stop) = (app.clone(), stop.clone());
        let limits = client_limits(&app.options, open_files);
        let operators_address = operators.as_ref().map(Server::address);
        let serving = tokio::spawn(async move {
            match operators {
                None => server.run(&app, Door::All, limits, stop).await,
                Some(operators) => {
                    let clients = server.run(&app, Door::Clients, limits, stop.clone());
                    let operators = operators.run(&app, Door::Operators, OPERATORS, stop);
                    tokio::join!(clients, operators);
                }
            }
        });
        if let Some(address) = operators_address {
            tracing::info!(%address, "listening for operators");
        }
        serving
    };
    announce(&app, scheme, address);

    signals.next().await;
    tracing::info!(
        "shutting down; running jobs have {:?} to finish; a second signal ends the server at once",
        app.options.pool.drain_timeout
    );
    stop.cancel();
    tokio::select! {
        () = drain(app, serving) => tracing::info!("shut down"),
        () = signals.next() => tracing::warn!("second signal: ending without waiting for running jobs"),
    }
    data_dir.close();
    Ok(())
}

/// Reads the certificate, and again when it changes until `stop` is cancelled.
async fn follow_certificate(
    options: Arc<ServeOptions>,
    stop: &CancellationToken,
) -> Result<Option<(Tls, Expiry)>, ServiceError> {
    let loaded = tokio::task::spawn_blocking(move || options.tls.load());
    let Some(certificate) = loaded.await.map_err(io::Error::other)?? else {
        return Ok(None);
    };
    let tls = Tls::new(&certificate)?;
    let expiry = certificate.expiry();
    tokio::spawn(certificate.follow(stop.clone()));
    Ok(Some((tls, expiry)))
}

/// The listener of `--operator-listen`, if there is one.
async fn bind_for_operators(options: &ServeOptions) -> Result<Option<Server>, ServiceError> {
    let Some(address) = &options.operator_listen else {
        return Ok(None);
    };
    let parts = address.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.ok_or_else(|| ServiceError::OperatorAddress(address.clone()))?;
    Ok(Some(bind(host, port).await?))
}

/// How many clients may connect: as many as the options say and the system has files for.
fn client_limits(options: &ServeOptions, open_files: Option<OpenFiles>) -> Limits {
    let wanted = options.max_clients;
    let all = open_files.map_or(wanted, |files| {
        files.connections_that_fit(wanted, options.max_sessions)
    });
    if all < wanted {
        tracing::warn!(
            "at most {all} clients can connect instead of --max-clients {wanted}: the system's limit of \
             open files is too low; raise it (ulimit -n)"
        );
    }
    let of_address = options.max_clients_per_address;
    Limits {
        all,
        of_address: of_address.unwrap_or(all.div_ceil(DEFAULT_PART_OF_ADDRESS)),
        of_this_machine: of_address.unwrap_or(all),
    }
}

/// Tells the operator of rates under which honest clients are cut off now and then.
fn warn_of_low_rates(options: &ServeOptions) {
    let message = options.message_limit();
    for low in options.rates.too_low_for(message) {
        tracing::warn!(
            "{} {} is low for messages of up to {message} bytes: sockets that send messages of more than {} \
             MiB one after another are closed with 1013 now and then; raise it, or lower --max-message-bytes",
            low.option,
            low.rate,
            low.fitting
        );
    }
}

async fn bind(host: &str, port: u16) -> Result<Server, ServiceError> {
    Server::bind(host, port)
        .await
        .map_err(|source| ServiceError::Address {
            host: host.to_owned(),
            port,
            advice: match source.kind() {
                io::ErrorKind::AddrInUse => "; choose another with --port, 0 picks a free one",
                io::ErrorKind::PermissionDenied => "; choose a --port of 1024 or more",
                _ => "; choose another with --host",
            },
            source,
        })
}

/// Resolves the devices, then the model to run on them, then opens the data folder.
async fn prepare(
    options: Arc<ServeOptions>,
    address: SocketAddr,
    stop: CancellationToken,
) -> Result<(Vec<Device>, ResolvedModel, DataDir), ServiceError> {
    let device = options.pool.model.device.clone();
    let devices = tokio::task::spawn_blocking(move || resolve_devices(&device))
        .await
        .map_err(io::Error::other)??;
    let model = models::resolve(&options.pool.model, &devices, &stop).await?;
    let data_dir = tokio::task::spawn_blocking(move || {
        DataDir::open(options.data_dir.as_deref(), address, options.port == 0)
    })
    .await
    .map_err(io::Error::other)??;
    Ok((devices, model, data_dir))
}

/// Waits for running jobs and open connections, at most for the drain timeout and
/// [`CLOSE_TIMEOUT`].
async fn drain(app: App, serving: tokio::task::JoinHandle<()>) {
    let ended = tokio::time::timeout(app.options.pool.drain_timeout + CLOSE_TIMEOUT, async {
        app.system.drain().await;
        app.sockets.close();
        app.sockets.wait().await;
        if let Err(error) = serving.await {
            tracing::error!(%error, "the task that accepts connections failed");
        }
        app.videos.removed().await;
    });
    if ended.await.is_err() {
        tracing::warn!("some connections did not close in time; they are closed now");
    }
}

/// Writes the address to stdout, for programs, and the first steps to stderr, for people.
fn announce(app: &App, scheme: Scheme, address: SocketAddr) {
    let settings = app.system.settings();
    let model = settings.pool.model.metadata();
    let devices: Vec<String> = settings
        .pool
        .devices
        .iter()
        .map(ToString::to_string)
        .collect();
    tracing::info!(
        %address,
        model = model.name,
        model_version = model.version,
        devices = devices.join(","),
        workers_per_device = settings.pool.workers_per_device,
        data_dir = %settings.data_dir.display(),
        videos = app.videos.are_read(),
        "listening"
    );
    // A closed pipe does not end the server.
    let _ = writeln!(io::stdout(), "listening on {scheme}://{address}");
    if app.options.log.format == LogFormat::Text {
        let url = format!("{scheme}://{}", reachable(address));
        let (token, header) = match app.auth.asks() {
            true => (
                "export POINTSTREAM_TOKEN=...\n  ",
                "-H \"Authorization: Bearer $POINTSTREAM_TOKEN\" ",
            ),
            false => ("", ""),
        };
        let _ = writeln!(
            io::stderr(),
            "\nTry it: open {url}/ in a browser, or use another terminal:\n  \
             {token}curl {header}-D - -F images=@a.jpg -F images=@b.jpg -o scene.glb {url}/reconstruct\n\
             {url}/docs describes the HTTP interface. Ctrl+C stops the server.\n"
        );
    }
}

/// The address with which a client on this machine connects.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

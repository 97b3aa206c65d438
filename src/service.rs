//! The server's process: start, serve, shut down.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use pointstream_actors::{StartError, System};
use pointstream_inference::{ResolvedModel, resolve_devices};
use pointstream_reconstruction::model::{Device, DeviceError};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::data_dir::{DataDir, DataDirError};
use crate::http::Server;
use crate::logging::LogFormat;
use crate::metrics::ServiceMetrics;
use crate::models::{self, ModelsError};
use crate::options::ServeOptions;
use crate::signals::Signals;

/// Time for sockets and requests to close after the actors have stopped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

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
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Actors(#[from] StartError),
    /// The system refused signals or threads.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Runs the service until a signal ends it. The error says why it did not start.
pub async fn run(options: ServeOptions) -> Result<(), ServiceError> {
    let mut signals = Signals::new()?;
    let options = Arc::new(options);
    let server = bind(&options).await?;
    let address = server.address();

    let stop = CancellationToken::new();
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
    let settings = options.settings(data_dir.path().to_owned(), Arc::new(model), devices);
    let system = System::start(settings).await?;

    let metrics = ServiceMetrics::new(system.metrics().registry(), system.model())
        .map_err(StartError::from)?;
    let app = App {
        system,
        options,
        metrics: Arc::new(metrics),
        sockets: TaskTracker::new(),
    };
    let serving = {
        let (app, stop) = (app.clone(), stop.clone());
        tokio::spawn(async move { server.run(&app, stop).await })
    };
    announce(&app, address);

    signals.next().await;
    tracing::info!(
        "shutting down; running jobs have {:?} to finish; a second signal ends the server at once",
        app.options.drain_timeout
    );
    stop.cancel();
    tokio::select! {
        () = drain(app, serving) => tracing::info!("shut down"),
        () = signals.next() => tracing::warn!("second signal: ending without waiting for running jobs"),
    }
    data_dir.close();
    Ok(())
}

async fn bind(options: &ServeOptions) -> Result<Server, ServiceError> {
    Server::bind(&options.host, options.port)
        .await
        .map_err(|source| ServiceError::Address {
            host: options.host.clone(),
            port: options.port,
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
    let device = options.model.device.clone();
    let devices = tokio::task::spawn_blocking(move || resolve_devices(&device))
        .await
        .map_err(io::Error::other)??;
    let model = models::resolve(&options.model, &devices, &stop).await?;
    let data_dir =
        tokio::task::spawn_blocking(move || DataDir::open(options.data_dir.as_deref(), address))
            .await
            .map_err(io::Error::other)??;
    Ok((devices, model, data_dir))
}

/// Waits for running jobs and open connections, at most for the drain timeout and
/// [`CLOSE_TIMEOUT`].
async fn drain(app: App, serving: tokio::task::JoinHandle<()>) {
    let ended = tokio::time::timeout(app.options.drain_timeout + CLOSE_TIMEOUT, async {
        app.system.drain().await;
        app.sockets.close();
        app.sockets.wait().await;
        if let Err(error) = serving.await {
            tracing::error!(%error, "the task that accepts connections failed");
        }
    });
    if ended.await.is_err() {
        tracing::warn!("some connections did not close in time; they are closed now");
    }
}

/// Writes the address to stdout, for programs, and the first steps to stderr, for people.
fn announce(app: &App, address: SocketAddr) {
    let settings = app.system.settings();
    let model = settings.model.metadata();
    let devices: Vec<String> = settings.devices.iter().map(ToString::to_string).collect();
    tracing::info!(
        %address,
        model = model.name,
        model_version = model.version,
        devices = devices.join(","),
        workers_per_device = settings.workers_per_device,
        data_dir = %settings.data_dir.display(),
        "listening"
    );
    // A closed pipe does not end the server.
    let _ = writeln!(io::stdout(), "listening on http://{address}");
    if app.options.log.format == LogFormat::Text {
        let url = format!("http://{}", reachable(address));
        let _ = writeln!(
            io::stderr(),
            "\nTry it from another terminal:\n  \
             curl -X POST {url}/ws/session/create\n  \
             .venv/bin/python -m pip install -r examples/requirements.txt\n  \
             .venv/bin/python examples/websocket_client.py --server {url} \
             --images examples/sample_scene/*.jpg\n\
             See README.md and docs/protocol.md for more.\n"
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

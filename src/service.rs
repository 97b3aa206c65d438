//! The life of the process: start, serve, end.

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
use crate::options::Options;
use crate::signals::Signals;

/// How long sockets and requests may take to end once the actors have.
const GOODBYE: Duration = Duration::from_secs(10);

/// Why the service did not start.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// The devices asked for are not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model was refused.
    #[error(transparent)]
    Model(#[from] ModelsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {host}:{port}: {source}{advice}")]
    Address {
        /// Host that was asked for.
        host: String,
        /// Port that was asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
        /// What would work.
        advice: &'static str,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The actors did not start.
    #[error(transparent)]
    Actors(#[from] StartError),
    /// The system refused something that is always there.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Runs the service until a signal ends it.
///
/// # Errors
/// [`ServiceError`] if it did not start.
pub async fn run(options: Options) -> Result<(), ServiceError> {
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
                // A model that is being fetched leaves nothing behind.
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
        "shutting down; running work may take {:?}",
        app.options.drain_timeout
    );
    stop.cancel();
    tokio::select! {
        () = drain(app, serving) => tracing::info!("shut down"),
        () = signals.next() => tracing::warn!("second signal, ending at once"),
    }
    data_dir.close();
    Ok(())
}

async fn bind(options: &Options) -> Result<Server, ServiceError> {
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

/// The devices, the model and the folder, the devices first: loading CUDA tells most.
async fn prepare(
    options: Arc<Options>,
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

/// Ends what runs, in bounded time.
async fn drain(app: App, serving: tokio::task::JoinHandle<()>) {
    let ended = tokio::time::timeout(app.options.drain_timeout + GOODBYE, async {
        app.system.drain().await;
        app.sockets.close();
        app.sockets.wait().await;
        if let Err(error) = serving.await {
            tracing::error!(%error, "serving failed");
        }
    });
    if ended.await.is_err() {
        tracing::warn!("some clients did not let go in time");
    }
}

/// Tells programs where we listen, and people what to do next.
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
    // Nobody may be reading, which is no reason to end.
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
             README.md and docs/protocol.md say the rest.\n"
        );
    }
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

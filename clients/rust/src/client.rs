//! A server, and the sessions on it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio_rustls::rustls::ClientConfig;

use crate::PROTOCOL_VERSION;
use crate::attach::Attach;
use crate::cloud::Cloud;
use crate::engine::{Engine, Use};
use crate::error::Error;
use crate::info::{Info, Sessions};
use crate::parameters::{Deltas, SessionOptions, SocketOptions};
use crate::remote::Remote;
use crate::rest::{Call, Rest};
use crate::retry::Retry;
use crate::serve::Before;
use crate::session::Session;
use crate::transport::Transport;

/// How a client talks to its server.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How long a connection may take, and how long an HTTP answer may be without a byte. 60 s.
    pub timeout: Duration,
    /// How long the server may be silent after a ping, and a message may make no way. 60 s.
    pub dead_after: Duration,
    /// How often something is tried again.
    pub retry: Retry,
    /// For servers whose certificate the system does not trust.
    pub tls: Option<Arc<ClientConfig>>,
    /// Bytes of a result that is kept in memory. [`Session::download`] has no limit.
    pub max_result_bytes: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            dead_after: Duration::from_secs(60),
            retry: Retry::default(),
            tls: None,
            max_result_bytes: 1 << 30,
        }
    }
}

/// A server. Clones share what is known of it.
#[derive(Clone)]
pub struct Client {
    rest: Arc<Rest>,
    token: Option<String>,
    options: Arc<ClientOptions>,
    info: Arc<OnceCell<Info>>,
}

impl Client {
    /// The server at an address such as `http://127.0.0.1:8000`. It is not asked anything yet.
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::with_options(url, ClientOptions::default())
    }

    /// As [`new`](Self::new), with other options.
    pub fn with_options(url: &str, options: ClientOptions) -> Result<Self, Error> {
        let transport = Transport::new(url, options.timeout, options.tls.clone())?;
        options.retry.check()?;
        if options.timeout.is_zero() || options.dead_after.is_zero() {
            return Err(Error::InvalidArgument(
                "timeout and dead_after must be more than 0".to_owned(),
            ));
        }
        Ok(Self {
            rest: Arc::new(Rest {
                transport,
                retry: options.retry,
            }),
            token: None,
            options: Arc::new(options),
            info: Arc::default(),
        })
    }

    /// Says who we are. It is sent in a header, never in an address.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The address of the server.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.rest.transport.base
    }

    /// Versions, model, devices and limits of the server.
    pub async fn info(&self) -> Result<Info, Error> {
        self.rest.json(&self.call(Method::GET, "/info")).await
    }

    /// The caller's sessions, with statistics.
    pub async fn sessions(&self) -> Result<Sessions, Error> {
        self.rest
            .json(&self.call(Method::GET, "/ws/sessions"))
            .await
    }

    /// Makes a session, and connects it.
    ///
    /// [`Parameters`](crate::Parameters) are options, too.
    pub async fn create(&self, options: impl Into<SessionOptions>) -> Result<Session, Error> {
        self.make("/ws/session/create".to_owned(), options.into())
            .await
    }

    /// Takes up a session that exists, for example of a program that has ended. Its identifier
    /// suffices, and [`Attach`] says more.
    pub async fn attach(&self, session: impl Into<Attach>) -> Result<Session, Error> {
        let given = session.into();
        // Whatever the parameters of the session are: only the server knows them.
        let deltas = given.socket.deltas.unwrap_or(Deltas::Append);
        given.socket.check()?;
        self.compatible().await?;
        let token = given.token.or_else(|| self.token.clone());
        let cloud = given.cloud.unwrap_or_default();
        let engine = self.engine(given.session_id, token, &given.socket, deltas, cloud)?;
        self.connect(engine, None, given.resume).await
    }

    pub(crate) async fn make(
        &self,
        path: String,
        options: SessionOptions,
    ) -> Result<Session, Error> {
        let deltas = options.deltas()?;
        options.socket.check()?;
        self.compatible().await?;
        let body = options.webhook.map(|webhook| json!({"webhook": webhook}));
        let query = options.parameters.query()?;
        // The token of a session has no right to make another one.
        let call = self.call(Method::POST, &path).query(query).body(body);
        let made: Made = self.rest.json(&call).await?;
        // From now on the token of the session suffices. Servers that ask for none give none.
        let token = made.session_token.or_else(|| self.token.clone());
        let secret = made.webhook.and_then(|webhook| webhook.secret);
        let engine = self.engine(
            made.session_id,
            token,
            &options.socket,
            deltas,
            Arc::default(),
        )?;
        let kept = Arc::clone(&engine);
        let connected = self.connect(engine, secret, false).await;
        if connected.is_err() {
            // Nobody will use it. The error of the connection says what matters.
            let _ = kept.remote.send(Method::DELETE, "").await;
        }
        connected
    }

    async fn connect(
        &self,
        engine: Arc<Engine>,
        webhook_secret: Option<String>,
        resume: bool,
    ) -> Result<Session, Error> {
        let socket = engine.open(resume, None).await?;
        let limits = &self.compatible().await?.limits;
        let max_image_bytes = limits.get("max_image_bytes").and_then(Value::as_u64);
        let before = match resume {
            true => Before::Another,
            false => Before::Nothing,
        };
        let task = tokio::spawn(Arc::clone(&engine).run(socket, before));
        let client = self.clone();
        Ok(Session::new(
            client,
            engine,
            webhook_secret,
            max_image_bytes,
            task,
        ))
    }

    fn engine(
        &self,
        id: String,
        token: Option<String>,
        socket: &SocketOptions,
        deltas: Deltas,
        cloud: Arc<Cloud>,
    ) -> Result<Arc<Engine>, Error> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if id.is_empty() || !id.chars().all(plain) {
            return Err(Error::InvalidArgument(format!(
                "{id:?} is no identifier of a session"
            )));
        }
        let remote = Remote {
            rest: Arc::clone(&self.rest),
            id,
            token,
            max_result_bytes: self.options.max_result_bytes,
        };
        let usage = Use {
            binary: socket.binary,
            deltas,
            max_in_flight: socket.max_in_flight,
            max_message_bytes: socket.max_message_bytes,
            dead_after: self.options.dead_after,
        };
        Ok(Arc::new(Engine::new(remote, usage, cloud)))
    }

    /// What the server says of itself, if it speaks our protocol. It is asked once.
    async fn compatible(&self) -> Result<&Info, Error> {
        let asked = || async {
            let info = self.info().await?;
            let first = |version: &str| version.split('.').next().map(str::to_owned);
            if first(&info.protocol_version) != first(PROTOCOL_VERSION) {
                return Err(Error::IncompatibleServer {
                    spoken: info.protocol_version,
                });
            }
            Ok(info)
        };
        self.info.get_or_try_init(asked).await
    }

    fn call(&self, method: Method, path: &str) -> Call {
        Call::new(method, path.to_owned(), self.token.as_deref())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the token, which logs may show.
        let mut shown = formatter.debug_struct("Client");
        shown.field("url", &self.url()).finish_non_exhaustive()
    }
}

/// The answer to a request for a new session.
#[derive(Deserialize)]
struct Made {
    session_id: String,
    session_token: Option<String>,
    webhook: Option<MadeWebhook>,
}

#[derive(Deserialize)]
struct MadeWebhook {
    secret: Option<String>,
}

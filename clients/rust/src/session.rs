//! A reconstruction on the server, while photos are streamed to it.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::Method;
use serde_json::Map;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::cloud::Cloud;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Ack, Poses, Scene};
use crate::events::Events;
use crate::format::Format;
use crate::image::Image;
use crate::lock::lock;
use crate::outbox::{Answer, Kind, Pending};
use crate::parameters::SessionOptions;
use crate::remote::{SessionState, StoredImage};
use crate::upload::{Upload, answer, wrong_answer};

/// One session. [`Client::create`] and [`Client::attach`] give it, and so does [`Session::rerun`].
///
/// Clones are the same session, and several tasks may use it together. Requests for point clouds
/// wait for each other. [`close`](Self::close) leaves it as it is on the server, and so does
/// dropping its last clone, but then confirmations may be lost. [`delete`](Self::delete) ends it.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    client: Client,
    engine: Arc<Engine>,
    webhook_secret: Option<String>,
    max_image_bytes: Option<u64>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Session {
    pub(crate) fn new(
        client: Client,
        engine: Arc<Engine>,
        webhook_secret: Option<String>,
        max_image_bytes: Option<u64>,
        task: JoinHandle<()>,
    ) -> Self {
        Self(Arc::new(Inner {
            client,
            engine,
            webhook_secret,
            max_image_bytes,
            task: Mutex::new(Some(task)),
        }))
    }

    /// The identifier of the session.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.engine.remote.id
    }

    /// The token for this session alone if there is one, else that of the client.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.0.engine.remote.token.as_deref()
    }

    /// The secret that the server has made for the webhook. It is not told again.
    #[must_use]
    pub fn webhook_secret(&self) -> Option<&str> {
        self.0.webhook_secret.as_deref()
    }

    /// What the updates have made so far. Without [`Deltas::Append`](crate::Deltas::Append) it stays empty.
    #[must_use]
    pub fn cloud(&self) -> Arc<Cloud> {
        Arc::clone(&lock(&self.0.engine.state).cloud)
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.0.engine.events()
    }

    /// Sends an image, and waits until it is stored. [`Error::ImageRefused`]: it cannot be used.
    ///
    /// At most `max_in_flight` images are sent and not acknowledged; others wait here.
    pub async fn upload(&self, image: impl Into<Image>) -> Result<Ack, Error> {
        self.send(image).await?.await
    }

    /// Takes an image to be sent, and returns what resolves with its acknowledgement.
    ///
    /// It waits until fewer than `max_in_flight` images are on their way. Images are stored in the
    /// order in which these calls return.
    pub async fn send(&self, image: impl Into<Image>) -> Result<Upload, Error> {
        let image = image.into();
        let fields = image.fields()?;
        let place = self.place(&self.0.engine.images).await?;
        let data = image.read(self.0.max_image_bytes).await?;
        let (pending, waiter) = Pending::new(Kind::Image, fields, Some(data), place);
        self.0.engine.post(pending)?;
        Ok(Upload(waiter))
    }

    /// Sends images one after another without waiting for each acknowledgement.
    ///
    /// Files are read when they are sent, so memory is bounded by `max_in_flight` of them. The list
    /// has an acknowledgement or [`Error::ImageRefused`] for each image, in their order.
    pub async fn upload_many<I>(&self, images: I) -> Result<Vec<Result<Ack, Error>>, Error>
    where
        I: IntoIterator,
        I::Item: Into<Image>,
    {
        let mut sent = Vec::new();
        for image in images {
            sent.push(tolerate(self.send(image).await)?);
        }
        let mut answers = Vec::with_capacity(sent.len());
        for upload in sent {
            answers.push(match upload {
                Ok(upload) => tolerate(upload.await)?,
                Err(error) => Err(error),
            });
        }
        Ok(answers)
    }

    /// Asks for an update: the point cloud of all images so far. Dropping the future cancels it.
    pub async fn generate(&self) -> Result<Scene, Error> {
        self.request(Kind::Update).await
    }

    /// As [`generate`](Self::generate), with a whole result as the answer. The session goes on.
    pub async fn generate_whole(&self) -> Result<Scene, Error> {
        self.request(Kind::Whole).await
    }

    /// Asks for the final point cloud, which completes the session. Dropping the future cancels it.
    pub async fn finalize(&self) -> Result<Scene, Error> {
        self.request(Kind::Finalize).await
    }

    async fn request(&self, kind: Kind) -> Result<Scene, Error> {
        let engine = &self.0.engine;
        let place = self.place(&engine.requests).await?;
        let (pending, waiter) = Pending::new(kind, Map::new(), None, place);
        let _cancel = CancelWhenDropped {
            engine: Arc::clone(engine),
            id: pending.id.clone(),
        };
        engine.post(pending)?;
        match answer(waiter.await)? {
            Answer::Scene(scene) => Ok(scene),
            _ => Err(wrong_answer()),
        }
    }

    /// Where each frame is now.
    pub async fn map(&self) -> Result<Poses, Error> {
        let place = self.place(&self.0.engine.maps).await?;
        let (pending, waiter) = Pending::new(Kind::Map, Map::new(), None, place);
        self.0.engine.post(pending)?;
        match answer(waiter.await)? {
            Answer::Poses(poses) => Ok(poses),
            _ => Err(wrong_answer()),
        }
    }

    /// Ends the request that runs: it returns [`Error::Cancelled`]. Returns whether there was one.
    pub fn cancel(&self) -> Result<bool, Error> {
        let engine = &self.0.engine;
        engine.check()?;
        let any = lock(&engine.state).outbox.cancel_requests();
        engine.wake.notify_one();
        Ok(any)
    }

    /// Ends all requests of the session, those of other clients too.
    pub async fn cancel_all(&self) -> Result<(), Error> {
        self.rest(Method::DELETE, "/generation").await.map(drop)
    }

    /// The state of the session.
    pub async fn state(&self) -> Result<SessionState, Error> {
        self.0.engine.remote.state().await
    }

    /// The stored images.
    pub async fn images(&self) -> Result<Vec<StoredImage>, Error> {
        self.0.engine.remote.images().await
    }

    /// An image as it was sent.
    pub async fn image(&self, index: u64) -> Result<Bytes, Error> {
        self.rest(Method::GET, &format!("/images/{index}")).await
    }

    /// A small JPEG of an image.
    pub async fn thumbnail(&self, index: u64) -> Result<Bytes, Error> {
        let path = format!("/images/{index}/thumbnail");
        self.rest(Method::GET, &path).await
    }

    /// The newest result as a file in memory.
    pub async fn result(&self, format: Format) -> Result<Bytes, Error> {
        self.0.engine.remote.result(format).await
    }

    /// Writes the newest result to a file, in the format of its extension unless one is given.
    ///
    /// It is not read into memory, and an existing file is replaced only by a whole one.
    pub async fn download(
        &self,
        path: impl AsRef<Path>,
        format: Option<Format>,
    ) -> Result<(), Error> {
        let path = path.as_ref();
        let format = format.map_or_else(|| Format::of(path), Ok)?;
        self.0.engine.remote.download(format, path).await
    }

    /// A token with which others watch this session; none if the server asks nobody for one.
    pub async fn watch_token(&self) -> Result<Option<String>, Error> {
        self.0.engine.remote.watch_token().await
    }

    /// Lets a completed session take images and requests again, in the same coordinates.
    pub async fn reopen(&self) -> Result<(), Error> {
        self.rest(Method::POST, "/reopen").await.map(drop)
    }

    /// A new session with the images of this one, which are not sent again. Parameters that are
    /// missing are as in this session.
    pub async fn rerun(&self, options: impl Into<SessionOptions>) -> Result<Self, Error> {
        let path = format!("/ws/session/{}/rerun", self.id());
        self.0.client.make(path, options.into()).await
    }

    /// Disconnects. The session stays on the server: [`Client::attach`] takes it up again. Calls that
    /// still wait return [`Error::Closed`].
    pub async fn close(&self) {
        self.0.engine.stop();
        let task = lock(&self.0.task).take();
        if let Some(task) = task {
            // It ends by itself, within seconds.
            let _ = task.await;
        }
    }

    /// Disconnects, ends the session on the server, and removes its files.
    pub async fn delete(&self) -> Result<(), Error> {
        self.close().await;
        match self.rest(Method::DELETE, "").await {
            // It has ended by itself, which is what was asked for.
            Err(Error::SessionNotFound(_)) => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    async fn rest(&self, method: Method, path: &str) -> Result<Bytes, Error> {
        self.0.engine.remote.send(method, path).await
    }

    async fn place(&self, places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
        let place = Arc::clone(places).acquire_owned().await;
        place.map_err(|_| self.0.engine.check().err().unwrap_or(Error::Closed))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Session");
        shown.field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // After `close` there is no task.
        if let Some(task) = lock(&self.task).take() {
            task.abort();
            self.engine.fail(&Error::Closed);
        }
    }
}

/// Nobody waits for the answer any more, so the server need not compute it.
struct CancelWhenDropped {
    engine: Arc<Engine>,
    id: String,
}

impl Drop for CancelWhenDropped {
    fn drop(&mut self) {
        if lock(&self.engine.state).outbox.cancel(&self.id) {
            self.engine.wake.notify_one();
        }
    }
}

/// An image that is refused ends nothing; any other error does.
fn tolerate<T>(result: Result<T, Error>) -> Result<Result<T, Error>, Error> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error @ Error::ImageRefused(_)) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

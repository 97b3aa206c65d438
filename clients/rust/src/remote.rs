//! What a session says over HTTP.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::event::{Scene, SceneKind, Told};
use crate::format::Format;
use crate::rest::{Call, Rest};

/// A result can be replaced between two requests for it.
const TRIES: usize = 3;

/// The state of a session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SessionState {
    /// Its identifier.
    pub session_id: String,
    /// `active`, `processing`, `completed` or `error`.
    pub status: String,
    /// Images that are stored.
    pub image_count: u64,
    /// Images that it may have; none in the list of sessions.
    pub max_images: Option<u64>,
    /// Images that were received and are not stored yet.
    pub pending_images: u64,
    /// Requests that run or wait.
    pub requests: u64,
    /// Whether there is a result.
    pub has_result: bool,
    /// The error of the last generation.
    pub error_message: Option<String>,
    /// Everything else, as docs/protocol.md describes it.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl SessionState {
    /// Whether a request runs, or its result is being stored.
    pub(crate) fn is_running(&self) -> bool {
        self.status == "processing" || self.requests > 0
    }
}

/// An image that is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredImage {
    /// Where it is among the images of the session, from 0.
    pub index: u64,
    /// The identifier of the message that brought it.
    pub id: Option<String>,
    /// Its name.
    pub image_path: String,
    /// The processed width in pixels.
    pub width: u32,
    /// The processed height in pixels.
    pub height: u32,
}

#[derive(Deserialize)]
struct Images {
    images: Vec<StoredImage>,
}

#[derive(Deserialize)]
struct WatchToken {
    watch_token: Option<String>,
}

#[derive(Deserialize)]
struct Newest {
    r#type: SceneKind,
    #[serde(flatten)]
    told: Told,
}

/// One session at its addresses.
pub(crate) struct Remote {
    pub rest: Arc<Rest>,
    pub id: String,
    pub token: Option<String>,
    pub max_result_bytes: usize,
}

impl Remote {
    pub fn call(&self, method: Method, path: &str) -> Call {
        let path = format!("/ws/session/{}{path}", self.id);
        Call::new(method, path, self.token.as_deref())
    }

    pub async fn send(&self, method: Method, path: &str) -> Result<Bytes, Error> {
        self.rest.send(&self.call(method, path)).await
    }

    pub async fn state(&self) -> Result<SessionState, Error> {
        self.rest.json(&self.call(Method::GET, "")).await
    }

    pub async fn watch_token(&self) -> Result<Option<String>, Error> {
        let call = self.call(Method::POST, "/watch-token");
        Ok(self.rest.json::<WatchToken>(&call).await?.watch_token)
    }

    pub async fn images(&self) -> Result<Vec<StoredImage>, Error> {
        let call = self.call(Method::GET, "/images");
        Ok(self.rest.json::<Images>(&call).await?.images)
    }

    fn result_call(&self, format: Format) -> Call {
        self.call(Method::GET, "/result").query(query(format))
    }

    /// The newest result in a format.
    pub async fn result(&self, format: Format) -> Result<Bytes, Error> {
        let call = self.result_call(format).longest(self.max_result_bytes);
        self.rest.send(&call).await
    }

    /// Writes the newest result to a file.
    pub async fn download(&self, format: Format, target: &Path) -> Result<(), Error> {
        self.rest.save(&self.result_call(format), target).await
    }

    /// The newest result as the answer to a request. `path` is what the server gave, if any.
    pub async fn newest_scene(&self, id: &str, path: Option<&str>) -> Result<Scene, Error> {
        let path = match path {
            Some(path) => self.rest.below(path).to_owned(),
            None => format!("/ws/session/{}/result", self.id),
        };
        let call = || Call::new(Method::GET, path.clone(), self.token.as_deref());
        for _ in 0..TRIES {
            let newest: Newest = self.rest.json(&call().query(query(Format::Json))).await?;
            let glb = call().longest(self.max_result_bytes);
            let glb = self.rest.send(&glb).await?;
            let size = newest.told.metadata.get("glb_size_bytes");
            if size.and_then(Value::as_u64) == Some(glb.len() as u64) {
                let mut scene = Scene::new(newest.r#type, newest.told, glb);
                scene.id = Some(id.to_owned());
                return Ok(scene);
            }
        }
        Err(Error::InvalidResponse(
            "the result was replaced again and again while it was fetched".to_owned(),
        ))
    }
}

fn query(format: Format) -> Vec<(String, String)> {
    vec![("format".to_owned(), format.name().to_owned())]
}

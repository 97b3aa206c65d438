//! What happens in a session.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cloud::{Append, Cloud};
use crate::error::Error;
use crate::poses::FramePose;
use crate::wire::Received;

/// What happens in a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The session is connected.
    Connected {
        /// Images that it has.
        image_count: u64,
        /// Images that it may have.
        max_images: u64,
        /// Whether it continues an earlier connection.
        resumed: bool,
    },
    /// The connection was lost. Another attempt follows.
    Disconnected {
        /// Why it was lost.
        reason: Error,
        /// Which attempt follows.
        attempt: u32,
        /// After how long.
        delay: Duration,
    },
    /// An image is stored.
    Ack(Ack),
    /// A request goes on.
    Progress(Progress),
    /// A request was answered, also one of an earlier connection.
    Scene(Scene),
    /// The answer to [`Session::map`](crate::Session::map).
    Poses(Poses),
    /// The server answered with an error. The call that sent the message returns it, too.
    Refused {
        /// What it says.
        error: Error,
        /// The identifier of the message.
        id: Option<String>,
    },
}

/// An image is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Images of the session with this one.
    pub image_count: u64,
    /// The name of the image.
    pub image_path: String,
    /// The identifier of the message.
    pub id: String,
}

/// A request goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub stage: String,
    /// The share that is done, from 0 to 1.
    pub progress: f64,
    /// For people.
    pub message: String,
    /// The identifier of the request.
    #[serde(default)]
    pub id: Option<String>,
}

/// Where all frames are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poses {
    /// The frames; none before the first result.
    pub frames: Vec<FramePose>,
    /// Width and height in pixels that the intrinsics refer to; none before the first result.
    pub processed_size: Option<[u32; 2]>,
    /// The identifier of the message.
    #[serde(default)]
    pub id: Option<String>,
}

/// Which kind of answer a scene is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SceneKind {
    /// An update.
    Delta,
    /// A whole result.
    Complete,
}

/// The answer to [`Session::generate`](crate::Session::generate) or [`Session::finalize`](crate::Session::finalize).
#[derive(Clone, Debug)]
pub struct Scene {
    /// An update, or a whole result.
    pub kind: SceneKind,
    /// Images of the session.
    pub image_count: u64,
    /// All that docs/protocol.md describes as metadata.
    pub metadata: Arc<Map<String, Value>>,
    /// The whole cloud as a file; of an update with [`Deltas::Append`](crate::Deltas::Append) only what is new.
    pub glb: Bytes,
    /// The identifier of the request.
    pub id: Option<String>,
    /// The number of the result within the session.
    pub number: Option<u64>,
}

/// Whether a result can be relied on, and if not, why and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// `good`, `partial`, `failed`, or a later addition.
    pub verdict: String,
    /// What is wrong. There may be reasons that this version does not know.
    pub reasons: Vec<String>,
    /// A sentence for each of the reasons.
    pub advice: Vec<String>,
    /// All images of the request, as docs/protocol.md describes them.
    #[serde(default)]
    pub frames: Vec<Map<String, Value>>,
}

/// The fields of a result but for its file.
#[derive(Deserialize)]
pub(crate) struct Told {
    pub image_count: u64,
    pub metadata: Map<String, Value>,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub number: Option<u64>,
}

impl Scene {
    pub(crate) fn new(kind: SceneKind, told: Told, glb: Bytes) -> Self {
        Self {
            kind,
            image_count: told.image_count,
            metadata: Arc::new(told.metadata),
            glb,
            id: told.id,
            number: told.number,
        }
    }

    /// The verdict.
    pub fn quality(&self) -> Result<Quality, Error> {
        let quality = self.metadata.get("quality").cloned().unwrap_or_default();
        serde_json::from_value(quality)
            .map_err(|error| Error::InvalidResponse(format!("a result has no verdict ({error})")))
    }

    /// Whether [`glb`](Self::glb) has only what is new.
    #[must_use]
    pub fn is_update(&self) -> bool {
        self.metadata.contains_key("append")
    }

    /// The points and cameras of a whole result; those of updates are in [`Session::cloud`](crate::Session::cloud).
    pub fn cloud(&self) -> Result<Cloud, Error> {
        Cloud::from_glb(&self.glb)
    }

    pub(crate) fn append(&self) -> Result<Option<Append>, Error> {
        let Some(append) = self.metadata.get("append") else {
            return Ok(None);
        };
        Append::deserialize(append)
            .map(Some)
            .map_err(|error| incomplete(&error))
    }
}

/// The event of a message; none of those that are none.
pub(crate) fn parse(message: Received) -> Result<Option<Event>, Error> {
    Ok(Some(match message.kind.as_str() {
        "ack" => Event::Ack(fields(message.fields)?),
        "progress" => Event::Progress(fields(message.fields)?),
        "poses" => Event::Poses(fields(message.fields)?),
        kind @ ("delta" | "complete") => {
            let kind = match kind {
                "delta" => SceneKind::Delta,
                _ => SceneKind::Complete,
            };
            let glb = message.glb.ok_or_else(|| incomplete(&"no glb"))?;
            Event::Scene(Scene::new(kind, fields(message.fields)?, glb))
        }
        _ => return Ok(None),
    }))
}

fn fields<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Error> {
    serde_json::from_value(Value::Object(fields)).map_err(|error| incomplete(&error))
}

fn incomplete(reason: &dyn std::fmt::Display) -> Error {
    Error::InvalidResponse(format!("a message of the server is incomplete ({reason})"))
}

//! What a server says of itself and of the sessions on it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::remote::SessionState;

/// What a server says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Info {
    /// The version of the protocol that it speaks.
    pub protocol_version: String,
    /// The version of the program.
    #[serde(default)]
    pub version: Option<String>,
    /// The model, as docs/protocol.md describes it.
    #[serde(default)]
    pub model: Map<String, Value>,
    /// The limits of the server.
    #[serde(default)]
    pub limits: Map<String, Value>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The caller's sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sessions {
    /// The oldest first.
    pub sessions: Vec<SessionState>,
    /// Their statistics, as docs/protocol.md describes them.
    pub stats: Map<String, Value>,
}

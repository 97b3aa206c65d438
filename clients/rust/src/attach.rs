//! A session that exists, and how it is taken up.

use std::fmt;
use std::sync::Arc;

use crate::cloud::Cloud;
use crate::parameters::SocketOptions;

/// A session to take up: its identifier, and what is known of it.
#[derive(Clone)]
pub struct Attach {
    pub(crate) session_id: String,
    pub(crate) token: Option<String>,
    pub(crate) cloud: Option<Arc<Cloud>>,
    pub(crate) socket: SocketOptions,
    pub(crate) resume: bool,
}

impl Attach {
    /// The session with this identifier.
    pub fn new(session_id: impl Into<String>) -> Self {
        Self {
            session_id: session_id.into(),
            token: None,
            cloud: None,
            socket: SocketOptions::default(),
            resume: true,
        }
    }

    /// The token of the session, in place of that of the client.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// What an earlier [`Session::cloud`](crate::Session::cloud) has: updates continue it.
    #[must_use]
    pub fn cloud(mut self, cloud: Arc<Cloud>) -> Self {
        self.cloud = Some(cloud);
        self
    }

    /// How the session is used over its socket.
    #[must_use]
    pub fn socket(mut self, socket: SocketOptions) -> Self {
        self.socket = socket;
        self
    }

    /// Whether answers that nobody has received come. They do unless this is false.
    #[must_use]
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }
}

impl From<&str> for Attach {
    fn from(session_id: &str) -> Self {
        Self::new(session_id)
    }
}

impl fmt::Debug for Attach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the token, which logs may show.
        let mut shown = formatter.debug_struct("Attach");
        shown.field("session_id", &self.session_id);
        shown.finish_non_exhaustive()
    }
}

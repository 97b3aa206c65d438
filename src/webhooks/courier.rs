//! Writes messages and delivers them, for the outbox.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use fs_err as fs;
use pointstream_actors::{
    Courier, Delivering, Letter, OperatorWebhook, WebhookEvent, WebhookSecret,
};
use thiserror::Error;

use super::body::body;
use super::options::WebhookOptions;
use super::post::Post;
use super::secret;
use crate::entrance::{PathPrefix, PublicUrl};

/// The webhook of the operator cannot be used.
#[derive(Debug, Error)]
pub enum WebhookOptionsError {
    #[error("cannot read the secret of --webhook-url: {0}")]
    Read(#[from] std::io::Error),
    #[error("--webhook-secret-file {0}: {1}")]
    Secret(PathBuf, secret::BadSecret),
    #[error("--webhook-secret-file {0} has no secret")]
    NoSecret(PathBuf),
}

/// Writes messages and delivers them.
pub struct WebhookCourier {
    operator: Option<OperatorWebhook>,
    post: Arc<Post>,
    /// Comes before the paths of the server in messages.
    base: String,
}

impl WebhookCourier {
    /// Reads the secret of the operator's webhook, if there is one. `prefix` comes in place of the path of
    /// the public URL. Blocks.
    ///
    /// # Errors
    /// [`WebhookOptionsError`].
    pub fn new(
        options: &WebhookOptions,
        public_url: Option<&PublicUrl>,
        prefix: Option<&PathPrefix>,
    ) -> Result<Self, WebhookOptionsError> {
        let operator = match (&options.webhook_url, &options.webhook_secret_file) {
            (Some(url), Some(file)) => Some(OperatorWebhook {
                url: format!("{}{}", url.origin(), url.path),
                host: url.origin(),
                secrets: secrets(file)?,
            }),
            _ => None,
        };
        let origin = public_url.map(|url| format!("{}://{}", url.scheme, url.authority));
        let prefix = prefix.or(public_url.map(|url| &url.prefix));
        let prefix = prefix.map(PathPrefix::to_string).unwrap_or_default();
        Ok(Self {
            operator,
            post: Arc::new(Post::new(options.webhook_allow_private.clone())),
            base: origin.unwrap_or_default() + &prefix,
        })
    }
}

/// The secrets of a file, one a line.
fn secrets(file: &PathBuf) -> Result<Vec<WebhookSecret>, WebhookOptionsError> {
    let text = fs::read_to_string(file)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let secrets = lines.map(secret::parse).collect::<Result<Vec<_>, _>>();
    let secrets = secrets.map_err(|error| WebhookOptionsError::Secret(file.clone(), error))?;
    match secrets.is_empty() {
        true => Err(WebhookOptionsError::NoSecret(file.clone())),
        false => Ok(secrets),
    }
}

impl fmt::Debug for WebhookCourier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = self.operator.as_ref().map(|webhook| &webhook.host);
        write!(formatter, "WebhookCourier({operator:?})")
    }
}

impl Courier for WebhookCourier {
    fn operator(&self) -> Option<&OperatorWebhook> {
        self.operator.as_ref()
    }

    fn body(&self, event: &WebhookEvent) -> String {
        body(event, &self.base)
    }

    fn deliver(&self, letter: Letter) -> Delivering {
        let post = self.post.clone();
        Box::pin(async move { post.deliver(letter).await })
    }
}

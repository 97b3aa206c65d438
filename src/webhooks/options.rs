//! The options of webhooks.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::addresses::AllowedNetworks;
use super::url::ReceiverUrl;
use crate::entrance::HostList;

/// The options of webhooks.
#[derive(Debug, Clone, Args)]
pub struct WebhookOptions {
    /// URL to which the events of all sessions are sent. It may have any address, also a private one.
    #[arg(
        long,
        env = "POINTSTREAM_WEBHOOK_URL",
        hide_env_values = true,
        value_name = "URL",
        requires = "webhook_secret_file"
    )]
    pub webhook_url: Option<ReceiverUrl>,

    /// File with the secret that signs the messages to --webhook-url: whsec_ and 24 to 64 bytes in base64.
    /// Of several, one a line, each signs.
    #[arg(
        long,
        env = "POINTSTREAM_WEBHOOK_SECRET_FILE",
        value_name = "FILE",
        requires = "webhook_url"
    )]
    pub webhook_secret_file: Option<PathBuf>,

    /// Hosts that clients may choose for the webhooks of their sessions: a list such as
    /// hooks.example.org,*.example.com, * for all, or nothing for none.
    #[arg(
        long,
        env = "POINTSTREAM_WEBHOOK_HOSTS",
        value_name = "NAMES",
        default_value = "*"
    )]
    pub webhook_hosts: HostList,

    /// Networks beside the public internet in which these hosts may be, such as 10.0.0.0/8,fd00::/8, or
    /// all. Without it, private and local addresses are refused.
    #[arg(
        long,
        env = "POINTSTREAM_WEBHOOK_ALLOW_PRIVATE",
        value_name = "NETWORKS",
        default_value = ""
    )]
    pub webhook_allow_private: AllowedNetworks,

    /// Let clients choose webhooks with http://, whose messages can be read on their way.
    #[arg(long, env = "POINTSTREAM_WEBHOOK_ALLOW_HTTP", value_parser = BoolishValueParser::new())]
    pub webhook_allow_http: bool,
}

//! The options that say who may use the server.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::jwt::KeySource;

/// How callers show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMethod {
    /// Nobody is asked: whoever reaches the port may do everything.
    None,
    /// By the tokens of --tokens-file.
    Tokens,
    /// By tokens that an issuer signs (JWT).
    Jwt,
}

/// The options that say who may use the server.
#[derive(Debug, Clone, Args)]
pub struct AuthOptions {
    /// How callers show who they are. With none, everyone who reaches the port may do everything.
    #[arg(
        long,
        env = "POINTSTREAM_AUTH",
        value_name = "METHOD",
        default_value = "none"
    )]
    pub auth: AuthMethod,

    /// File of the tokens for --auth tokens; the command pointstream token makes and changes it. It is
    /// read again when it changes.
    #[arg(long, env = "POINTSTREAM_TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,

    /// Where the public keys of the issuer are for --auth jwt: a URL or a file (JWKS). They are read again
    /// every hour, and when a token names an unknown key.
    #[arg(long, env = "POINTSTREAM_JWT_JWKS", value_name = "URL|FILE")]
    pub jwt_jwks: Option<KeySource>,

    /// The issuer that signed tokens must name (iss).
    #[arg(long, env = "POINTSTREAM_JWT_ISSUER", value_name = "NAME")]
    pub jwt_issuer: Option<String>,

    /// The audience that signed tokens must name (aud).
    #[arg(long, env = "POINTSTREAM_JWT_AUDIENCE", value_name = "NAME")]
    pub jwt_audience: Option<String>,

    /// Listen on addresses that other machines reach even if nobody is asked for a token, or without HTTPS.
    /// Something else must then keep strangers out, and those who would read along.
    #[arg(long, env = "POINTSTREAM_INSECURE", value_parser = BoolishValueParser::new())]
    pub insecure: bool,

    /// File to which the audit log is appended, as JSON. Default: it is a part of the log.
    #[arg(long, env = "POINTSTREAM_AUDIT_LOG", value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
}

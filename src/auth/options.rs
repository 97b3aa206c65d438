//! The options that say who may use the server.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use strum::Display;

use super::jwt::KeySource;

/// How callers show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Display)]
#[strum(serialize_all = "lowercase")]
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

impl AuthOptions {
    /// An option that the method does not use, and the method that does. Its operator may believe that
    /// callers are asked.
    pub fn unused(&self) -> Option<(&'static str, AuthMethod)> {
        let given = [
            (
                "--tokens-file",
                self.tokens_file.is_some(),
                AuthMethod::Tokens,
            ),
            ("--jwt-jwks", self.jwt_jwks.is_some(), AuthMethod::Jwt),
            ("--jwt-issuer", self.jwt_issuer.is_some(), AuthMethod::Jwt),
            (
                "--jwt-audience",
                self.jwt_audience.is_some(),
                AuthMethod::Jwt,
            ),
        ];
        let unused = |(option, is_given, wanted): (_, bool, AuthMethod)| {
            (is_given && wanted != self.auth).then_some((option, wanted))
        };
        given.into_iter().find_map(unused)
    }
}

//! From credentials to a caller.

use std::path::Path;
use std::time::Duration;

use pointstream_actors::SessionId;
use thiserror::Error;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::caller::{Caller, Proof};
use super::jwt::{self, Jwt, KeysError};
use super::needs::Needs;
use super::options::{AuthMethod, AuthOptions};
use super::refusal::{Refusal, Refused};
use super::secret::{Digest, Secret};
use super::session_tokens::{KeyError, Purpose, SHARED_KEY_BYTES, SessionTokens};
use super::token_file::TokenFileError;
use super::watch::{self, Current};

/// Longest wait for the expiry of a connected caller's token before the clock is asked again: it may
/// be set.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The server cannot tell who its callers are, so it does not start.
#[derive(Debug, Error)]
pub enum AuthError {
    #[error(
        "--auth tokens needs --tokens-file FILE; pointstream token --tokens-file FILE add NAME makes it"
    )]
    NoTokensFile,
    #[error(
        "cannot read the tokens: {0}; pointstream token --tokens-file FILE add NAME makes such a file"
    )]
    Tokens(#[from] TokenFileError),
    #[error(
        "{option} is given, but --auth {method} does not use it: add --auth {wanted}, or leave it out"
    )]
    Unused {
        option: &'static str,
        method: AuthMethod,
        wanted: AuthMethod,
    },
    #[error("--auth jwt needs --jwt-jwks URL|FILE, --jwt-issuer NAME and --jwt-audience NAME")]
    NoIssuer,
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Knows who callers are.
pub struct Auth {
    method: Method,
    sessions: SessionTokens,
}

enum Method {
    None,
    Tokens(Current),
    Jwt(Jwt),
}

impl Auth {
    /// Reads the tokens or keys, and again when they change, until `stop` is cancelled.
    /// `max_sessions` limits the sessions of each subject of signed tokens, which name no limit. The data
    /// folder, which need not be there, may have keys that a former server has kept.
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn start(
        options: &AuthOptions,
        folder: &Path,
        max_sessions: usize,
        stop: CancellationToken,
    ) -> Result<Self, AuthError> {
        if let Some((option, wanted)) = options.unused() {
            let method = options.auth;
            return Err(AuthError::Unused {
                option,
                method,
                wanted,
            });
        }
        let method = match options.auth {
            AuthMethod::None => Method::None,
            AuthMethod::Tokens => {
                let file = options.tokens_file.clone();
                let file = file.ok_or(AuthError::NoTokensFile)?;
                Method::Tokens(watch::follow(file, stop).await?)
            }
            AuthMethod::Jwt => {
                let source = options.jwt_jwks.clone();
                let issuer = options.jwt_issuer.clone();
                let audience = options.jwt_audience.clone();
                let given = source.zip(issuer).zip(audience);
                let ((source, issuer), audience) = given.ok_or(AuthError::NoIssuer)?;
                Method::Jwt(Jwt::start(source, folder, issuer, audience, max_sessions, stop).await?)
            }
        };
        Ok(Self {
            method,
            sessions: SessionTokens::new()?,
        })
    }

    /// Keeps the key of the tokens of sessions in a folder, so that they are valid in later processes, and
    /// the keys of the issuer. The tokens have the `shared` key instead if there is one, and are valid at all
    /// servers that have it.
    ///
    /// # Errors
    /// [`AuthError::Key`].
    pub async fn keeping_keys_in(
        self,
        folder: &Path,
        shared: Option<[u8; SHARED_KEY_BYTES]>,
    ) -> Result<Self, AuthError> {
        if !self.asks() {
            return Ok(self);
        }
        if let Method::Jwt(jwt) = &self.method {
            jwt.keep_keys_in(folder);
        }
        if let Some(key) = shared {
            let sessions = SessionTokens::shared(&key);
            return Ok(Self { sessions, ..self });
        }
        let folder = folder.to_owned();
        let kept = tokio::task::spawn_blocking(move || SessionTokens::kept_in(&folder)).await;
        let sessions = kept.map_err(|error| AuthError::Key(KeyError::from(error)))??;
        Ok(Self { sessions, ..self })
    }

    /// Whether callers are asked who they are.
    pub fn asks(&self) -> bool {
        !matches!(self.method, Method::None)
    }

    /// The caller with a token, or without one.
    ///
    /// # Errors
    /// [`Refusal`].
    async fn caller(&self, token: Result<Option<Secret>, Refusal>) -> Result<Caller, Refusal> {
        if !self.asks() {
            return Ok(Caller::anyone());
        }
        let token = token?.ok_or(Refusal::NoToken)?;
        if SessionTokens::is_one(&token) {
            return self.sessions.caller(&token, |owner| self.parent(owner));
        }
        match &self.method {
            Method::None => Ok(Caller::anyone()),
            Method::Tokens(tokens) => {
                let tokens = tokens.borrow().clone();
                tokens.caller(&token, OffsetDateTime::now_utc())
            }
            Method::Jwt(jwt) => jwt.caller(&token).await,
        }
    }

    /// The digest of the token that an owner has now; none if it has no valid one. Signed tokens are not
    /// known before they come, so the tokens of their sessions do not depend on them.
    fn parent(&self, owner: &str) -> Option<Digest> {
        match &self.method {
            Method::None => None,
            Method::Tokens(tokens) => {
                let tokens = tokens.borrow().clone();
                tokens.digest_of(owner, OffsetDateTime::now_utc())
            }
            Method::Jwt(_) => owner.starts_with(jwt::OWNER).then_some(Digest::NONE),
        }
    }

    /// The caller of a request, if it may do what the route needs.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn admit(
        &self,
        token: Result<Option<Secret>, Refusal>,
        needs: Needs,
    ) -> Result<Caller, Refused> {
        if needs.is_nothing() {
            return Ok(Caller::nobody());
        }
        let caller = self.caller(token).await.map_err(Refused::stranger)?;
        match needs.check(&caller) {
            Ok(()) => Ok(caller),
            Err(refusal) => Err(Refused {
                refusal,
                caller: Some(caller),
            }),
        }
    }

    /// A token of a session that this caller may use. None where nobody is asked for one.
    pub fn session_token(
        &self,
        purpose: Purpose,
        caller: &Caller,
        session: SessionId,
    ) -> Option<Secret> {
        let parent: &Digest = match caller.proof() {
            Proof::NotNeeded => return None,
            Proof::Signed { .. } => &Digest::NONE,
            Proof::Token(digest) | Proof::Session { parent: digest } => digest,
        };
        let owner = caller.owner()?;
        Some(self.sessions.issue(purpose, session, owner, parent))
    }

    /// Waits until the caller's token is revoked, expires or loses the scope; for ever if that
    /// cannot happen.
    pub async fn lost(&self, caller: &Caller, needs: Needs) -> Refusal {
        let mut tokens = match (&self.method, caller.proof()) {
            (Method::Tokens(tokens), _) => tokens.clone(),
            (_, Proof::Signed { .. }) => watch::none(),
            _ => std::future::pending().await,
        };
        loop {
            let now = OffsetDateTime::now_utc();
            let left = tokens.borrow_and_update().time_left(caller, needs, now);
            let left = match left {
                Ok(left) => left,
                Err(refusal) => return refusal,
            };
            let expiry = async {
                match left {
                    None => std::future::pending().await,
                    Some(left) => tokio::time::sleep(left.min(LONGEST_WAIT)).await,
                }
            };
            // Signed tokens do not change, and while the server ends nothing does.
            tokio::select! {
                Ok(()) = tokens.changed() => {}
                () = expiry => {}
            }
        }
    }
}

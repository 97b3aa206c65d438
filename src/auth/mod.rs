//! Who may do what: tokens and their scopes, the callers that present them, and the audit log.
//!
//! A route states the scope that it needs ([`Needs`]). A request comes with credentials, which
//! [`Auth`] turns into a [`Caller`]; the caller's name decides whose sessions it reaches.

mod audit;
mod authenticator;
mod caller;
mod commands;
mod credentials;
#[cfg(test)]
mod fuzz;
mod jwt;
mod needs;
mod options;
mod private_file;
mod refusal;
mod scope;
mod secret;
mod session_tokens;
mod token_file;
mod token_set;
mod watch;

pub use audit::{Action, Audit, Minute, OVER_A_SOCKET, TARGET as AUDIT, Target};
pub use authenticator::{Auth, AuthError};
pub use caller::Caller;
pub use commands::{TokenOptions, run};
pub use credentials::{PROTOCOL, offers_protocol, presented, without_secrets};
pub use needs::Needs;
pub use options::AuthOptions;
pub use refusal::{Refusal, Refused};
pub use scope::Scope;
pub use secret::Secret;
pub use session_tokens::Purpose;

//! Why a caller is refused: a text for REST and for WebSockets, and its status.

use pointstream_actors::ErrorCode;
use pointstream_reconstruction::word_list;
use strum::IntoStaticStr;
use thiserror::Error;
use warp::http::StatusCode;

use super::caller::Caller;
use super::needs::Needed;

/// Why a caller may not do what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Error, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Refusal {
    #[error("a token is needed; send it as \"Authorization: Bearer TOKEN\"")]
    NoToken,
    #[error("the header Authorization must be \"Bearer TOKEN\", once")]
    Malformed,
    #[error("the token is unknown or was revoked; ask the operator of the server for another one")]
    Unknown,
    #[error("the token has expired; ask the operator of the server for another one")]
    Expired,
    #[error("the token lacks the scope {}; ask the operator of the server for another one", lacking(*.0))]
    NoScope(Needed),
    #[error("no token came in time; send {{\"type\": \"auth\", \"token\": ...}} first")]
    TooLate,
    #[error("the first message must be {{\"type\": \"auth\", \"token\": ...}}")]
    NotAuth,
    #[error(
        "too much came before the token was accepted; the first message is \
         {{\"type\": \"auth\", \"token\": ...}} and nothing else"
    )]
    TooMuch,
}

/// The scopes that are needed, as words.
fn lacking(needed: Needed) -> String {
    let names = needed.scopes().iter().map(ToString::to_string);
    match needed {
        Needed::AllOf([_, _, ..]) => format!("{}, and needs all of them", word_list(names, "or")),
        _ => word_list(names, "or"),
    }
}

/// A refused caller.
#[derive(Debug, Clone)]
pub struct Refused {
    pub refusal: Refusal,
    /// Who it is, if its token is valid.
    pub caller: Option<Caller>,
}

impl Refused {
    /// A caller without a valid token.
    pub fn stranger(refusal: Refusal) -> Self {
        Self {
            refusal,
            caller: None,
        }
    }
}

impl Refusal {
    /// Why, in one word, for metrics and the audit log.
    pub fn word(&self) -> &'static str {
        self.into()
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoScope(_) => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NoScope(_) => ErrorCode::MissingScope,
            _ => ErrorCode::Unauthenticated,
        }
    }

    /// The header `WWW-Authenticate` (RFC 6750, section 3).
    pub fn challenge(&self) -> String {
        let error = match self {
            Self::NoToken | Self::TooLate | Self::NotAuth | Self::TooMuch => String::new(),
            Self::Malformed => ", error=\"invalid_request\"".to_owned(),
            Self::Unknown | Self::Expired => ", error=\"invalid_token\"".to_owned(),
            Self::NoScope(needed) => {
                let scopes = needed.scopes().iter().map(ToString::to_string);
                let scopes: Vec<_> = scopes.collect();
                format!(
                    ", error=\"insufficient_scope\", scope=\"{}\"",
                    scopes.join(" ")
                )
            }
        };
        format!("Bearer realm=\"pointstream\"{error}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::scope::Scope;
    use super::*;

    #[test]
    fn a_missing_scope_is_named() {
        let refusal = Refusal::NoScope(Needed::OneOf(&[Scope::Use, Scope::Operate]));
        assert!(refusal.to_string().contains("use or operate;"), "{refusal}");
        assert!(refusal.challenge().ends_with("scope=\"use operate\""));
        assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
        let refusal = Refusal::NoScope(Needed::AllOf(&[Scope::Create, Scope::Use]));
        let text = refusal.to_string();
        assert!(text.contains("create or use, and needs all"), "{text}");
    }
}

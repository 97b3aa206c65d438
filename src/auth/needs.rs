//! What a route needs of its callers.

use super::caller::Caller;
use super::refusal::Refusal;
use super::scope::Scope;

/// What a route needs of its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    scopes: Needed,
    /// Whether the handler refuses callers itself, because its answer is not a plain response.
    handler_refuses: bool,
}

/// Scopes that a caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    Nothing,
    OneOf(&'static [Scope]),
    AllOf(&'static [Scope]),
}

impl Needed {
    pub fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Nothing => &[],
            Self::OneOf(scopes) | Self::AllOf(scopes) => scopes,
        }
    }
}

impl Needs {
    /// Open to everyone, without a token.
    pub const NOTHING: Self = Self::of(Needed::Nothing);

    /// One of these scopes.
    pub const fn one_of(scopes: &'static [Scope]) -> Self {
        Self::of(Needed::OneOf(scopes))
    }

    /// All of these scopes.
    pub const fn all_of(scopes: &'static [Scope]) -> Self {
        Self::of(Needed::AllOf(scopes))
    }

    const fn of(scopes: Needed) -> Self {
        Self {
            scopes,
            handler_refuses: false,
        }
    }

    /// The handler gets refused callers too, with the reason, and must refuse them.
    pub const fn handler_refuses(self) -> Self {
        Self {
            handler_refuses: true,
            ..self
        }
    }

    pub const fn are_left_to_the_handler(self) -> bool {
        self.handler_refuses
    }

    /// Whether anyone may come, without credentials.
    pub const fn is_nothing(self) -> bool {
        matches!(self.scopes, Needed::Nothing)
    }

    /// # Errors
    /// [`Refusal::NoScope`] if the caller lacks scopes.
    pub fn check(self, caller: &Caller) -> Result<(), Refusal> {
        let has = |scope: &Scope| caller.may(*scope);
        let suffices = match self.scopes {
            Needed::Nothing => true,
            Needed::OneOf(scopes) => scopes.iter().any(has),
            Needed::AllOf(scopes) => scopes.iter().all(has),
        };
        match suffices {
            true => Ok(()),
            false => Err(Refusal::NoScope(self.scopes)),
        }
    }
}

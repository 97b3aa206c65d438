//! Who makes a request.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use pointstream_actors::{SessionId, Whose};
use time::OffsetDateTime;

use super::scope::{self, Scope, Scopes};
use super::secret::Digest;

/// Who makes a request, and what they may do.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name under which sessions are created; none if nobody is asked who they are.
    owner: Option<Arc<str>>,
    scopes: Scopes,
    /// The only session that the caller reaches.
    only: Option<SessionId>,
    allowance: Allowance,
    proof: Proof,
}

/// How much an owner may have, where that is not left to the limits of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Sessions at the same time.
    pub max_sessions: Option<usize>,
    /// Points in a result: the largest `num_max_points`.
    pub max_points: Option<NonZeroU64>,
}

/// What shows that the caller is who it says; it may end while the caller is connected.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    /// Nobody is asked.
    NotNeeded,
    /// A token of the file.
    Token(Digest),
    /// A signed token.
    Signed { expires: OffsetDateTime },
    /// The token of one session, as long as the token that created the session is valid.
    Session { parent: Digest },
}

impl Caller {
    /// Everyone, where nobody is asked who they are.
    pub fn anyone() -> Self {
        Self {
            owner: None,
            scopes: scope::all(),
            only: None,
            allowance: Allowance::default(),
            proof: Proof::NotNeeded,
        }
    }

    /// A refused caller. It may do nothing and reaches no session.
    pub fn nobody() -> Self {
        Self {
            owner: Some("".into()),
            scopes: Scopes::new(),
            ..Self::anyone()
        }
    }

    /// The owner of a token.
    pub(super) fn named(
        owner: Arc<str>,
        scopes: Scopes,
        allowance: Allowance,
        proof: Proof,
    ) -> Self {
        Self {
            owner: Some(owner),
            scopes,
            only: None,
            allowance,
            proof,
        }
    }

    /// Whoever has a token of one session.
    pub(super) fn of_session(
        owner: Arc<str>,
        session: SessionId,
        scope: Scope,
        proof: Proof,
    ) -> Self {
        Self {
            owner: Some(owner),
            scopes: Scopes::from([scope]),
            only: Some(session),
            allowance: Allowance::default(),
            proof,
        }
    }

    pub(super) fn proof(&self) -> &Proof {
        &self.proof
    }

    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// The name under which sessions are created; none if nobody is asked who they are.
    pub fn owner(&self) -> Option<&Arc<str>> {
        self.owner.as_ref()
    }

    pub fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// The sessions whose images and results the caller reaches.
    pub fn own(&self) -> Whose {
        match (self.owner.clone(), self.only) {
            (None, _) => Whose::Anyones,
            (Some(owner), None) => Whose::Of(owner),
            (Some(owner), Some(session)) => Whose::One(session, owner),
        }
    }

    /// The sessions that the caller may list, show and delete: operators all, others their own.
    pub fn managed(&self) -> Whose {
        match self.may(Scope::Operate) {
            true => Whose::Anyones,
            false => self.own(),
        }
    }
}

/// The name in the audit log.
impl fmt::Display for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.owner, &self.only) {
            (None, _) => formatter.write_str("anyone"),
            (Some(owner), None) => formatter.write_str(owner),
            (Some(owner), Some(_)) => write!(formatter, "{owner} (token of a session)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    fn named(scopes: &[Scope]) -> Caller {
        let scopes = scopes.iter().copied().collect();
        Caller::named(
            "token:a".into(),
            scopes,
            Allowance::default(),
            Proof::NotNeeded,
        )
    }

    #[test]
    fn only_operators_manage_the_sessions_of_others() {
        let own = Whose::Of("token:a".into());
        let user = named(&[Scope::Create, Scope::Use]);
        assert_eq!((user.own(), user.managed()), (own.clone(), own.clone()));
        let operator = named(&[Scope::Operate]);
        assert_eq!((operator.own(), operator.managed()), (own, Whose::Anyones));
    }

    #[test]
    fn the_token_of_a_session_is_for_that_session_alone() {
        let id = SessionId::new_v4();
        let caller = Caller::of_session("token:a".into(), id, Scope::Use, Proof::NotNeeded);
        assert_eq!(caller.managed(), Whose::One(id, "token:a".into()));
        assert!(caller.may(Scope::Use));
        assert!(!caller.may(Scope::Create) && !caller.may(Scope::Operate));
    }

    #[test]
    fn nobody_reaches_nothing() {
        let id = SessionId::new_v4();
        let nobody = Caller::nobody();
        assert!(!nobody.managed().includes(id, None));
        assert!(!nobody.managed().includes(id, Some(&"token:a".into())));
        assert!(Scope::VARIANTS.iter().all(|scope| !nobody.may(*scope)));
    }
}

//! The tokens that are valid now.

use std::sync::Arc;
use std::time::Duration;

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use time::OffsetDateTime;

use super::caller::{Allowance, Caller, Proof};
use super::needs::Needs;
use super::refusal::Refusal;
use super::secret::{Digest, Secret};
use super::token_file::{Entry, TokenFile};

/// Begins the name of an owner with a token, so that no name is also an address.
const OWNER: &str = "token:";

/// The tokens of a file.
#[derive(Debug, Default)]
pub struct TokenSet(Vec<Entry>);

impl From<TokenFile> for TokenSet {
    fn from(file: TokenFile) -> Self {
        Self(file.tokens)
    }
}

impl TokenSet {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The caller with this token.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] or [`Refusal::Expired`].
    pub fn caller(&self, secret: &Secret, now: OffsetDateTime) -> Result<Caller, Refusal> {
        let digest = secret.digest();
        let entry = self.find(&digest).ok_or(Refusal::Unknown)?;
        if entry.has_expired(now) {
            return Err(Refusal::Expired);
        }
        Ok(caller_with(entry))
    }

    /// The entry of a digest. It takes the same time wherever the entry is, and if there is none.
    fn find(&self, digest: &Digest) -> Option<&Entry> {
        let mut found = u64::MAX;
        for (index, entry) in (0_u64..).zip(&self.0) {
            let same: Choice = entry.sha256.ct_eq(digest);
            found.conditional_assign(&index, same);
        }
        self.0.get(usize::try_from(found).ok()?)
    }

    /// The digest of an owner's token, if it is valid.
    pub fn digest_of(&self, owner: &str, now: OffsetDateTime) -> Option<Digest> {
        let name = owner.strip_prefix(OWNER)?;
        let entry = self.0.iter().find(|entry| entry.name == name)?;
        (!entry.has_expired(now)).then_some(entry.sha256)
    }

    /// How long a caller that was accepted may go on; none if its token does not expire.
    ///
    /// # Errors
    /// [`Refusal`] if the token was revoked or replaced, has expired or no longer has the scope.
    pub fn time_left(
        &self,
        caller: &Caller,
        needs: Needs,
        now: OffsetDateTime,
    ) -> Result<Option<Duration>, Refusal> {
        let (digest, is_own) = match caller.proof() {
            Proof::NotNeeded => return Ok(None),
            Proof::Signed { expires } => return left_until(*expires, now).map(Some),
            Proof::Token(digest) => (digest, true),
            Proof::Session { parent } => (parent, false),
        };
        let entry = self.find(digest);
        let entry = entry.filter(|entry| caller.owner() == Some(&owner(&entry.name)));
        let entry = entry.ok_or(Refusal::Unknown)?;
        // The token of a session has its own scope.
        if is_own {
            needs.check(&caller_with(entry))?;
        }
        let expires = entry.expires;
        expires.map(|expires| left_until(expires, now)).transpose()
    }
}

/// The time until a token expires.
fn left_until(expires: OffsetDateTime, now: OffsetDateTime) -> Result<Duration, Refusal> {
    let left = Duration::try_from(expires - now);
    match left {
        Ok(left) if !left.is_zero() => Ok(left),
        _ => Err(Refusal::Expired),
    }
}

fn caller_with(entry: &Entry) -> Caller {
    Caller::named(
        owner(&entry.name),
        entry.scopes.clone(),
        Allowance {
            max_sessions: entry.max_sessions,
            max_points: entry.max_points,
        },
        Proof::Token(entry.sha256),
    )
}

fn owner(name: &str) -> Arc<str> {
    format!("{OWNER}{name}").into()
}

#[cfg(test)]
mod tests {
    use super::super::needs::Needed;
    use std::num::NonZeroU64;

    use super::*;
    use crate::auth::scope::{Scope, Scopes};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn entry(name: &str, expires: Option<OffsetDateTime>) -> Entry {
        Entry {
            name: name.to_owned(),
            sha256: Secret::presented(format!("pst_{name}")).digest(),
            scopes: Scopes::from([Scope::Use]),
            created: NOW,
            expires,
            max_sessions: Some(3),
            max_points: NonZeroU64::new(1000),
        }
    }

    #[test]
    fn a_token_is_found_by_its_text() {
        let set = TokenSet(vec![entry("a", None), entry("b", None), entry("c", None)]);
        for name in ["a", "b", "c"] {
            let secret = Secret::presented(format!("pst_{name}"));
            let caller = set.caller(&secret, NOW).expect("known");
            assert_eq!(
                caller.owner().map(AsRef::as_ref),
                Some(&*format!("token:{name}"))
            );
            let allowance = Allowance {
                max_sessions: Some(3),
                max_points: NonZeroU64::new(1000),
            };
            assert_eq!(caller.allowance(), allowance);
        }
        for wrong in ["", "pst_", "pst_d", "pst_a "] {
            let refused = set.caller(&Secret::presented(wrong), NOW).err();
            assert_eq!(refused, Some(Refusal::Unknown), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_expires_at_its_time() {
        let expires = NOW + Duration::from_secs(10);
        let set = TokenSet(vec![entry("a", Some(expires))]);
        let secret = Secret::presented("pst_a");
        let before = expires - Duration::from_nanos(1);
        assert!(set.caller(&secret, before).is_ok());
        assert!(set.digest_of("token:a", before).is_some());
        assert_eq!(set.caller(&secret, expires).err(), Some(Refusal::Expired));
        assert!(set.digest_of("token:a", expires).is_none());
    }

    #[test]
    fn a_caller_goes_on_until_the_token_is_gone() {
        let expires = NOW + Duration::from_secs(10);
        let set = TokenSet(vec![entry("a", Some(expires))]);
        let caller = set.caller(&Secret::presented("pst_a"), NOW).expect("known");
        const USE: Needs = Needs::one_of(&[Scope::Use]);
        const OPERATE: Needs = Needs::one_of(&[Scope::Operate]);
        let left = |set: &TokenSet, needs, now| set.time_left(&caller, needs, now);
        let all = Some(Duration::from_secs(10));
        assert_eq!(left(&set, USE, NOW), Ok(all));
        assert_eq!(left(&set, USE, expires), Err(Refusal::Expired));
        let without = Refusal::NoScope(Needed::OneOf(&[Scope::Operate]));
        assert_eq!(left(&set, OPERATE, NOW), Err(without));
        let without = TokenSet(vec![entry("b", None)]);
        assert_eq!(left(&without, USE, NOW), Err(Refusal::Unknown));
        let mut renamed = entry("a", None);
        renamed.name = "c".to_owned();
        let renamed = TokenSet(vec![renamed]);
        assert_eq!(left(&renamed, USE, NOW), Err(Refusal::Unknown));
    }
}

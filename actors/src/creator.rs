//! Who creates sessions, and whose sessions a caller may reach.

use std::sync::Arc;

use crate::ids::SessionId;

/// Whoever creates a session, as far as the caller can tell them apart, and how many they may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creator {
    /// For example a network address, or an account.
    pub name: Arc<str>,
    /// Sessions that they may have at the same time.
    pub max_sessions: usize,
}

/// The sessions that a caller may reach. To the caller all others do not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// All sessions, whoever created them.
    Anyones,
    /// Those that were created under this name.
    Of(Arc<str>),
    /// This session alone, if it was created under this name.
    One(SessionId, Arc<str>),
}

impl Whose {
    /// Whether a session that was created under this name is among them.
    pub fn includes(&self, id: SessionId, creator: Option<&Arc<str>>) -> bool {
        match self {
            Self::Anyones => true,
            Self::Of(name) => creator == Some(name),
            Self::One(only, name) => *only == id && creator == Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_nobody_is_no_ones_own() {
        let id = SessionId::new_v4();
        let name: Arc<str> = "a".into();
        assert!(Whose::Anyones.includes(id, None));
        assert!(!Whose::Of(name.clone()).includes(id, None));
        assert!(!Whose::One(id, name).includes(id, None));
    }

    #[test]
    fn one_session_is_reached_only_under_its_creators_name() {
        let (id, other) = (SessionId::new_v4(), SessionId::new_v4());
        let (name, stranger): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let one = Whose::One(id, name.clone());
        assert!(one.includes(id, Some(&name)));
        assert!(!one.includes(other, Some(&name)));
        assert!(!one.includes(id, Some(&stranger)));
    }
}

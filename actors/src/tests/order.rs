//! The order of sessions does not depend on the clock.

use std::time::{Duration, SystemTime};

use super::{FakeModel, Fixture, config, settings};
use crate::session::ledger::{NewSession, Record};
use crate::stored::Stored;
use crate::{SessionId, Whose};

async fn order(fixture: &Fixture) -> Vec<SessionId> {
    let sessions = fixture.system.sessions(Whose::Anyones).await;
    let sessions = sessions.expect("it answers").into_iter();
    sessions.map(|session| session.id).collect()
}

#[tokio::test]
async fn a_clock_that_steps_back_or_stands_still_reorders_no_sessions() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = settings(folder.path(), FakeModel::new(), 1);
    let mut known = Vec::new();
    {
        let metrics = crate::metrics::Metrics::new().expect("valid metrics");
        let stored =
            Stored::open(&settings, &metrics, None, std::convert::identity).expect("usable");
        for (place, seconds) in [(3, 10), (4, 20), (5, 20), (6, 5), (7, 20)] {
            let session = SessionId::new_v4();
            let new = Record::SessionCreated(Box::new(NewSession {
                session,
                place,
                created_at: SystemTime::now() - Duration::from_secs(seconds),
                config: config(),
                creator: None,
                webhook: None,
            }));
            let mut journal = stored.journals.create(session, &new).expect("created");
            journal.append(&[&Record::SessionKept]).expect("writable");
            known.push(session);
        }
    }
    let fixture = Fixture::with(folder, settings).await;
    assert_eq!(order(&fixture).await, known);
    // A new one comes last, whatever the clock says.
    known.push(fixture.client().await.id);
    known.push(fixture.client().await.id);
    assert_eq!(order(&fixture).await, known);
}

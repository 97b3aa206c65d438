//! Clients that keep the point cloud and get only what is new.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::map_update::{KnownMap, MadeUpdate};
use crate::answer::AnswerKind;
use crate::ids::{ClientId, MessageId};
use crate::session_event::SessionEvent;

/// Updates that are remembered after a client has confirmed them, the newest; and of each connected
/// client those that it has not confirmed.
const REMEMBERED: usize = 64;

/// Bits of the number of an update within a process. The rest tells the process, and the whole is a number
/// that JavaScript has exactly.
const NUMBERS_PER_PROCESS: u32 = 32;

/// What the clients with `deltas=append` have, and the answers that they wait for.
pub(super) struct Followers {
    /// Number of the next update.
    next: u64,
    clients: BTreeMap<ClientId, Follower>,
    /// Updates that clients have confirmed, the oldest first.
    confirmed: VecDeque<Sent>,
    /// Answers in their order, each for a client. Never more than the session has unanswered
    /// requests and undelivered answers, which are bounded.
    waiting: VecDeque<(ClientId, SessionEvent)>,
    running: Option<Running>,
}

/// A client that keeps the point cloud.
struct Follower {
    /// What it has after the last update that was sent to it.
    known: Option<KnownMap>,
    /// Updates that it has not confirmed, the oldest first.
    unconfirmed: VecDeque<Sent>,
    /// The last update that it has confirmed.
    confirmed: u64,
}

/// An update that was sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    number: u64,
    known: Option<KnownMap>,
}

/// An update that is being made.
struct Running {
    number: u64,
    client: ClientId,
    /// The answer that it takes the place of.
    event: SessionEvent,
    _work: AbortOnDropHandle<()>,
}

/// An answer for a client, in its turn.
pub(super) enum Turn {
    /// An update has to be made.
    Update {
        number: u64,
        client: ClientId,
        known: Option<KnownMap>,
        event: SessionEvent,
    },
    /// It is sent as it is.
    Answer(ClientId, SessionEvent),
}

/// An update for a client, and the answer that it takes the place of.
pub(super) struct FinishedUpdate {
    pub client: ClientId,
    pub update: SessionEvent,
    pub instead_of: SessionEvent,
}

/// The client has not got this result or update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this connection has no result {0} to confirm; confirm the \"number\" of a \"delta\" or \
     \"complete\" that came on it"
)]
pub(super) struct UnknownResult(pub u64);

impl Followers {
    /// `restored` tells how often the session was restored: what an earlier process has sent is not
    /// remembered, so its updates have other numbers.
    pub fn new(restored: u64) -> Self {
        Self {
            next: (restored << NUMBERS_PER_PROCESS) + 1,
            clients: BTreeMap::new(),
            confirmed: VecDeque::new(),
            waiting: VecDeque::new(),
            running: None,
        }
    }

    /// A client follows, with what it has since an update of an earlier connection.
    pub fn attach(&mut self, client: ClientId, since: Option<u64>) {
        let known = since.and_then(|number| {
            let mut confirmed = self.confirmed.iter();
            confirmed.find(|sent| sent.number == number)?.known
        });
        self.clients.insert(
            client,
            Follower {
                known,
                unconfirmed: VecDeque::new(),
                confirmed: 0,
            },
        );
    }

    /// A client has disconnected. Its answers stay, for another one.
    pub fn detach(&mut self, client: ClientId) {
        self.clients.remove(&client);
    }

    pub fn follows(&self, client: ClientId) -> bool {
        self.clients.contains_key(&client)
    }

    /// An answer with a number that its client confirms it with. To a client that follows, whole
    /// results are numbered like its updates. They do not change what later updates build on.
    pub fn numbered(&mut self, client: ClientId, event: SessionEvent) -> SessionEvent {
        match (event, self.clients.get_mut(&client)) {
            (
                SessionEvent::Result {
                    answer,
                    id,
                    request,
                    ..
                },
                Some(follower),
            ) => {
                let number = self.next;
                self.next += 1;
                let known = follower.known;
                follower.note(Sent { number, known });
                SessionEvent::Result {
                    answer,
                    number,
                    id,
                    request,
                }
            }
            (event, _) => event,
        }
    }

    /// A client has applied an update and all before it.
    pub fn confirm(&mut self, client: ClientId, number: u64) -> Result<(), UnknownResult> {
        let follower = self.clients.get_mut(&client).ok_or(UnknownResult(number))?;
        if number >= 1 && number <= follower.confirmed {
            return Ok(());
        }
        let sent = follower.unconfirmed.iter();
        let index = sent
            .map(|sent| sent.number)
            .position(|sent| sent == number)
            .ok_or(UnknownResult(number))?;
        follower.confirmed = number;
        let last = follower.unconfirmed.drain(..=index).next_back();
        self.confirmed.extend(last);
        if self.confirmed.len() > REMEMBERED {
            self.confirmed.pop_front();
        }
        Ok(())
    }

    /// Whether an update is being made, or answers wait.
    pub fn is_busy(&self) -> bool {
        self.running.is_some() || !self.waiting.is_empty()
    }

    /// Whether an answer to this client has to take its turn here.
    pub fn takes(&self, client: ClientId, event: &SessionEvent) -> bool {
        let is_next = self.clients.contains_key(&client) && is_delta(event);
        let running = self.running.iter().map(|running| running.client);
        let mut waiting = running.chain(self.waiting.iter().map(|(client, _)| *client));
        is_next || waiting.any(|other| other == client)
    }

    pub fn push(&mut self, client: ClientId, event: SessionEvent) {
        self.waiting.push_back((client, event));
    }

    /// The next answer, if no update is being made.
    pub fn next_turn(&mut self) -> Option<Turn> {
        if self.running.is_some() {
            return None;
        }
        let (client, event) = self.waiting.pop_front()?;
        let follower = self.clients.get(&client).filter(|_| is_delta(&event));
        let Some(follower) = follower else {
            return Some(Turn::Answer(client, event));
        };
        let number = self.next;
        self.next += 1;
        Some(Turn::Update {
            number,
            client,
            known: follower.known,
            event,
        })
    }

    /// An update is being made.
    pub fn start(
        &mut self,
        number: u64,
        client: ClientId,
        event: SessionEvent,
        work: AbortOnDropHandle<()>,
    ) {
        self.running = Some(Running {
            number,
            client,
            event,
            _work: work,
        });
    }

    /// Gives up the running update and all answers that wait: their clients, and the answers.
    pub fn give_up(&mut self) -> Vec<(ClientId, SessionEvent)> {
        let running = self.running.take();
        let running = running.map(|running| (running.client, running.event));
        running.into_iter().chain(self.waiting.drain(..)).collect()
    }

    /// The running update has no outcome: its client, and the answer that it should have replaced.
    pub fn fail(&mut self, number: u64) -> Option<(ClientId, SessionEvent)> {
        let running = self.running.take_if(|running| running.number == number)?;
        Some((running.client, running.event))
    }

    /// The running update is made, and will be sent.
    pub fn finish(&mut self, number: u64, made: MadeUpdate) -> Option<FinishedUpdate> {
        let running = self.running.take_if(|running| running.number == number)?;
        if let Some(follower) = self.clients.get_mut(&running.client) {
            follower.note(Sent {
                number,
                known: made.known,
            });
        }
        Some(FinishedUpdate {
            client: running.client,
            update: SessionEvent::Result {
                answer: Arc::clone(&made.answer),
                number,
                id: message_id(&running.event),
                request: running.event.request().unwrap_or_default(),
            },
            instead_of: running.event,
        })
    }
}

impl Follower {
    /// An update is sent to it.
    fn note(&mut self, sent: Sent) {
        self.known = sent.known;
        self.unconfirmed.push_back(sent);
        if self.unconfirmed.len() > REMEMBERED {
            self.unconfirmed.pop_front();
        }
    }
}

fn is_delta(event: &SessionEvent) -> bool {
    matches!(event, SessionEvent::Result { answer, .. } if answer.kind == AnswerKind::Delta)
}

/// The identifier of the message that an event answers.
pub(super) fn message_id(event: &SessionEvent) -> Option<MessageId> {
    match event {
        SessionEvent::Result { id, .. }
        | SessionEvent::ResultToFetch { id, .. }
        | SessionEvent::Error { id, .. } => id.clone(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_code::ErrorCode;

    const CLIENT: ClientId = 3;

    fn error() -> SessionEvent {
        SessionEvent::Error {
            code: ErrorCode::ModelFailed,
            message: String::new(),
            id: None,
            filename: None,
            request: None,
        }
    }

    /// Followers with a client that has got so many updates.
    fn with_updates(count: u64) -> Followers {
        let mut followers = Followers::new(0);
        followers.attach(CLIENT, None);
        for number in 1..=count {
            let follower = followers.clients.get_mut(&CLIENT).expect("attached");
            follower.note(Sent {
                number,
                known: None,
            });
        }
        followers
    }

    #[test]
    fn an_update_and_all_before_it_are_confirmed_once_or_again() {
        let mut followers = with_updates(3);
        assert_eq!(followers.confirm(CLIENT, 0), Err(UnknownResult(0)));
        assert_eq!(followers.confirm(CLIENT, 4), Err(UnknownResult(4)));
        assert_eq!(followers.confirm(1, 1), Err(UnknownResult(1)));
        for number in [2, 1, 2, 3] {
            assert_eq!(followers.confirm(CLIENT, number), Ok(()), "{number}");
        }
        let confirmed = followers.confirmed.iter().map(|sent| sent.number);
        assert_eq!(confirmed.collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let many = 3 * REMEMBERED as u64;
        let mut followers = with_updates(many);
        assert_eq!(followers.clients[&CLIENT].unconfirmed.len(), REMEMBERED);
        for number in 1..=many {
            // The oldest are forgotten.
            let known = number > many - REMEMBERED as u64;
            assert_eq!(followers.confirm(CLIENT, number).is_ok(), known);
        }
        followers.attach(CLIENT + 1, None);
        let follower = followers.clients.get_mut(&(CLIENT + 1));
        follower.expect("attached").note(Sent {
            number: many + 1,
            known: None,
        });
        assert_eq!(followers.confirm(CLIENT + 1, many + 1), Ok(()));
        assert_eq!(followers.confirmed.len(), REMEMBERED);
    }

    #[test]
    fn answers_behind_an_update_wait_for_it() {
        let mut followers = with_updates(0);
        assert!(!followers.takes(CLIENT, &error()));
        followers.push(CLIENT, error());
        assert!(followers.is_busy());
        assert!(followers.takes(CLIENT, &error()));
        assert!(!followers.takes(CLIENT + 1, &error()));
        let turn = followers.next_turn();
        assert!(matches!(turn, Some(Turn::Answer(CLIENT, _))));
        assert!(!followers.is_busy());
        followers.push(CLIENT, error());
        assert_eq!(followers.give_up().len(), 1);
        assert!(!followers.is_busy());
    }
}

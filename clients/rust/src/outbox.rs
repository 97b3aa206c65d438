//! What was sent and is not answered yet, and what is to be sent.

use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use crate::error::Error;
use crate::event::{Ack, Poses, Scene};
use crate::refusal::Refusal;
use crate::wire::Outgoing;

/// The answer to a message.
pub(crate) enum Answer {
    Ack(Ack),
    Scene(Scene),
    Poses(Poses),
}

pub(crate) type Waiter = oneshot::Receiver<Result<Answer, Error>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Image,
    /// `generate` that asks for an update.
    Update,
    /// `generate` that asks for a whole result.
    Whole,
    Finalize,
    Map,
}

impl Kind {
    pub fn is_request(self) -> bool {
        matches!(self, Self::Update | Self::Whole | Self::Finalize)
    }

    fn header(self) -> Value {
        match self {
            Self::Image => json!({"type": "image"}),
            Self::Update => json!({"type": "generate", "incremental": true}),
            Self::Whole => json!({"type": "generate", "incremental": false}),
            Self::Finalize => json!({"type": "finalize"}),
            Self::Map => json!({"type": "map"}),
        }
    }
}

/// A message that waits for its answer.
pub(crate) struct Pending {
    pub id: String,
    pub kind: Kind,
    message: Outgoing,
    answer: oneshot::Sender<Result<Answer, Error>>,
    sent: bool,
    /// Whether the request must not be made any more.
    cancelled: bool,
    cancel_sent: bool,
    // Given back when the message is answered. So only so many wait.
    _place: OwnedSemaphorePermit,
}

impl Pending {
    /// A message, and who waits for its answer. `more` are further fields of it.
    pub fn new(
        kind: Kind,
        more: Map<String, Value>,
        data: Option<bytes::Bytes>,
        place: OwnedSemaphorePermit,
    ) -> (Self, Waiter) {
        let id = Uuid::new_v4().simple().to_string();
        let mut header = more;
        header.insert("id".to_owned(), id.clone().into());
        if let Value::Object(fields) = kind.header() {
            header.extend(fields);
        }
        let (answer, waiter) = oneshot::channel();
        let pending = Self {
            id,
            kind,
            message: Outgoing { header, data },
            answer,
            sent: false,
            cancelled: false,
            cancel_sent: false,
            _place: place,
        };
        (pending, waiter)
    }

    fn answer(self, answer: Result<Answer, Error>) {
        // Whoever waited may have given up.
        let _ = self.answer.send(answer);
    }
}

/// What a connection sends next.
pub(crate) enum Next {
    Message(Outgoing),
    Cancel(String),
}

/// Messages in the order in which they are sent.
#[derive(Default)]
pub(crate) struct Outbox(Vec<Pending>);

impl Outbox {
    pub fn add(&mut self, pending: Pending) {
        self.0.push(pending);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn kind(&self, id: &str) -> Option<Kind> {
        Some(self.0.iter().find(|one| one.id == id)?.kind)
    }

    /// The identifiers of messages of a kind that an earlier connection has sent.
    pub fn sent(&self, which: fn(Kind) -> bool) -> Vec<String> {
        let sent = self.0.iter().filter(|one| one.sent && which(one.kind));
        sent.map(|one| one.id.clone()).collect()
    }

    /// The next message to send, which counts as sent from now on.
    pub fn next(&mut self) -> Option<Next> {
        // Nobody needs to be told of what was never sent.
        let unsent = |one: &mut Pending| one.cancelled && !one.sent;
        for pending in self.0.extract_if(.., unsent) {
            pending.answer(Err(cancelled()));
        }
        for pending in &mut self.0 {
            if !pending.sent {
                pending.sent = true;
                return Some(Next::Message(pending.message.clone()));
            }
            if pending.cancelled && !pending.cancel_sent {
                pending.cancel_sent = true;
                return Some(Next::Cancel(pending.id.clone()));
            }
        }
        None
    }

    /// It did not arrive, so it is sent again.
    pub fn again(&mut self, id: &str) {
        if let Some(pending) = self.0.iter_mut().find(|one| one.id == id) {
            pending.sent = false;
        }
    }

    /// The request must not be made any more. Returns whether it waits.
    pub fn cancel(&mut self, id: &str) -> bool {
        let found = self.0.iter_mut().find(|one| one.id == id);
        found.map(|pending| pending.cancelled = true).is_some()
    }

    /// As `cancel`, of all requests. Returns whether there was one.
    pub fn cancel_requests(&mut self) -> bool {
        let mut any = false;
        for pending in self.0.iter_mut().filter(|one| one.kind.is_request()) {
            pending.cancelled = true;
            any = true;
        }
        any
    }

    pub fn is_cancelled(&self, id: &str) -> bool {
        self.0.iter().any(|one| one.id == id && one.cancelled)
    }

    /// It was answered, or never will be.
    pub fn answer(&mut self, id: &str, answer: Result<Answer, Error>) {
        if let Some(index) = self.0.iter().position(|one| one.id == id) {
            self.0.remove(index).answer(answer);
        }
    }

    /// Nothing will be answered any more.
    pub fn fail(&mut self, error: &Error) {
        for pending in self.0.drain(..) {
            pending.answer(Err(error.clone()));
        }
    }
}

pub(crate) fn cancelled() -> Error {
    Refusal::new("the request was cancelled")
        .code("cancelled")
        .into_error()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn pending(kind: Kind) -> (Pending, Waiter) {
        let places = Arc::new(Semaphore::new(1));
        Pending::new(kind, Map::new(), None, places.try_acquire_owned().unwrap())
    }

    fn kind_of(next: Option<Next>) -> String {
        match next {
            Some(Next::Message(message)) => message.header["type"].as_str().unwrap().to_owned(),
            Some(Next::Cancel(_)) => "cancel".to_owned(),
            None => String::new(),
        }
    }

    #[test]
    fn messages_are_sent_once_in_their_order() {
        let mut outbox = Outbox::default();
        let (image, _image) = pending(Kind::Image);
        let (request, _request) = pending(Kind::Update);
        let id = image.id.clone();
        outbox.add(image);
        outbox.add(request);
        assert_eq!(kind_of(outbox.next()), "image");
        assert_eq!(kind_of(outbox.next()), "generate");
        assert_eq!(kind_of(outbox.next()), "");
        outbox.again(&id);
        assert_eq!(outbox.sent(|_| true).len(), 1);
        assert_eq!(kind_of(outbox.next()), "image");
    }

    #[tokio::test]
    async fn a_request_that_was_not_sent_is_cancelled_at_once() {
        let mut outbox = Outbox::default();
        let (request, waiter) = pending(Kind::Finalize);
        outbox.add(request);
        assert!(outbox.cancel_requests());
        assert_eq!(kind_of(outbox.next()), "");
        assert!(matches!(waiter.await.unwrap(), Err(Error::Cancelled(_))));
        assert!(!outbox.cancel_requests());
    }

    #[test]
    fn a_request_that_was_sent_is_cancelled_by_a_message() {
        let mut outbox = Outbox::default();
        let (request, _waiter) = pending(Kind::Whole);
        let id = request.id.clone();
        outbox.add(request);
        assert_eq!(kind_of(outbox.next()), "generate");
        assert!(outbox.cancel(&id) && outbox.is_cancelled(&id));
        assert_eq!(kind_of(outbox.next()), "cancel");
        assert_eq!(kind_of(outbox.next()), "");
    }

    #[tokio::test]
    async fn an_answer_gives_the_place_back() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        let (request, waiter) = Pending::new(Kind::Map, Map::new(), None, place);
        let id = request.id.clone();
        let mut outbox = Outbox::default();
        outbox.add(request);
        assert_eq!(places.available_permits(), 0);
        outbox.answer(&id, Err(Error::Closed));
        assert!(matches!(waiter.await.unwrap(), Err(Error::Closed)));
        assert_eq!((places.available_permits(), outbox.is_empty()), (1, true));
    }
}

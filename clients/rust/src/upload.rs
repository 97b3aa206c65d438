//! Waits for the answers to messages.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot::error::RecvError;

use crate::error::Error;
use crate::event::Ack;
use crate::outbox::{Answer, Waiter};

/// An image on its way. It resolves with the acknowledgement; the image goes on without it.
pub struct Upload(pub(crate) Waiter);

impl Future for Upload {
    type Output = Result<Ack, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(match answer(answered) {
            Ok(Answer::Ack(ack)) => Ok(ack),
            Ok(_) => Err(wrong_answer()),
            Err(error) => Err(error),
        })
    }
}

type Received = Result<Result<Answer, Error>, RecvError>;

pub(crate) fn answer(received: Received) -> Result<Answer, Error> {
    // Without a sender the session was dropped.
    received.unwrap_or(Err(Error::Closed))
}

pub(crate) fn wrong_answer() -> Error {
    Error::InvalidResponse("the answer is that of another message".to_owned())
}

//! Clients of HTTP/2 that read none of an answer, or ask for nothing any more.
//!
//! Such a connection is alive: only the stream's window stays closed. So the answers of a connection note
//! since when a piece of theirs has waited, and the connection since when it has no request.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Largest piece of a body that is given to the connection. The next one follows when it has been sent.
const PIECE: usize = 64 << 10;

/// The requests of one connection.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    next: u64,
    /// Requests whose answers have not been sent.
    running: usize,
    /// The last moment with a request, or the beginning of the connection.
    busy: Instant,
    /// Since when pieces of answers have waited.
    waiting: HashMap<u64, Instant>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            next: 0,
            running: 0,
            busy: Instant::now(),
            waiting: HashMap::new(),
        }
    }
}

impl Requests {
    /// A request has come. It runs as long as what is returned exists.
    pub fn begin(&self) -> Running {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.running += 1;
        Running {
            number,
            requests: self.clone(),
        }
    }

    /// Waits until a piece of an answer has waited for this time.
    pub async fn stalled(&self, timeout: Duration) {
        self.wait(timeout, |state| state.waiting.values().min().copied())
            .await;
    }

    /// Waits until there has been no request for this time.
    pub async fn idle(&self, timeout: Duration) {
        self.wait(timeout, |state| (state.running == 0).then_some(state.busy))
            .await;
    }

    /// Waits until a moment that may change is so long ago.
    async fn wait(&self, timeout: Duration, since: impl Fn(&State) -> Option<Instant>) {
        loop {
            let since = since(&self.lock());
            let left = since.map_or(timeout, |since| timeout.saturating_sub(since.elapsed()));
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that has no answer yet, or whose answer is being sent.
#[derive(Debug)]
pub struct Running {
    number: u64,
    requests: Requests,
}

impl Running {
    /// The body of the answer, which is noticed when its client does not read it.
    pub fn watch<B>(self, body: B) -> Watched<B> {
        Watched {
            body,
            rest: Bytes::new(),
            running: self,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.requests.lock();
        state.waiting.remove(&self.number);
        state.running -= 1;
        state.busy = Instant::now();
    }
}

/// A body in small pieces.
#[derive(Debug)]
pub struct Watched<B> {
    body: B,
    /// What is left of the last piece of `body`.
    rest: Bytes,
    running: Running,
}

impl<B: Body<Data = Bytes> + Unpin> Watched<B> {
    fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
            match polled.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        // The connection takes a piece when the client has room for a byte of it, and asks no more after the
        // last one. So the last byte goes alone: when it is taken, the client has room for all before it.
        let most = self.rest.len().saturating_sub(1).clamp(1, PIECE);
        let piece = self.rest.split_to(most.min(self.rest.len()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = self.poll_piece(context);
        let Running { number, requests } = &self.running;
        let mut state = requests.lock();
        match &polled {
            Poll::Ready(Some(Ok(_))) => state.waiting.insert(*number, Instant::now()),
            _ => state.waiting.remove(number),
        };
        drop(state);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    /// Whether something ends while nothing changes.
    async fn ends(waiting: impl Future<Output = ()>) -> bool {
        tokio::time::timeout(50 * MOMENT, waiting).await.is_ok()
    }

    #[tokio::test]
    async fn a_body_comes_whole_and_in_small_pieces() {
        for size in [1, 2, PIECE, PIECE + 1, 2 * PIECE + 1] {
            let requests = Requests::default();
            let whole = Bytes::from(vec![7; size]);
            let mut body = requests.begin().watch(Full::new(whole.clone()));
            let mut received = Vec::new();
            let mut last = 0;
            while let Some(frame) = body.frame().await {
                let data = frame.expect("no error").into_data().expect("data");
                assert!((1..=PIECE).contains(&data.len()));
                last = data.len();
                received.extend_from_slice(&data);
                let left = whole.len() - received.len();
                assert_eq!(body.size_hint().exact(), Some(left as u64));
                requests.stalled(MOMENT).await;
            }
            assert_eq!(received, whole);
            assert_eq!(last, 1, "the last byte comes alone");
            assert!(requests.lock().waiting.is_empty(), "it waits no more");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_dropped_waits_no_more() {
        let requests = Requests::default();
        let mut body = requests
            .begin()
            .watch(Full::new(Bytes::from_static(b"text")));
        body.frame().await.expect("a piece").expect("no error");
        assert_eq!(requests.lock().waiting.len(), 1);
        drop(body);
        assert!(!ends(requests.stalled(MOMENT)).await);
    }

    #[tokio::test]
    async fn a_connection_is_idle_when_its_last_answer_is_sent() {
        let requests = Requests::default();
        requests.idle(MOMENT).await;
        let (one, other) = (requests.begin(), requests.begin());
        drop(one);
        assert!(!ends(requests.idle(MOMENT)).await, "one has no answer yet");
        let body = other.watch(Full::new(Bytes::from_static(b"text")));
        assert!(!ends(requests.idle(MOMENT)).await, "it is being sent");
        drop(body);
        requests.idle(MOMENT).await;
    }
}

//! Memory of messages that are being received.
//!
//! The WebSocket library buffers a message until it is complete. The bytes are counted here, in
//! the stream below the library: a large message takes memory from the budget of all uploads, and
//! is not read any further until the budget has room.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use pointstream_actors::{MemoryBudget, MemoryLease};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;

/// A client's WebSocket.
pub type Socket = WebSocketStream<MeteredStream<TokioIo<Upgraded>>>;

/// Bytes of a message that need no memory from the budget, so that small messages are read when
/// the budget is used up.
const FREE: usize = 64 << 10;
/// Memory is taken from the budget in multiples of this many bytes.
const GRANT: usize = 1 << 20;

/// Why reading from a client ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveError {
    /// The client sent nothing for too long in the middle of a large message.
    Stalled,
    /// Other uploads held all the memory for too long.
    Busy,
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stalled => "nothing came for too long in the middle of a message; connect again",
            Self::Busy => "the server is busy with other uploads; connect again later",
        })
    }
}

impl Error for ReceiveError {}

impl ReceiveError {
    /// The reason, if it made this read fail.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// Bytes received of the current message, and the memory taken for it.
#[derive(Debug, Default)]
struct Account {
    received: usize,
    lease: Option<MemoryLease>,
    /// None until messages are read.
    budget: Option<MemoryBudget>,
}

impl Account {
    /// The budget, and the bytes to take from it before more is read.
    fn due(&self) -> Option<(MemoryBudget, usize)> {
        let budget = self.budget.as_ref()?;
        if !self.is_large() {
            return None;
        }
        let wanted = self.received.next_multiple_of(GRANT).min(budget.bytes());
        let due = wanted.saturating_sub(self.lease.as_ref().map_or(0, MemoryLease::bytes));
        (due > 0).then(|| (budget.clone(), due))
    }

    /// Whether the current message needs memory from the budget.
    fn is_large(&self) -> bool {
        self.budget.is_some() && self.received > FREE
    }

    fn pay(&mut self, lease: MemoryLease) {
        match &mut self.lease {
            Some(held) => held.merge(lease),
            None => self.lease = Some(lease),
        }
    }
}

/// Counts what a socket receives. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct ReceiveMeter(Arc<Mutex<Account>>);

impl ReceiveMeter {
    /// Starts to take memory from this budget.
    pub fn begin(&self, budget: MemoryBudget) {
        self.with(|account| account.budget = Some(budget));
    }

    /// Ends the current message; returns the memory that it holds, if it is large.
    pub fn finish(&self) -> Option<MemoryLease> {
        self.with(|account| {
            account.received = 0;
            account.lease.take()
        })
    }

    /// Subtracts the bytes of a control frame, which is not part of the message.
    pub fn discount(&self, bytes: usize) {
        self.with(|account| account.received = account.received.saturating_sub(bytes));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Account) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A stream whose received bytes are counted.
pub struct MeteredStream<S> {
    inner: S,
    meter: ReceiveMeter,
    /// Longest wait for memory, or for the next bytes of a large message.
    timeout: Duration,
    growth: Option<Pin<Box<dyn Future<Output = MemoryLease> + Send + Sync>>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> MeteredStream<S> {
    /// Nothing is counted before [`ReceiveMeter::begin`].
    pub fn new(inner: S, timeout: Duration) -> Self {
        Self {
            inner,
            meter: ReceiveMeter::default(),
            timeout,
            growth: None,
            deadline: None,
        }
    }

    pub fn meter(&self) -> &ReceiveMeter {
        &self.meter
    }

    /// Pending until the timeout, then an error.
    fn time_out(&mut self, context: &mut Context<'_>, error: ReceiveError) -> Poll<io::Result<()>> {
        let timeout = self.timeout;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, error)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MeteredStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.growth.is_none()
            && let Some((budget, bytes)) = this.meter.with(|account| account.due())
        {
            this.growth = Some(Box::pin(async move { budget.take(bytes).await }));
        }
        if let Some(growth) = &mut this.growth {
            match growth.as_mut().poll(context) {
                Poll::Pending => return this.time_out(context, ReceiveError::Busy),
                Poll::Ready(lease) => {
                    this.growth = None;
                    this.deadline = None;
                    this.meter.with(|account| account.pay(lease));
                }
            }
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(context, buffer) {
            Poll::Pending if this.meter.with(|account| account.is_large()) => {
                this.time_out(context, ReceiveError::Stalled)
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(read) => {
                this.deadline = None;
                let bytes = buffer.filled().len() - before;
                this.meter.with(|account| account.received += bytes);
                Poll::Ready(read)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MeteredStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

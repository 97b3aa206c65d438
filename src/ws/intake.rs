//! Memory of messages that have not arrived wholly.
//!
//! The WebSocket library puts a message together before it gives it away. What it holds meanwhile
//! is counted here, below it, byte by byte: a message that becomes large takes its memory from the
//! budget of all uploads, and is not read any further while there is none.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pointstream_actors::{MemoryBudget, MemoryLease};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Bytes of a message that cost nothing: control messages must get through when memory is short.
const FREE: usize = 64 << 10;
/// Memory is taken in parts of this many bytes.
const GRANT: usize = 1 << 20;

/// Why a client is read no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntakeError {
    /// It fell silent in the middle of a large message.
    Stalled,
    /// Other uploads hold all the memory, and have for too long.
    Busy,
}

impl fmt::Display for IntakeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stalled => "nothing came for too long in the middle of a message; connect again",
            Self::Busy => "the server is busy with other uploads; connect again later",
        })
    }
}

impl Error for IntakeError {}

impl IntakeError {
    /// Finds out whether a failed read was one of these.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// What has been read of the message at hand, and the memory taken for it.
#[derive(Debug, Default)]
struct Account {
    received: usize,
    lease: Option<MemoryLease>,
    /// None as long as nobody reads messages.
    budget: Option<MemoryBudget>,
}

impl Account {
    /// The budget and the bytes to take from it before more may be read.
    fn due(&self) -> Option<(MemoryBudget, usize)> {
        let budget = self.budget.as_ref()?;
        if !self.is_large() {
            return None;
        }
        let wanted = self.received.next_multiple_of(GRANT).min(budget.bytes());
        let due = wanted.saturating_sub(self.lease.as_ref().map_or(0, MemoryLease::bytes));
        (due > 0).then(|| (budget.clone(), due))
    }

    /// Whether a message is being read that costs memory.
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

/// A handle of a connection's account.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Account>>);

impl Meter {
    /// Counts from now on, and takes memory from this budget.
    pub fn begin(&self, budget: MemoryBudget) {
        self.with(|account| account.budget = Some(budget));
    }

    /// A message is complete: hands out the memory that was taken for it, if it was large.
    pub fn finish(&self) -> Option<MemoryLease> {
        self.with(|account| {
            account.received = 0;
            account.lease.take()
        })
    }

    /// Bytes came that are no part of the message: those of a control frame.
    pub fn discount(&self, bytes: usize) {
        self.with(|account| account.received = account.received.saturating_sub(bytes));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Account) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection whose incoming bytes are counted.
pub struct Intake<S> {
    inner: S,
    meter: Meter,
    /// How long memory, or more of a large message, may take to come.
    timeout: Duration,
    growth: Option<Pin<Box<dyn Future<Output = MemoryLease> + Send + Sync>>>,
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S> Intake<S> {
    /// Wraps a connection. Nothing is counted before [`Meter::begin`].
    pub fn new(inner: S, timeout: Duration) -> Self {
        Self {
            inner,
            meter: Meter::default(),
            timeout,
            growth: None,
            patience: None,
        }
    }

    /// The account.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Pending, until patience is at its end.
    fn wait(&mut self, context: &mut Context<'_>, error: IntakeError) -> Poll<io::Result<()>> {
        let timeout = self.timeout;
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(patience.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, error)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Intake<S> {
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
                Poll::Pending => return this.wait(context, IntakeError::Busy),
                Poll::Ready(lease) => {
                    this.growth = None;
                    this.patience = None;
                    this.meter.with(|account| account.pay(lease));
                }
            }
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(context, buffer) {
            Poll::Pending if this.meter.with(|account| account.is_large()) => {
                this.wait(context, IntakeError::Stalled)
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(read) => {
                this.patience = None;
                let bytes = buffer.filled().len() - before;
                this.meter.with(|account| account.received += bytes);
                Poll::Ready(read)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Intake<S> {
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

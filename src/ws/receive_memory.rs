//! Memory and time of messages that are being received.
//!
//! A message is held until it is complete. Its bytes are counted here, in the stream below the WebSocket
//! library: a large message takes upload memory before its bytes are read. The head of a frame says how
//! many come, so a message in one frame claims what it needs; one in several frames may claim as much as a
//! message may have.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use pointstream_actors::{UploadLease, UploadMemory};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::WebSocketStream;

use super::frame_split::{FrameSplit, Part};
use crate::api::{memory_wait, receive_time};
use crate::payload::Payload;

/// A client's WebSocket.
pub type Socket = WebSocketStream<MeteredStream<TokioIo<Upgraded>>>;

/// Bytes of a message that need no upload memory, so that small messages are read when there is none.
const FREE: usize = 64 << 10;
/// Bytes that are read before [`ReceiveMeter::begin`]: the token of a client, and what the library reads
/// ahead.
const EARLY: usize = 32 << 10;
/// Frames that a message may have, however short they are.
const FREE_FRAMES: usize = 1024;
/// Least bytes of a frame on average, in a message with more frames.
const LEAST_FRAME: usize = 1024;

/// Why reading from a client ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveError {
    /// The client sent nothing for too long in the middle of a large message.
    Stalled,
    /// The client sent a large message too slowly.
    Slow,
    /// A message has too many short frames.
    Fragmented,
    /// Too much came before the client may send messages.
    Early,
    /// Other uploads held all the memory for too long.
    Busy,
    /// A message is large, and the client may send only small ones.
    TooLarge,
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stalled => "nothing came for too long in the middle of a message; connect again",
            Self::Slow => "a message came too slowly; connect again, and send smaller images",
            Self::Fragmented => "a message has too many short frames; send longer ones",
            Self::Early => "too much came before the token was accepted",
            Self::Busy => "the server is busy with other uploads; connect again later",
            Self::TooLarge => "a client that watches a session may not send large messages",
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

/// The memory of the messages of one socket.
#[derive(Debug, Default)]
struct Account {
    source: Source,
    current: Option<Incoming>,
    /// Bytes that came before there was a source.
    early: usize,
    /// Complete messages that the reader has not taken yet, the oldest first.
    complete: VecDeque<Complete>,
    /// When the client's last bytes came.
    heard: Option<Instant>,
    /// Whether the client's bytes have to wait for memory.
    waits_for_memory: bool,
}

/// Where the memory of messages comes from.
#[derive(Debug, Default)]
enum Source {
    /// The client may not send messages yet.
    #[default]
    NotYet,
    /// All messages are small.
    Small,
    Uploads {
        memory: UploadMemory,
        /// Largest message in bytes.
        limit: usize,
    },
}

/// What a complete message holds.
#[derive(Debug, Default)]
pub struct Complete {
    /// The payload, if the library does not have it.
    pub payload: Option<Payload>,
    /// The memory for it, if it is large.
    pub lease: Option<UploadLease>,
}

/// A message that is being received.
#[derive(Debug, Default)]
struct Incoming {
    received: usize,
    /// Bytes up to the end of the current frame.
    announced: usize,
    /// Whether the message ends with the current frame.
    last: bool,
    frames: usize,
    lease: Option<UploadLease>,
    /// How long the server has waited for the client's bytes.
    waited: Duration,
}

impl Account {
    fn found(&mut self, part: Part) {
        match part {
            Part::Head {
                begins,
                bytes,
                last,
            } => {
                if begins {
                    self.current = Some(Incoming::default());
                }
                let message = self.current.get_or_insert_default();
                message.announced = message.received.saturating_add(bytes);
                message.last = last;
                message.frames += 1;
            }
            Part::Payload(bytes) => {
                if let Some(message) = &mut self.current {
                    message.received += bytes;
                }
            }
            Part::End(payload) => {
                let lease = self.current.take().and_then(|message| message.lease);
                self.complete.push_back(Complete { payload, lease });
            }
        }
    }

    /// What is wrong with the bytes that came last.
    fn wrong(&mut self, received: usize) -> Option<ReceiveError> {
        let current = self.current.as_ref();
        match self.source {
            Source::NotYet => {
                self.early += received;
                if self.early > EARLY {
                    return Some(ReceiveError::Early);
                }
            }
            Source::Small if current.is_some_and(Incoming::is_large) => {
                return Some(ReceiveError::TooLarge);
            }
            Source::Small | Source::Uploads { .. } => {}
        }
        let is_fragmented = current.is_some_and(Incoming::is_fragmented);
        is_fragmented.then_some(ReceiveError::Fragmented)
    }

    /// Takes the memory for the next bytes. Waits only if the message is large.
    fn poll_memory(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (Source::Uploads { memory, limit }, Some(message)) = (&self.source, &mut self.current)
        else {
            return Poll::Ready(());
        };
        // The library refuses what is larger than the limit.
        let next = (message.received + 1).min(*limit);
        let announced = message.announced.min(*limit);
        if announced.max(next) <= FREE {
            return Poll::Ready(());
        }
        let lease = message.lease.get_or_insert_with(|| memory.lease());
        let most = message.last.then_some(announced);
        lease.poll_grow(context, next, most, *limit)
    }

    /// Bytes of the current message that may come before it needs more memory.
    fn held_for_next(&self) -> usize {
        let (Source::Uploads { .. }, Some(message)) = (&self.source, &self.current) else {
            return 0;
        };
        let held = message.lease.as_ref().map_or(0, UploadLease::bytes);
        held.max(FREE).saturating_sub(message.received)
    }
}

impl Incoming {
    fn is_large(&self) -> bool {
        self.received.max(self.announced) > FREE
    }

    fn is_fragmented(&self) -> bool {
        self.frames > FREE_FRAMES + self.received / LEAST_FRAME
    }
}

/// Counts what a socket receives. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct ReceiveMeter(Arc<Mutex<Account>>);

impl ReceiveMeter {
    /// Starts to take memory for messages of at most `limit` bytes.
    pub fn begin(&self, memory: UploadMemory, limit: usize) {
        self.with(|account| account.source = Source::Uploads { memory, limit });
    }

    /// Starts to take small messages, which need no memory of the uploads; others end the connection.
    pub fn begin_small(&self) {
        self.with(|account| account.source = Source::Small);
    }

    /// The oldest complete message. Call it once for each text and binary message of the library.
    pub fn finish(&self) -> Complete {
        self.with(|account| account.complete.pop_front().unwrap_or_default())
    }

    /// When the client was last heard of: its last bytes came, or they had to wait here.
    pub fn heard(&self) -> Option<Instant> {
        self.with(|account| match account.waits_for_memory {
            true => Some(Instant::now()),
            false => account.heard,
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Account) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A stream whose received messages are counted.
pub struct MeteredStream<S> {
    inner: S,
    meter: ReceiveMeter,
    frames: FrameSplit,
    /// Bytes for the library that it has not read yet.
    ready: Bytes,
    /// Longest wait for the next bytes of a large message.
    timeout: Duration,
    wait: Option<Wait>,
}

/// A wait in the middle of a message.
struct Wait {
    since: Instant,
    deadline: Pin<Box<Sleep>>,
    for_what: WaitFor,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WaitFor {
    Client,
    /// Memory; with the turns of all uploads when the deadline was set.
    Memory(u64),
}

impl<S> MeteredStream<S> {
    /// For messages of at most `limit` bytes. Nothing is counted before [`ReceiveMeter::begin`].
    pub fn new(inner: S, limit: usize, timeout: Duration) -> Self {
        Self {
            inner,
            meter: ReceiveMeter::default(),
            frames: FrameSplit::new(limit),
            ready: Bytes::new(),
            timeout,
            wait: None,
        }
    }

    pub fn meter(&self) -> &ReceiveMeter {
        &self.meter
    }

    /// Pending until the deadline, then an error.
    fn wait_for_memory<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let turns = self.meter.with(|account| match &account.source {
            Source::Uploads { memory, .. } => memory.turns(),
            Source::NotYet | Source::Small => 0,
        });
        loop {
            let timeout = memory_wait(self.timeout);
            let wait = self.wait.get_or_insert_with(|| Wait {
                since: Instant::now(),
                deadline: Box::pin(tokio::time::sleep(timeout)),
                for_what: WaitFor::Memory(turns),
            });
            ready!(wait.deadline.as_mut().poll(context));
            if wait.for_what == WaitFor::Memory(turns) {
                return fail(ReceiveError::Busy);
            }
            // Others have got memory: this message is nearer to its turn.
            self.wait = None;
        }
    }

    fn wait_for_client<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let left = self.meter.with(|account| {
            let message = account
                .current
                .as_ref()
                .filter(|message| message.is_large())?;
            let allowed = receive_time(self.timeout, message.received);
            Some(allowed.saturating_sub(message.waited))
        });
        let Some(left) = left else {
            return Poll::Pending;
        };
        let timeout = self.timeout.min(left);
        let wait = self.wait.get_or_insert_with(|| Wait {
            since: Instant::now(),
            deadline: Box::pin(tokio::time::sleep(timeout)),
            for_what: WaitFor::Client,
        });
        ready!(wait.deadline.as_mut().poll(context));
        fail(match left < self.timeout {
            true => ReceiveError::Slow,
            false => ReceiveError::Stalled,
        })
    }

    /// The wait is over.
    fn resumed(&mut self) {
        let Some(wait) = self.wait.take() else {
            return;
        };
        if wait.for_what == WaitFor::Client {
            self.meter.with(|account| {
                if let Some(message) = &mut account.current {
                    message.waited += wait.since.elapsed();
                }
            });
        }
    }
}

fn fail<T>(error: ReceiveError) -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, error)))
}

impl<S: AsyncRead + AsyncWrite + Unpin> MeteredStream<S> {
    /// Sends no more, and discards what comes until the client has closed its side.
    pub async fn drain(&mut self) -> io::Result<()> {
        let mut discarded = vec![0; 16 << 10];
        self.inner.shutdown().await?;
        while self.inner.read(&mut discarded).await? > 0 {}
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> MeteredStream<S> {
    /// Reads what comes next, with `buffer` as a place for it. Whether anything came: not at the end.
    fn poll_frames(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let (memory, most) = self.meter.with(|account| {
            let memory = account.poll_memory(context);
            account.waits_for_memory = memory.is_pending();
            (memory, account.held_for_next())
        });
        if memory.is_pending() {
            return self.wait_for_memory(context);
        }
        if let Some(WaitFor::Memory(_)) = self.wait.as_ref().map(|wait| wait.for_what) {
            self.wait = None;
        }
        let before = buffer.filled().len();
        let placed = self
            .frames
            .poll_place(context, Pin::new(&mut self.inner), most);
        let is_placed = placed.is_some();
        let read = placed.unwrap_or_else(|| {
            let read = Pin::new(&mut self.inner).poll_read(context, buffer);
            read.map_ok(|()| buffer.filled().len() - before)
        });
        let Poll::Ready(read) = read else {
            return self.wait_for_client(context);
        };
        self.resumed();
        let received = read?;
        let mut frames = Vec::new();
        let wrong = self.meter.with(|account| {
            account.heard = Some(Instant::now());
            let found = |part| account.found(part);
            match is_placed {
                true => self.frames.placed(received, &mut frames, found),
                false => self
                    .frames
                    .split(&buffer.filled()[before..], &mut frames, found),
            }
            account.wrong(received)
        });
        buffer.set_filled(before);
        self.ready = frames.into();
        match wrong {
            Some(error) => fail(error),
            None => Poll::Ready(Ok(received > 0)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MeteredStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.ready.is_empty() {
            if !ready!(this.poll_frames(context, buffer))? {
                return Poll::Ready(Ok(()));
            }
        }
        let some = this.ready.len().min(buffer.remaining());
        buffer.put_slice(&this.ready.split_to(some));
        if this.ready.is_empty() {
            // An empty rest would keep the memory of the whole.
            this.ready = Bytes::new();
        }
        Poll::Ready(Ok(()))
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

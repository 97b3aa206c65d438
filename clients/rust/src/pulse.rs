//! Tells a connection that is alive, but slow, from one that is dead.
//!
//! A dead one may look open for many minutes. So we send pings, and something must come after each.
//! A ping waits behind the image that is being sent; meanwhile some bytes of it must get away.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

use crate::lock::lock;
use crate::transport::Io;

/// When bytes have moved, and what is waited for.
pub(crate) struct Pulse(Mutex<Moments>);

struct Moments {
    read: Instant,
    written: Instant,
    sending: bool,
    /// When a ping was sent after which nothing has come.
    pinged: Option<Instant>,
}

impl Pulse {
    pub fn new() -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self(Mutex::new(Moments {
            read: now,
            written: now,
            sending: false,
            pinged: None,
        })))
    }

    /// A message begins to be sent.
    pub fn begin(&self) {
        let mut moments = lock(&self.0);
        moments.sending = true;
        moments.written = Instant::now();
    }

    /// It was sent.
    pub fn end(&self, ping: bool) {
        let mut moments = lock(&self.0);
        moments.sending = false;
        if ping && moments.pinged.is_none() {
            moments.pinged = Some(Instant::now());
        }
    }

    fn is_dead(&self, after: Duration) -> bool {
        let moments = lock(&self.0);
        if moments.sending {
            return moments.read.max(moments.written).elapsed() > after;
        }
        moments
            .pinged
            .is_some_and(|pinged| pinged.elapsed() > after)
    }

    /// Returns when the connection is dead.
    pub async fn watch(&self, after: Duration) {
        // Often enough to notice it soon.
        let pause = (after / 8).clamp(Duration::from_millis(10), Duration::from_secs(5));
        while !self.is_dead(after) {
            sleep(pause).await;
        }
    }
}

/// A connection that says when bytes have moved.
pub(crate) struct Watched {
    io: Box<dyn Io>,
    pulse: Arc<Pulse>,
}

impl Watched {
    pub fn new(io: Box<dyn Io>, pulse: Arc<Pulse>) -> Self {
        Self { io, pulse }
    }

    /// Reads and forgets what still comes, until the other side closes the connection.
    pub async fn drain(&mut self) -> io::Result<Infallible> {
        use tokio::io::AsyncReadExt as _;
        let mut piece = vec![0; 64 << 10];
        while self.io.read(&mut piece).await? > 0 {}
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            let mut moments = lock(&self.pulse.0);
            moments.read = Instant::now();
            moments.pinged = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(context, data))?;
        if written > 0 {
            lock(&self.pulse.0).written = Instant::now();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const PATIENCE: Duration = Duration::from_millis(80);

    #[tokio::test(start_paused = true)]
    async fn a_ping_wants_an_answer() {
        let (near, mut far) = tokio::io::duplex(64);
        let pulse = Pulse::new();
        let mut watched = Watched::new(Box::new(near), Arc::clone(&pulse));
        // Without a ping nothing is expected.
        sleep(2 * PATIENCE).await;
        assert!(!pulse.is_dead(PATIENCE));
        pulse.begin();
        pulse.end(true);
        far.write_all(b"pong").await.unwrap();
        watched.read_exact(&mut [0; 4]).await.unwrap();
        sleep(2 * PATIENCE).await;
        assert!(!pulse.is_dead(PATIENCE));
        pulse.begin();
        pulse.end(true);
        pulse.watch(PATIENCE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_must_get_on() {
        let (near, mut far) = tokio::io::duplex(8);
        let pulse = Pulse::new();
        let mut watched = Watched::new(Box::new(near), Arc::clone(&pulse));
        pulse.begin();
        let slow = tokio::spawn(async move {
            for _ in 0..6 {
                sleep(PATIENCE / 2).await;
                far.read_exact(&mut [0; 8]).await.unwrap();
            }
            far
        });
        tokio::select! {
            sent = watched.write_all(&[0; 48]) => sent.unwrap(),
            () = pulse.watch(2 * PATIENCE) => panic!("it gets on"),
        }
        let _far = slow.await.unwrap();
        tokio::select! {
            _ = watched.write_all(&[0; 48]) => panic!("nobody reads"),
            () = pulse.watch(2 * PATIENCE) => {}
        }
    }
}

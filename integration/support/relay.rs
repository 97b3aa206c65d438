//! A TCP relay that takes everything from the server, as the buffer of a proxy does, and passes on
//! only the first bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, Take, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::server::Server;

/// A relay in front of a server, for one connection at a time.
pub struct Relay {
    /// The address, like `127.0.0.1:41234`.
    pub address: SocketAddr,
    counts: Arc<Counts>,
    cuts: watch::Sender<u32>,
    accepting: JoinHandle<()>,
}

struct Counts {
    /// Bytes that the server sent.
    taken: AtomicU64,
    /// Bytes of those that are passed on.
    limit: AtomicU64,
    /// Bytes of each WebSocket after which it is cut.
    of_socket: AtomicU64,
}

impl Relay {
    pub async fn start(server: &Server) -> Self {
        let target: SocketAddr = server
            .base()
            .trim_start_matches("http://")
            .parse()
            .expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let counts = Arc::new(Counts {
            taken: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
            of_socket: AtomicU64::new(u64::MAX),
        });
        let (cuts, cut) = watch::channel(0);
        let counts_of_task = Arc::clone(&counts);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut cut = cut.clone();
                cut.mark_unchanged();
                let counts = Arc::clone(&counts_of_task);
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(target).await else {
                        return;
                    };
                    let mut head = [0; 64];
                    let read = client.peek(&mut head).await.unwrap_or(0);
                    let is_socket = head[..read].starts_with(b"GET /ws/reconstruct/");
                    let most = match is_socket {
                        true => counts.of_socket.load(Ordering::SeqCst),
                        false => u64::MAX,
                    };
                    let (from_server, mut to_server) = server.into_split();
                    let (mut from_client, to_client) = client.into_split();
                    tokio::select! {
                        () = take(from_server.take(most), to_client, &counts) => {}
                        _ = copy(&mut from_client, &mut to_server) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            counts,
            cuts,
            accepting,
        }
    }

    /// A relay that ends every WebSocket after so many bytes of the server. It passes on all else.
    pub async fn cutting_sockets(server: &Server, bytes: u64) -> Self {
        let relay = Self::start(server).await;
        relay.counts.of_socket.store(bytes, Ordering::SeqCst);
        relay
    }

    /// Bytes that the server has sent.
    pub fn taken(&self) -> u64 {
        self.counts.taken.load(Ordering::SeqCst)
    }

    /// From here on only so many bytes of the server are passed on.
    pub fn pass_on(&self, bytes: u64) {
        let limit = self.taken() + bytes;
        self.counts.limit.store(limit, Ordering::SeqCst);
    }

    /// Closes the connection.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn take(mut server: Take<OwnedReadHalf>, mut client: OwnedWriteHalf, counts: &Counts) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = server.read(&mut buffer).await
        && count > 0
    {
        let before = counts.taken.fetch_add(count as u64, Ordering::SeqCst);
        let left = counts.limit.load(Ordering::SeqCst).saturating_sub(before);
        let passed = usize::try_from(left).unwrap_or(usize::MAX).min(count);
        if client.write_all(&buffer[..passed]).await.is_err() {
            return;
        }
    }
}

//! Passes connections on to a server. They can be cut, as by a network that goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

pub struct Relay {
    pub url: String,
    cuts: Arc<Cuts>,
    task: JoinHandle<()>,
}

/// With `keep_acks` the relay cuts all connections whenever so many acknowledgements have passed:
/// the next one never arrives, so that the client has to notice.
struct Cuts {
    cut: broadcast::Sender<()>,
    count: AtomicUsize,
    keep_acks: usize,
    acks: AtomicUsize,
}

impl Relay {
    pub async fn start(port: u16, keep_acks: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cuts = Arc::new(Cuts {
            cut: broadcast::channel(1).0,
            count: AtomicUsize::new(0),
            keep_acks,
            acks: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&cuts);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, port, Arc::clone(&shared)));
            }
        });
        Self { url, cuts, task }
    }

    pub fn cut(&self) {
        self.cuts.cut();
    }

    pub fn cuts(&self) -> usize {
        self.cuts.count.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cuts {
    fn cut(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        // Without a connection there is nothing to cut.
        let _ = self.cut.send(());
    }

    /// Whether the connections were cut instead of passing these bytes on.
    fn losing(&self, data: &[u8]) -> bool {
        let acks = data.windows(5).filter(|part| part == b"\"ack\"").count();
        if self.acks.fetch_add(acks, Ordering::SeqCst) + acks <= self.keep_acks {
            return false;
        }
        self.acks.store(0, Ordering::SeqCst);
        self.cut();
        true
    }
}

async fn pass(mut near: TcpStream, port: u16, cuts: Arc<Cuts>) {
    let mut cut = cuts.cut.subscribe();
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    loop {
        let passed = tokio::select! {
            _ = cut.recv() => return,
            read = near.read(&mut up) => match read {
                Ok(count @ 1..) => far.write_all(&up[..count]).await,
                _ => return,
            },
            read = far.read(&mut down) => match read {
                Ok(count @ 1..) if !cuts.losing(&down[..count]) => near.write_all(&down[..count]).await,
                _ => return,
            },
        };
        if passed.is_err() {
            return;
        }
    }
}

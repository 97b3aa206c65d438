//! Keeps a session connected.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::Instant;

use crate::cloud::Cloud;
use crate::connection::{self, Socket};
use crate::error::Error;
use crate::event::Event;
use crate::events::{Events, Subscribers};
use crate::lock::lock;
use crate::outbox::{Outbox, Pending};
use crate::parameters::Deltas;
use crate::remote::Remote;
use crate::serve::{Before, End, serve};

/// After so long an idle connection counts as one that works.
const CALM: Duration = Duration::from_secs(60);
/// Requests for poses that wait at most.
const MAPS: usize = 4;

/// How a session is used over its socket.
pub(crate) struct Use {
    pub binary: bool,
    pub deltas: Deltas,
    pub max_in_flight: usize,
    pub max_message_bytes: usize,
    /// How long the server may be silent after a ping.
    pub dead_after: Duration,
}

/// The connected part of a session.
pub(crate) struct Engine {
    pub remote: Remote,
    pub usage: Use,
    pub subscribers: Subscribers,
    /// Places for images in flight, for requests and for `map`. So only so many messages wait.
    pub images: Arc<Semaphore>,
    pub requests: Arc<Semaphore>,
    pub maps: Arc<Semaphore>,
    /// Wakes the connection when there is something to send.
    pub wake: Notify,
    pub state: Mutex<State>,
    stop: watch::Sender<bool>,
}

/// What changes.
pub(crate) struct State {
    pub outbox: Outbox,
    /// Whether messages of the outbox may be sent: it is known what the server has.
    pub ready: bool,
    /// Who waits for an answer to a `ping`.
    pub pings: VecDeque<oneshot::Sender<()>>,
    pub cloud: Arc<Cloud>,
    pub attempts: u32,
    ended: Option<Error>,
}

impl Engine {
    pub fn new(remote: Remote, usage: Use, cloud: Arc<Cloud>) -> Self {
        Self {
            images: Arc::new(Semaphore::new(usage.max_in_flight)),
            // One at a time: after a loss it is known then whether the server has it.
            requests: Arc::new(Semaphore::new(1)),
            maps: Arc::new(Semaphore::new(MAPS)),
            wake: Notify::new(),
            subscribers: Subscribers::default(),
            state: Mutex::new(State {
                outbox: Outbox::default(),
                ready: false,
                pings: VecDeque::new(),
                cloud,
                attempts: 0,
                ended: None,
            }),
            stop: watch::Sender::new(false),
            remote,
            usage,
        }
    }

    /// The error with which the session has ended.
    pub fn check(&self) -> Result<(), Error> {
        lock(&self.state).ended.clone().map_or(Ok(()), Err)
    }

    /// What happens from now on; nothing if the session has ended.
    pub fn events(&self) -> Events {
        let events = self.subscribers.subscribe();
        let ended = lock(&self.state).ended.clone();
        if let Some(error) = ended {
            self.end_events(&error);
        }
        events
    }

    /// Takes a message to be sent, now or on the next connection.
    pub fn post(&self, pending: Pending) -> Result<(), Error> {
        let mut state = lock(&self.state);
        if let Some(error) = &state.ended {
            return Err(error.clone());
        }
        state.outbox.add(pending);
        self.wake.notify_one();
        Ok(())
    }

    /// Ends the connection after what is waiting for no answer.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub async fn stopped(&self) {
        // It fails only without a sender, and we have that.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Keeps the session connected until it ends or is left.
    pub async fn run(self: Arc<Self>, mut socket: Socket, mut before: Before) {
        let error = loop {
            let began = Instant::now();
            let reason = match serve(&self, socket, before).await {
                End::Stopped => break Error::Closed,
                End::Lost(reason) => reason,
            };
            if !reason.passes() {
                break reason;
            }
            {
                let mut state = lock(&self.state);
                if state.outbox.is_empty() && began.elapsed() > CALM {
                    state.attempts = 0;
                }
            }
            let opened = tokio::select! {
                () = self.stopped() => break Error::Closed,
                opened = self.open(true, Some(reason)) => opened,
            };
            socket = match opened {
                Ok(socket) => socket,
                Err(error) => break error,
            };
            before = Before::Lost;
        };
        self.fail(&error);
    }

    /// Connects, after a delay if a reason is given why that is needed again.
    pub async fn open(&self, resume: bool, mut reason: Option<Error>) -> Result<Socket, Error> {
        loop {
            if let Some(reason) = reason.take() {
                self.wait(reason).await?;
            }
            let token = self.remote.token.as_deref();
            let transport = &self.remote.rest.transport;
            let longest = self.usage.max_message_bytes;
            match connection::open(transport, &self.path(resume), token, longest).await {
                Ok(socket) => {
                    self.subscribers.emit(&Event::Connected {
                        image_count: socket.greeting.image_count,
                        max_images: socket.greeting.max_images,
                        resumed: resume,
                    });
                    return Ok(socket);
                }
                Err(error) if error.passes() => reason = Some(error),
                Err(error) => return Err(error),
            }
        }
    }

    async fn wait(&self, reason: Error) -> Result<(), Error> {
        let attempt = {
            let mut state = lock(&self.state);
            state.attempts += 1;
            state.attempts
        };
        let retry = &self.remote.rest.retry;
        let Some(delay) = retry.delay(attempt, reason.retry_after()) else {
            return Err(Error::ConnectionLost {
                session_id: self.remote.id.clone(),
                reason: Box::new(reason),
            });
        };
        self.subscribers.emit(&Event::Disconnected {
            reason,
            attempt,
            delay,
        });
        tokio::time::sleep(delay).await;
        Ok(())
    }

    fn path(&self, resume: bool) -> String {
        let mut query = Vec::new();
        if self.usage.binary {
            query.push("binary=true".to_owned());
        }
        if self.usage.deltas == Deltas::Append {
            query.push("deltas=append".to_owned());
            if let Some(number) = lock(&self.state).cloud.number() {
                query.push(format!("since={number}"));
            }
        }
        if resume {
            query.push("resume=true".to_owned());
        }
        let mark = if query.is_empty() { "" } else { "?" };
        format!(
            "/ws/reconstruct/{}{mark}{}",
            self.remote.id,
            query.join("&")
        )
    }

    /// The session has ended for us.
    pub fn fail(&self, error: &Error) {
        {
            let mut state = lock(&self.state);
            state.ended.get_or_insert_with(|| error.clone());
            state.outbox.fail(error);
        }
        for places in [&self.images, &self.requests, &self.maps] {
            places.close();
        }
        self.end_events(error);
    }

    fn end_events(&self, error: &Error) {
        let told = (!matches!(error, Error::Closed)).then_some(error);
        self.subscribers.end(told);
    }
}

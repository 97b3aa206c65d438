//! Events that wait for whoever reads them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;

use crate::error::Error;
use crate::event::Event;
use crate::lock::lock;

/// Events that wait at most, and how many of them may be results, which are large.
const LONGEST: usize = 256;
const MOST_SCENES: usize = 4;

/// What happens in a session, from [`Session::events`](crate::Session::events). It is a [`Stream`],
/// and [`next`](Self::next) needs no other crate.
///
/// It never makes the session wait. At most four results wait. Whoever reads too slowly misses older
/// ones; of the rest progress goes first, then the oldest of all. The calls that asked for results get them in any
/// case, and so does [`Session::cloud`](crate::Session::cloud).
pub struct Events(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Event>,
    missed: u64,
    ended: bool,
    error: Option<Error>,
    waker: Option<Waker>,
}

impl Events {
    /// The next event; none when the session was closed. The error is that with which it ended.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// How many events were missed.
    #[must_use]
    pub fn missed(&self) -> u64 {
        lock(&self.0).missed
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        let mut queue = lock(&self.0);
        if let Some(event) = queue.waiting.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        if let Some(error) = queue.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        queue.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl Queue {
    fn add(&mut self, event: Event) {
        if let Event::Scene(_) = event {
            let is_scene = |event: &Event| matches!(event, Event::Scene(_));
            let scenes = self.waiting.iter().filter(|event| is_scene(event)).count();
            if scenes >= MOST_SCENES {
                self.drop_first(is_scene);
            }
        }
        if self.waiting.len() >= LONGEST
            && !self.drop_first(|event| matches!(event, Event::Progress(_)))
        {
            self.drop_first(|_| true);
        }
        self.waiting.push_back(event);
    }

    fn drop_first(&mut self, which: impl Fn(&Event) -> bool) -> bool {
        let Some(index) = self.waiting.iter().position(which) else {
            return false;
        };
        self.waiting.remove(index);
        self.missed += 1;
        true
    }
}

/// Those who read events.
#[derive(Default)]
pub(crate) struct Subscribers(Mutex<Vec<Weak<Mutex<Queue>>>>);

impl Subscribers {
    pub fn subscribe(&self) -> Events {
        let queue = Arc::default();
        let mut all = lock(&self.0);
        // Those that nobody reads any more must not add up.
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&queue));
        Events(queue)
    }

    pub fn emit(&self, event: &Event) {
        self.each(|queue| queue.add(event.clone()));
    }

    /// No event follows. Whoever reads gets the error.
    pub fn end(&self, error: Option<&Error>) {
        self.each(|queue| {
            queue.ended = true;
            queue.error = error.cloned();
        });
        lock(&self.0).clear();
    }

    fn each(&self, change: impl Fn(&mut Queue)) {
        for queue in lock(&self.0).iter().filter_map(Weak::upgrade) {
            let waker = {
                let mut queue = lock(&queue);
                change(&mut queue);
                queue.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Ack, Progress, Scene, SceneKind};

    fn progress() -> Event {
        Event::Progress(Progress {
            stage: "inference".to_owned(),
            progress: 0.5,
            message: String::new(),
            id: None,
        })
    }

    fn ack(count: u64) -> Event {
        Event::Ack(Ack {
            image_count: count,
            image_path: String::new(),
            id: String::new(),
        })
    }

    fn scene(number: u64) -> Event {
        Event::Scene(Scene {
            kind: SceneKind::Delta,
            image_count: 1,
            metadata: Arc::default(),
            glb: bytes::Bytes::new(),
            id: None,
            number: Some(number),
        })
    }

    #[tokio::test]
    async fn who_reads_slowly_misses_progress_first() {
        let all = Subscribers::default();
        let mut events = all.subscribe();
        all.emit(&ack(0));
        all.emit(&progress());
        for count in 1..LONGEST as u64 {
            all.emit(&ack(count));
        }
        all.end(None);
        assert_eq!(events.missed(), 1);
        for count in 0..LONGEST as u64 {
            let found = events.next().await.unwrap().unwrap();
            assert!(matches!(found, Event::Ack(ack) if ack.image_count == count));
        }
        assert!(events.next().await.is_none());
    }

    #[tokio::test]
    async fn few_results_wait() {
        let all = Subscribers::default();
        let mut events = all.subscribe();
        for number in 0..10 {
            all.emit(&scene(number));
        }
        all.end(Some(&Error::Closed));
        let mut numbers = Vec::new();
        let error = loop {
            match events.next().await.unwrap() {
                Ok(Event::Scene(scene)) => numbers.push(scene.number.unwrap()),
                Ok(other) => panic!("{other:?}"),
                Err(error) => break error,
            }
        };
        assert_eq!(numbers, [6, 7, 8, 9]);
        assert!(matches!(error, Error::Closed));
        assert!(events.next().await.is_none());
    }

    #[tokio::test]
    async fn an_event_wakes_who_waits() {
        let all = Arc::new(Subscribers::default());
        let mut events = all.subscribe();
        let waiting = tokio::spawn(async move { events.next().await });
        tokio::task::yield_now().await;
        all.emit(&ack(1));
        assert!(matches!(waiting.await.unwrap(), Some(Ok(Event::Ack(_)))));
        // It was dropped with its task.
        let _other = all.subscribe();
        assert_eq!(lock(&all.0).len(), 1);
    }
}

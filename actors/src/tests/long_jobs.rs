//! Long jobs make way for the jobs of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use prometheus::TextEncoder;
use tokio::sync::oneshot;

use super::FakeModel;
use super::contract::{Held, Local};
use crate::ids::SessionId;
use crate::jobs::contract::{self, spec};
use crate::jobs::{JobEvent, JobFailure, JobHandle, JobKind, JobSpec};

/// Numbers of frames of a job that may be told to make way.
const LONG: [u64; 25] = [1; 25];

const TURN: Duration = Duration::from_millis(50);

/// One worker, whose next runs go on until they are stopped.
async fn local(endless: u32) -> (Local, Arc<AtomicU32>) {
    let model = FakeModel {
        endless: Arc::new(AtomicU32::new(endless)),
        ..FakeModel::new()
    };
    let left = model.endless.clone();
    let local = Local::with(model, |settings| settings.pool.long_turn = TURN).await;
    (local, left)
}

fn submit(local: &Local, session: SessionId, divisible: bool) -> JobHandle {
    local.subject.dispatcher.submit(JobSpec {
        divisible,
        ..spec(session, JobKind::Reconstruct, &LONG)
    })
}

/// How often jobs have made way.
fn made_way(local: &Local) -> u32 {
    let families = local.metrics.registry().gather();
    let text = TextEncoder::new().encode_to_string(&families);
    let text = text.expect("valid metrics");
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("pointstream_jobs_made_way_total "));
    value.expect("it is counted").parse().expect("a number")
}

#[tokio::test]
async fn a_long_job_makes_way_and_begins_again() {
    let (local, endless) = local(1).await;
    let (long, short) = (local.subject.session(1), local.subject.session(1));
    let running = submit(&local, long, false);
    contract::until(|| endless.load(Ordering::SeqCst) == 0).await;
    let waiting = local.subject.submit(short, JobKind::Reconstruct, &[1]);
    contract::end(waiting)
        .await
        .expect("the long one makes way");
    contract::end(running).await.expect("it is done afterwards");
    assert_eq!(local.metrics.totals().worker_restarts, 0);
    assert_eq!(made_way(&local), 1);
}

#[tokio::test]
async fn a_divisible_job_is_given_back() {
    let (local, endless) = local(1).await;
    let (long, short) = (local.subject.session(1), local.subject.session(1));
    let running = submit(&local, long, true);
    contract::until(|| endless.load(Ordering::SeqCst) == 0).await;
    let waiting = local.subject.submit(short, JobKind::Reconstruct, &[1]);
    contract::end(waiting)
        .await
        .expect("the long one makes way");
    assert_eq!(contract::end(running).await, Err(JobFailure::MadeWay));
}

#[tokio::test]
async fn its_submitter_is_told_that_it_waits_again() {
    let (local, endless) = local(1).await;
    let (long, short) = (local.subject.session(1), local.subject.session(1));
    let mut running = submit(&local, long, false);
    contract::until(|| endless.load(Ordering::SeqCst) == 0).await;
    let waiting = local.subject.submit(short, JobKind::Reconstruct, &[1]);
    contract::end(waiting)
        .await
        .expect("the long one makes way");
    let mut events = Vec::new();
    while let Some(event) = running.next().await {
        events.push(event);
    }
    let again = events.iter().position(|event| *event == JobEvent::Waiting);
    let again = again.expect("it waits again");
    assert!(events[..again].contains(&JobEvent::Accepted));
    assert!(events[again..].contains(&JobEvent::Accepted));
}

#[tokio::test]
async fn a_job_whose_worker_is_lost_while_it_makes_way_has_a_whole_turn_again() {
    // It does not look at the flag that ends it.
    let (model, mut held) = Held::model();
    let local = Local::with(model, |settings| settings.pool.long_turn = TURN).await;
    let (long, short) = (local.subject.session(1), local.subject.session(1));
    let running = submit(&local, long, false);
    held.running().await;
    let waiting = local.subject.submit(short, JobKind::Reconstruct, &[1]);
    // The pool looks once a second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (reply, restarted) = oneshot::channel();
    local.dispatcher.restart_worker(0, reply);
    restarted
        .await
        .expect("the pool lives")
        .expect("it is the first restart");
    drop(held.hold);
    contract::end(waiting).await.expect("it has its turn");
    contract::end(running).await.expect("it is done afterwards");
    // A turn that is over already would end at once.
    assert_eq!(made_way(&local), 0);
}

#[tokio::test]
async fn another_one_makes_way_if_the_first_cannot_stop() {
    let (model, mut held) = Held::model();
    let model = FakeModel {
        endless: Arc::new(AtomicU32::new(1)),
        ..model
    };
    let endless = model.endless.clone();
    let local = Local::with(model, |settings| {
        settings.pool.long_turn = TURN;
        settings.pool.workers_per_device = 2;
    })
    .await;
    let session = || local.subject.session(1);
    let stuck = submit(&local, session(), false);
    held.running().await;
    let running = submit(&local, session(), false);
    contract::until(|| endless.load(Ordering::SeqCst) == 0).await;
    let waiting = local.subject.submit(session(), JobKind::Reconstruct, &[1]);
    contract::end(waiting)
        .await
        .expect("the second one makes way");
    drop(held.hold);
    contract::end(stuck).await.expect("it is done afterwards");
    contract::end(running).await.expect("it is done, too");
}

#[tokio::test]
async fn a_session_does_not_interrupt_itself() {
    let (local, endless) = local(1).await;
    let (one, other) = (local.subject.session(1), local.subject.session(1));
    let running = submit(&local, one, false);
    contract::until(|| endless.load(Ordering::SeqCst) == 0).await;
    let mut own = local.subject.submit(one, JobKind::Reconstruct, &[1]);
    let early = tokio::time::timeout(Duration::from_millis(1500), own.next()).await;
    assert!(early.is_err(), "its own job has interrupted it: {early:?}");
    let waiting = local.subject.submit(other, JobKind::Reconstruct, &[1]);
    contract::end(waiting)
        .await
        .expect("the long one makes way");
    contract::end(running).await.expect("it is done afterwards");
    contract::end(own).await.expect("it is done, too");
}

//! Frames of several sessions that are encoded in one call.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::{FakeModel, Fixture};
use crate::{ActorReport, ClientMessage, SessionEvent, Whose};

/// Waits until no frames wait, which requests would overtake.
async fn no_jobs_are_left(fixture: &Fixture) {
    loop {
        let pool = fixture.pool().await;
        if pool.queue_depth == Some(0) && pool.children[0].state == "idle" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn waiting_frames_of_several_sessions_are_encoded_together() {
    let (go_on, gate) = mpsc::channel();
    let model = FakeModel {
        frames_per_call: 4,
        gate: Some(Arc::new(Mutex::new(gate))),
        ..FakeModel::new()
    };
    let encoded = model.encoded.clone();
    let fixture = Fixture::new(model, 1).await;
    let (mut one, mut another) = (fixture.client().await, fixture.client().await);
    one.upload().await;
    // The first frame keeps the worker busy, and the others wait.
    while fixture.pool().await.children[0].state != "busy" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..2 {
        one.upload().await;
        another.upload().await;
    }
    another.upload().await;
    while fixture.pool().await.queue_depth != Some(5) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..3 {
        go_on.send(()).expect("the model waits");
    }
    drop(go_on);
    no_jobs_are_left(&fixture).await;
    for client in [&mut one, &mut another] {
        let answer = client.generate().await;
        assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    }
    assert_eq!(*encoded.lock().expect("no panic"), [1, 4, 1]);
}

#[tokio::test]
async fn frames_that_fail_together_are_tried_again_by_their_own_sessions() {
    let (go_on, gate) = mpsc::channel();
    let model = FakeModel {
        frames_per_call: 4,
        gate: Some(Arc::new(Mutex::new(gate))),
        ..FakeModel::panicking(3, 0)
    };
    let fixture = Fixture::new(model, 1).await;
    let (mut one, mut another) = (fixture.client().await, fixture.client().await);
    for _ in 0..2 {
        one.upload().await;
        another.upload().await;
    }
    // All frames are at the pool before one fails.
    let arrived = |pool: &ActorReport| {
        let running = pool.children[0].current_job.as_ref();
        let running = running.map_or(0, |job| job.frames);
        pool.queue_depth.map(|waiting| waiting + running)
    };
    while arrived(&fixture.pool().await) != Some(4) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(go_on);
    no_jobs_are_left(&fixture).await;
    for client in [&mut one, &mut another] {
        let answer = client.generate().await;
        assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    }
}

#[tokio::test]
async fn frames_encoded_ahead_leave_room_for_what_clients_wait_for() {
    let (go_on, gate) = mpsc::channel();
    let model = FakeModel {
        frames_per_call: 4,
        gate: Some(Arc::new(Mutex::new(gate))),
        ..FakeModel::new()
    };
    let fixture = Fixture::new(model, 1).await;
    let mut late = fixture.client().await;
    late.upload().await;
    // More than the whole queue would take: each session offers two calls of frames.
    let mut early = Vec::new();
    for _ in 0..3 {
        let mut client = fixture.client().await;
        for _ in 0..8 {
            client.upload().await;
        }
        early.push(client);
    }
    while fixture.pool().await.queue_depth < Some(8) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    late.send(ClientMessage::Generate {
        incremental: true,
        id: None,
    })
    .await;
    // The pool has to have its request before the model goes on.
    while fixture.pool().await.queue_depth < Some(9) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(go_on);
    let answer = late.next().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    for client in &mut early {
        let answer = client.generate().await;
        assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    }
}

#[tokio::test]
async fn frames_of_a_deleted_session_are_not_encoded_and_fail_nobody_elses() {
    let (go_on, gate) = mpsc::channel();
    let model = FakeModel {
        frames_per_call: 4,
        gate: Some(Arc::new(Mutex::new(gate))),
        ..FakeModel::new()
    };
    let encoded = model.encoded.clone();
    let fixture = Fixture::new(model, 1).await;
    let (mut deleted, mut other) = (fixture.client().await, fixture.client().await);
    other.upload().await;
    // The first frame occupies the worker, and the others wait.
    while fixture.pool().await.children[0].state != "busy" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for client in [&mut deleted, &mut other] {
        client.upload().await;
    }
    while fixture.pool().await.queue_depth != Some(2) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let gone = fixture
        .system
        .delete_session(deleted.id, Whose::Anyones)
        .await;
    assert_eq!(gone, Ok(()));
    drop(go_on);
    no_jobs_are_left(&fixture).await;
    let answer = other.generate().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    assert_eq!(*encoded.lock().expect("no panic"), [1, 1]);
}

//! Failures that no client can cause.

use std::sync::atomic::Ordering;

use super::{FakeModel, Fixture};
use crate::jobs::contract::until;
use crate::{ClientMessage, CloseReason, SessionEvent, Whose};

#[tokio::test]
async fn a_panicking_model_restarts_its_worker_and_the_job_is_tried_again() {
    let fixture = Fixture::new(FakeModel::panicking(0, 1), 1).await;
    let mut client = fixture.client().await;
    client.upload().await;
    let answer = client.generate().await;
    let SessionEvent::Result { answer, .. } = answer else {
        panic!("the second attempt succeeds, but it is {answer:?}");
    };
    assert_eq!(answer.image_count, 1);
    let pool = fixture.pool().await;
    assert_eq!(pool.restarts, 0, "the pool itself is untouched");
    assert_eq!(pool.children[0].restarts, 1);
}

#[tokio::test]
async fn a_model_that_always_panics_is_a_clear_error_and_its_neighbour_works() {
    let fixture = Fixture::new(FakeModel::panicking(0, 2), 2).await;
    let (mut client, mut neighbour) = (fixture.client().await, fixture.client().await);
    client.upload().await;
    neighbour.upload().await;
    let answer = client.generate().await;
    let SessionEvent::Error { message, .. } = answer else {
        panic!("an error is due, but it is {answer:?}");
    };
    assert!(message.contains("told to panic"), "{message}");
    let answer = neighbour.generate().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    // And the one that failed is served again.
    let answer = client.generate().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
}

#[tokio::test]
async fn a_panic_while_frames_are_encoded_ahead_costs_no_answer() {
    let model = FakeModel::panicking(2, 0);
    let panics = model.panics_in_encode.clone();
    let fixture = Fixture::new(model, 1).await;
    let mut client = fixture.client().await;
    client.upload().await;
    client.upload().await;
    // A request may overtake the frames that are encoded ahead, and would panic in their place.
    until(|| panics.load(Ordering::SeqCst) == 0).await;
    let answer = client.generate().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
}

#[tokio::test]
async fn a_session_that_dies_tells_its_client_and_touches_nobody_else() {
    let fixture = Fixture::new(FakeModel::new(), 1).await;
    let mut client = fixture.client().await;
    client.upload().await;
    let victim = fixture.session_actor();
    let mut neighbour = fixture.client().await;
    neighbour.upload().await;

    victim.kill();
    match client.maybe_next().await {
        None | Some(SessionEvent::Closed(CloseReason::Failed)) => {}
        other => panic!("the end is due, but it is {other:?}"),
    }
    assert!(client.requests.send(ClientMessage::Ping).await.is_err());
    assert!(
        fixture
            .system
            .session(client.id, Whose::Anyones)
            .await
            .is_err()
    );

    let answer = neighbour.generate().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    let left = fixture
        .system
        .sessions(Whose::Anyones)
        .await
        .expect("it answers");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, neighbour.id);
    fixture.client().await;
}

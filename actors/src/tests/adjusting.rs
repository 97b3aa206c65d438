//! When the map is adjusted.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::{Client, FakeModel, Fixture, config, settings};
use crate::jobs::contract::until;
use crate::{ClientMessage, FinalizeMode, SessionConfig, SessionEvent};

/// A client with windows of six frames, of which two are new, and a list of the adjusted numbers of
/// frames.
async fn client(model: FakeModel) -> (Fixture, Client, Arc<Mutex<Vec<usize>>>) {
    client_with(model, u64::MAX).await
}

/// The same with so much memory for jobs.
async fn client_with(
    model: FakeModel,
    job_memory: u64,
) -> (Fixture, Client, Arc<Mutex<Vec<usize>>>) {
    let adjusted = model.adjusted.clone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = settings(folder.path(), model, 1);
    settings.pool.job_memory_bytes = job_memory;
    settings.max_images_limit = 20;
    let fixture = Fixture::with(folder, settings).await;
    let client = fixture
        .client_of(SessionConfig {
            window: 6,
            finalize_mode: FinalizeMode::Refine,
            max_images: 20,
            ..config()
        })
        .await;
    (fixture, client, adjusted)
}

fn able() -> FakeModel {
    let mut model = FakeModel::new();
    model.metadata.adjust = true;
    model
}

/// More frames than one window has, and too few for an adjustment ahead of the final result.
const FEW: usize = 7;

/// Uploads frames and asks for a result of all.
async fn grow(client: &mut Client, frames: usize) {
    for _ in 0..frames {
        client.upload().await;
    }
    let answer = client.generate().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
}

async fn finalize(client: &mut Client) {
    client.send(ClientMessage::Finalize { id: None }).await;
    let answer = client.next().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
}

#[tokio::test]
async fn the_map_is_adjusted_when_it_has_grown_and_before_its_final_result() {
    let (_fixture, mut client, adjusted) = client(able()).await;
    // Of at least 8 frames, then of half as many more.
    for _ in 0..9 {
        grow(&mut client, 2).await;
    }
    finalize(&mut client).await;
    let adjusted = adjusted.lock().expect("no panic").clone();
    assert_eq!(adjusted.last(), Some(&18), "{adjusted:?}");
    let others = &adjusted[..adjusted.len() - 1];
    assert!(others.first() >= Some(&8), "{adjusted:?}");
    let grows = |pair: &[usize]| pair[1] * 2 >= pair[0] * 3;
    assert!(others.windows(2).all(grows), "{adjusted:?}");
}

#[tokio::test]
async fn a_final_result_waits_for_one_adjustment() {
    let (_fixture, mut client, adjusted) = client(able()).await;
    for _ in 0..FEW {
        client.upload().await;
    }
    finalize(&mut client).await;
    assert_eq!(*adjusted.lock().expect("no panic"), [FEW]);
}

#[tokio::test]
async fn a_model_that_cannot_adjust_is_not_asked_to() {
    let (_fixture, mut client, adjusted) = client(FakeModel::new()).await;
    grow(&mut client, 10).await;
    finalize(&mut client).await;
    assert!(adjusted.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn an_adjustment_that_panics_is_tried_again_and_then_left_out() {
    for (panics, calls) in [(1, 1), (2, 0)] {
        let model = able();
        model.panics_in_adjust.store(panics, Ordering::SeqCst);
        let (_fixture, mut client, adjusted) = client(model).await;
        for _ in 0..FEW {
            client.upload().await;
        }
        finalize(&mut client).await;
        assert_eq!(adjusted.lock().expect("no panic").len(), calls);
    }
}

#[tokio::test]
async fn a_map_without_memory_for_an_adjustment_has_results_all_the_same() {
    let model = FakeModel {
        frame_bytes: 1 << 20,
        ..able()
    };
    // Windows of six frames fit.
    let (_fixture, mut client, adjusted) = client_with(model, 7 << 20).await;
    for _ in 0..5 {
        grow(&mut client, 2).await;
    }
    finalize(&mut client).await;
    assert!(adjusted.lock().expect("no panic").is_empty());
}

/// A client whose map of eight frames is being adjusted, by a call that goes on until it is stopped.
async fn client_while_adjusting() -> (Fixture, Client, Arc<Mutex<Vec<usize>>>) {
    let model = able();
    model.endless_adjust.store(1, Ordering::SeqCst);
    let endless = model.endless_adjust.clone();
    let (fixture, mut client, adjusted) = client(model).await;
    grow(&mut client, 8).await;
    until(|| endless.load(Ordering::SeqCst) == 0).await;
    (fixture, client, adjusted)
}

#[tokio::test]
async fn what_the_map_has_does_not_wait_for_an_adjustment() {
    let (_fixture, mut client, adjusted) = client_while_adjusting().await;
    grow(&mut client, 0).await;
    // It was not interrupted for that.
    assert_eq!(*adjusted.lock().expect("no panic"), [8]);
}

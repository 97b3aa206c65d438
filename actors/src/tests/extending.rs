//! Windows of a map: what the pool keeps of frames from one to the next.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Client, FakeModel, Fixture, config, settings};
use crate::{ClientMessage, MapPoses, SessionConfig, SessionEvent};

async fn client(fixture: &Fixture) -> Client {
    fixture
        .client_of(SessionConfig {
            window: 6,
            ..config()
        })
        .await
}

/// Uploads frames and asks for a result of all.
async fn grow(client: &mut Client, frames: usize) {
    for _ in 0..frames {
        client.upload().await;
    }
    let answer = client.generate().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
}

async fn poses(client: &mut Client) -> Arc<MapPoses> {
    client.send(ClientMessage::Map { id: None }).await;
    match client.next().await {
        SessionEvent::Poses { poses, .. } => poses,
        other => panic!("{other:?} should be poses"),
    }
}

#[tokio::test]
async fn all_who_ask_share_the_poses_until_they_change() {
    let fixture = Fixture::new(FakeModel::new(), 1).await;
    let mut client = client(&fixture).await;
    grow(&mut client, 8).await;
    let first = poses(&mut client).await;
    assert_eq!(first.frames.len(), 8);
    let second = poses(&mut client).await;
    assert!(Arc::ptr_eq(&first, &second));
    grow(&mut client, 2).await;
    let third = poses(&mut client).await;
    assert_eq!((first.frames.len(), third.frames.len()), (8, 10));
    // Nobody has had them any more: they are made again.
    drop(third);
    assert_eq!(poses(&mut client).await.frames.len(), 10);
}

#[tokio::test]
async fn the_models_own_maps_are_kept_for_the_next_window() {
    let model = FakeModel::new();
    let (encoded, extended) = (model.encoded.clone(), model.extended.clone());
    let fixture = Fixture::new(model, 1).await;
    let mut client = client(&fixture).await;
    // The first window has no maps of the model; the second one is given none.
    grow(&mut client, 8).await;
    assert_eq!(*extended.lock().expect("no panic"), [[false; 4]]);
    grow(&mut client, 2).await;
    assert_eq!(*extended.lock().expect("no panic"), [[false; 4], [true; 4]]);
    // Every frame is encoded once.
    assert_eq!(encoded.lock().expect("no panic").len(), 10);
}

#[tokio::test]
async fn windows_do_without_memory_for_maps() {
    let model = FakeModel::new();
    let extended = model.extended.clone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = settings(folder.path(), model, 1);
    settings.pool.feature_cache_bytes = 0;
    let fixture = Fixture::with(folder, settings).await;
    let mut client = client(&fixture).await;
    grow(&mut client, 8).await;
    grow(&mut client, 2).await;
    assert_eq!(*extended.lock().expect("no panic"), [[false; 4]; 2]);
}

#[tokio::test]
async fn a_window_whose_model_panics_is_tried_again() {
    let model = FakeModel::new();
    let (panics, extended) = (model.panics_in_predict.clone(), model.extended.clone());
    let fixture = Fixture::new(model, 1).await;
    let mut client = client(&fixture).await;
    for (frames, calls) in [(8, 1), (2, 2)] {
        panics.store(1, Ordering::SeqCst);
        grow(&mut client, frames).await;
        assert_eq!(extended.lock().expect("no panic").len(), calls);
    }
    assert_eq!(fixture.pool().await.children[0].restarts, 2);
}

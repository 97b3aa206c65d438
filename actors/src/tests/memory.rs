//! Work that does not fit into memory.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::{Client, FakeModel, Fixture, settings};
use crate::report::WorkerState;
use crate::{ClientMessage, ErrorCode, FinalizeMode, SessionConfig, SessionEvent};

fn config() -> SessionConfig {
    SessionConfig {
        max_images: 100,
        ..super::config()
    }
}

/// A model with memory for so many frames, and the numbers of frames of its runs.
async fn little(
    most_frames: usize,
    config: SessionConfig,
    uploads: usize,
) -> (Fixture, Client, Arc<Mutex<Vec<usize>>>) {
    let mut model = FakeModel::new();
    model.metadata.extend = false;
    model.most_frames = Some(most_frames);
    let predicted = model.predicted.clone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = settings(folder.path(), model, 1);
    settings.max_images_limit = 100;
    let fixture = Fixture::with(folder, settings).await;
    let mut client = fixture.client_of(config).await;
    for _ in 0..uploads {
        client.upload().await;
    }
    (fixture, client, predicted)
}

async fn finalize(client: &mut Client) -> SessionEvent {
    client.send(ClientMessage::Finalize { id: None }).await;
    client.next().await
}

#[tokio::test]
async fn windows_are_as_large_as_fits() {
    // One run has no memory for 20 images.
    let (_fixture, mut client, predicted) = little(10, config(), 20).await;
    let answer = client.generate().await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    // Of a later window six are new and four are placed.
    assert_eq!(*predicted.lock().expect("no panic"), [10, 10, 8]);
}

#[tokio::test]
async fn a_final_result_that_does_not_fit_is_that_of_the_map() {
    let (_fixture, mut client, predicted) = little(24, config(), 30).await;
    let answer = finalize(&mut client).await;
    assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    assert_eq!(*predicted.lock().expect("no panic"), [24, 15]);
}

#[tokio::test]
async fn what_the_client_asked_for_is_refused_if_it_does_not_fit() {
    let whole = SessionConfig {
        finalize_mode: FinalizeMode::Whole,
        ..config()
    };
    let window = SessionConfig {
        window: 24,
        ..config()
    };
    for (config, uploads, most) in [(whole, 30, 24), (window, 20, 10), (config(), 20, 5)] {
        let (_fixture, mut client, predicted) = little(most, config, uploads).await;
        let answer = finalize(&mut client).await;
        let SessionEvent::Error { code, .. } = answer else {
            panic!("it fails, but the answer is {answer:?}")
        };
        assert_eq!(code, ErrorCode::OutOfMemory);
        assert!(predicted.lock().expect("no panic").is_empty());
    }
}

/// An image that needs 9 MB to be decoded.
fn large_png() -> bytes::Bytes {
    let picture = image::RgbImage::new(1000, 500);
    let mut bytes = std::io::Cursor::new(Vec::new());
    let png = image::ImageFormat::Png;
    picture.write_to(&mut bytes, png).expect("a PNG");
    bytes.into_inner().into()
}

/// A model of which each frame needs a MiB.
fn of_one_mib() -> FakeModel {
    FakeModel {
        frame_bytes: 1 << 20,
        ..FakeModel::new()
    }
}

#[tokio::test]
async fn without_memory_nothing_is_encoded_ahead_and_requests_are_refused() {
    let model = of_one_mib();
    let encoded = model.encoded.clone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = settings(folder.path(), model, 1);
    settings.pool.job_memory_bytes = 1 << 19;
    let fixture = Fixture::with(folder, settings).await;
    let mut client = fixture.client_of(super::config()).await;
    client.upload().await;
    let answer = client.generate().await;
    let SessionEvent::Error { code, message, .. } = answer else {
        panic!("it fails, but the answer is {answer:?}")
    };
    assert_eq!(code, ErrorCode::OutOfMemory);
    assert!(
        message.starts_with("Out of memory: 1 image at process_res 28 needs"),
        "{message}"
    );
    assert!(encoded.lock().expect("no panic").is_empty());
    assert_eq!(fixture.system.metrics().job_memory().used, 0);
}

#[tokio::test]
async fn two_workers_share_memory_for_one_prediction() {
    let (release, gate) = mpsc::channel();
    let (entered, mut entries) = tokio::sync::mpsc::unbounded_channel();
    let model = FakeModel {
        gate: Some(Arc::new(Mutex::new(gate))),
        entered: Some(entered),
        ..of_one_mib()
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = settings(folder.path(), model, 2);
    settings.pool.job_memory_bytes = 3 << 20;
    // Nothing is encoded ahead.
    settings.pool.feature_cache_bytes = 0;
    let fixture = Fixture::with(folder, settings).await;
    let mut clients = [fixture.client().await, fixture.client().await];
    for client in &mut clients {
        client.upload().await;
        client.upload().await;
        let generate = ClientMessage::Generate {
            incremental: true,
            id: None,
        };
        client.send(generate).await;
    }
    assert_eq!(entries.recv().await, Some(1));
    let both = WorkerState::Busy;
    while fixture
        .pool()
        .await
        .children
        .iter()
        .any(|worker| worker.state != <&str>::from(both))
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The other prediction was not promised what the first one may take.
    assert!(entries.try_recv().is_err());
    assert_eq!(fixture.system.metrics().job_memory().used, 2 << 20);
    for _ in 0..4 {
        release.send(()).expect("the model waits");
    }
    for client in &mut clients {
        let answer = client.next().await;
        assert!(matches!(answer, SessionEvent::Result { .. }), "{answer:?}");
    }
    assert_eq!(fixture.system.metrics().job_memory().used, 0);
}

#[tokio::test]
async fn an_image_that_never_fits_is_refused_and_others_are_decoded_in_turn() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = settings(folder.path(), FakeModel::new(), 1);
    // A PNG file takes more than 5 MiB, for its colour profile and for tables.
    settings.decode_memory_bytes = 7 << 20;
    let fixture = Fixture::with(folder, settings).await;
    let mut client = fixture.client().await;
    let image = crate::ImageUpload::new(large_png());
    client.send(ClientMessage::Image(image)).await;
    let answer = client.next().await;
    let SessionEvent::Error { code, message, .. } = answer else {
        panic!("it fails, but the answer is {answer:?}")
    };
    assert_eq!(code, ErrorCode::ImageTooLarge);
    assert!(
        message.starts_with("The image of 1000x500 needs 9 MB"),
        "{message}"
    );
    assert!(message.contains("the server has 7 MB"), "{message}");
    for _ in 0..5 {
        client.upload().await;
    }
    let memory = fixture.system.metrics().decode_memory();
    assert_eq!((memory.used, memory.limit), (0, 7 << 20));
}

#[tokio::test]
async fn images_that_are_one_too_many_are_not_decoded() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = settings(folder.path(), FakeModel::new(), 1);
    // One is decoded after the other.
    settings.decode_memory_bytes = 10 << 20;
    let fixture = Fixture::with(folder, settings).await;
    let one = SessionConfig {
        max_images: 1,
        ..super::config()
    };
    let mut client = fixture.client_of(one).await;
    let bytes = large_png();
    // The first one is damaged, which shows only when it is decoded: it takes no place.
    let damaged = bytes.slice(..bytes.len() * 9 / 10);
    let all = std::iter::once(damaged).chain(std::iter::repeat_n(bytes, 15));
    for image in all {
        let image = crate::ImageUpload::new(image);
        client.send(ClientMessage::Image(image)).await;
    }
    let mut answers = Vec::new();
    for _ in 0..16 {
        answers.push(match client.next().await {
            SessionEvent::Acknowledged { .. } => None,
            SessionEvent::Error { code, .. } => Some(code),
            other => panic!("an answer to an image is due, but it is {other:?}"),
        });
    }
    assert_eq!(answers[..2], [Some(ErrorCode::InvalidImage), None]);
    assert_eq!(answers[2..], [Some(ErrorCode::TooManyImages); 14]);
    // Those that came to their turn before an earlier one do not know yet that they are too many.
    let decoded = fixture.system.metrics().sessions.images_decoded();
    assert!((2..10).contains(&decoded), "{decoded}");
}

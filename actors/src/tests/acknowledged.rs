//! An image is acknowledged when it is durable: first its files, then its record.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use super::watched_blobs::Access;
use super::{Client, FakeModel, Fixture, config, settings};
use crate::blobs::BlobName;
use crate::{ClientMessage, ErrorCode, ImageUpload, SessionEvent};

fn picture() -> ClientMessage {
    let mut bytes = io::Cursor::new(Vec::new());
    let picture = image::RgbImage::new(28, 28);
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .expect("a PNG");
    ClientMessage::Image(ImageUpload::new(bytes.into_inner().into()))
}

/// How much the only session's journal has written.
fn journal_bytes(data: &Path) -> u64 {
    let sessions = std::fs::read_dir(data.join("sessions")).expect("sessions");
    let bytes = sessions.map(|session| {
        let path = session.expect("a session").path();
        let log = std::fs::metadata(path.join("journal.sqlite-wal"));
        log.map_or(0, |log| log.len())
    });
    bytes.sum()
}

async fn ack(client: &mut Client) {
    let event = client.next().await;
    assert!(
        matches!(event, SessionEvent::Acknowledged { .. }),
        "{event:?}"
    );
}

#[tokio::test]
async fn an_acknowledgement_waits_for_the_files_and_then_for_the_record() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().to_owned();
    let (begun, mut syncs) = tokio::sync::mpsc::unbounded_channel();
    let (release, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let watch = move |access: Access<'_>| {
        if let Access::Sync(names) = access
            && !names.is_empty()
        {
            let seen = (names.to_vec(), journal_bytes(&data));
            begun.send(seen).expect("the test watches");
            let released = gate.lock().expect("no panic").recv();
            released.expect("the test goes on");
        }
        Ok(())
    };
    let settings = settings(folder.path(), FakeModel::new(), 1);
    let path = folder.path().to_owned();
    let fixture = Fixture::watched(folder, settings, watch).await;
    let mut client = fixture.client_of(config()).await;
    for number in 1..=2 {
        client.send(picture()).await;
        let (mut names, before) = syncs.recv().await.expect("it is made durable");
        names.sort_unstable();
        let mut both = [BlobName::Original(number), BlobName::Prepared(number)];
        both.sort_unstable();
        assert_eq!(names, both);
        // Whatever is sent before the pong would come before it.
        client.send(ClientMessage::Ping).await;
        let event = client.next().await;
        assert!(matches!(event, SessionEvent::Pong), "{event:?}");
        assert_eq!(journal_bytes(&path), before, "the record comes later");
        release.send(()).expect("it waits");
        ack(&mut client).await;
        assert!(journal_bytes(&path) > before, "the record is written");
    }
}

#[tokio::test]
async fn an_image_whose_files_are_not_durable_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fails = Arc::new(AtomicBool::new(true));
    let watch = {
        let fails = fails.clone();
        move |access: Access<'_>| match access {
            Access::Sync([_, ..]) if fails.load(Ordering::SeqCst) => {
                Err(io::Error::other("told to fail"))
            }
            _ => Ok(()),
        }
    };
    let settings = settings(folder.path(), FakeModel::new(), 1);
    let fixture = Fixture::watched(folder, settings, watch).await;
    let mut client = fixture.client_of(config()).await;
    client.send(picture()).await;
    let event = client.next().await;
    let SessionEvent::Error { code, message, .. } = event else {
        panic!("it fails, but the answer is {event:?}")
    };
    assert_eq!(code, ErrorCode::StorageFailed);
    assert!(message.contains("told to fail"), "{message}");
    fails.store(false, Ordering::SeqCst);
    client.send(picture()).await;
    let event = client.next().await;
    let SessionEvent::Acknowledged { image_count, .. } = event else {
        panic!("it is acknowledged, but the answer is {event:?}")
    };
    assert_eq!(image_count, 1);
}

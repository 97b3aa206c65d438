//! What a client keeps when connections, servers or its own patience end.

use std::time::Duration;

use pointstream_client::{
    Client, ClientOptions, Error, Event, Format, Image, Session, SessionOptions,
};

use crate::program::relay::Relay;
use crate::program::{Server, client, photo, pictures, small};

/// So many acknowledgements never pass.
const ALL: usize = usize::MAX;

#[tokio::test]
async fn uploads_survive_lost_connections() {
    let Some(server) = Server::start("flat", &[]).await else {
        return;
    };
    let relay = Relay::start(server.port(), 5).await;
    let session = client(&relay.url).create(small()).await.unwrap();
    let mut events = session.events();
    let answers = session.upload_many(pictures(0..24)).await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    // Each image is there once, and in its place.
    let images = session.images().await.unwrap();
    let names: Vec<String> = images.into_iter().map(|image| image.image_path).collect();
    let expected: Vec<String> = (0..24).map(|level| format!("{level}.png")).collect();
    assert_eq!(names, expected);
    session.delete().await.unwrap();
    let mut lost = 0;
    while let Some(event) = events.next().await {
        lost += usize::from(matches!(event.unwrap(), Event::Disconnected { .. }));
    }
    assert!(
        relay.cuts() >= 1 && lost >= relay.cuts(),
        "{lost} {}",
        relay.cuts()
    );
}

#[tokio::test]
async fn a_request_survives_a_lost_connection() {
    let Some(server) = Server::start("slow", &[]).await else {
        return;
    };
    let relay = Relay::start(server.port(), ALL).await;
    let session = client(&relay.url).create(small()).await.unwrap();
    session.upload_many(pictures(0..2)).await.unwrap();
    let cut = async {
        until_inference(&session).await;
        relay.cut();
    };
    let (update, ()) = tokio::join!(session.generate(), cut);
    let update = update.unwrap();
    // It was made once.
    assert_eq!((update.number, relay.cuts()), (Some(1), 1));
    assert_eq!(update.metadata["num_points"], session.cloud().len());
    session.delete().await.unwrap();
}

async fn until_inference(session: &Session) {
    let mut events = session.events();
    while let Some(event) = events.next().await {
        if let Event::Progress(progress) = event.unwrap()
            && progress.stage == "inference"
        {
            return;
        }
    }
    panic!("the session has ended");
}

#[tokio::test]
async fn results_that_are_too_large_for_a_message_are_fetched() {
    let Some(server) = Server::start("flat", &[]).await else {
        return;
    };
    let mut options = SessionOptions::from(small());
    options.socket.max_message_bytes = 20_000;
    let session = client(&server.url).create(options).await.unwrap();
    session.upload_many(pictures(0..3)).await.unwrap();
    let error = session.generate().await.unwrap_err();
    assert!(matches!(error, Error::ResultTooLarge(_)), "{error}");
    assert!(error.to_string().contains("max_message_bytes"));
    assert!(session.cloud().is_empty());
    let scene = session.finalize().await.unwrap();
    assert!(scene.glb.len() > 20_000);
    assert_eq!(scene.metadata["num_points"], scene.cloud().unwrap().len());
    let options = ClientOptions {
        max_result_bytes: 20_000,
        ..ClientOptions::default()
    };
    let other = Client::with_options(&server.url, options).unwrap();
    let other = other.attach(session.id()).await.unwrap();
    let error = other.result(Format::Glb).await.unwrap_err();
    assert!(matches!(error, Error::ResultTooLarge(_)), "{error}");
    other.close().await;
    session.delete().await.unwrap();
}

#[tokio::test]
async fn a_session_survives_a_killed_server() {
    let Some(server) = Server::start("flat", &[]).await else {
        return;
    };
    let session = client(&server.url).create(small()).await.unwrap();
    session.upload_many(pictures(0..3)).await.unwrap();
    let uploads = session.upload_many(pictures(3..6));
    let (server, answers) = tokio::join!(server.restart("flat"), uploads);
    let answers = answers
        .unwrap()
        .into_iter()
        .map(|ack| ack.unwrap().image_count);
    assert_eq!(answers.collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(session.finalize().await.unwrap().image_count, 6);
    session.delete().await.unwrap();
    drop(server);
}

#[tokio::test]
async fn a_request_is_cancelled() {
    let Some(server) = Server::start("slow", &[]).await else {
        return;
    };
    let session = client(&server.url).create(small()).await.unwrap();
    session.upload_many(pictures(0..6)).await.unwrap();
    let cancel = async {
        until_inference(&session).await;
        assert!(session.cancel().unwrap());
    };
    let (scene, ()) = tokio::join!(session.generate(), cancel);
    assert!(matches!(scene, Err(Error::Cancelled(_))));
    assert_eq!(session.state().await.unwrap().requests, 0);
    assert!(!session.cancel().unwrap());
    // Who stops to wait need not pay for the rest.
    let pause = Duration::from_millis(300);
    assert!(
        tokio::time::timeout(pause, session.generate())
            .await
            .is_err()
    );
    while session.state().await.unwrap().requests > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ack = session
        .upload(Image::bytes(photo(9)).name("9.png"))
        .await
        .unwrap();
    assert_eq!(ack.image_count, 7);
    session.delete().await.unwrap();
}

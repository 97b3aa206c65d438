//! What the calls of a client do.

use std::sync::{Arc, Mutex};

use pointstream_client::{
    Client, Cloud, Error, Event, Format, Image, KnownCamera, Parameters, ReconstructOptions,
    SceneKind, SessionOptions, reconstruct,
};

use crate::program::{Server, client, photo, pictures, small};

#[tokio::test]
async fn photos_become_a_cloud_and_files() {
    let Some(server) = Server::start("flat", &[]).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..3)
        .map(|level| folder.path().join(format!("{level}.png")))
        .collect();
    for (level, path) in (0..).zip(&paths) {
        std::fs::write(path, photo(level)).unwrap();
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&seen);
    let options = ReconstructOptions {
        parameters: small(),
        format: Some(Format::Ply),
        on_event: Some(Box::new(move |event| {
            events.lock().unwrap().push(event.clone());
        })),
    };
    let client = client(&server.url);
    let made = reconstruct(&client, &paths, options).await.unwrap();
    assert!(made.data.starts_with(b"ply\n") && made.format == Format::Ply);
    assert!(["good", "partial"].contains(&made.quality().unwrap().verdict.as_str()));
    let cloud = made.cloud().unwrap();
    assert_eq!(made.scene.metadata["num_points"], cloud.len());
    let names: Vec<&str> = cloud.cameras().map(|camera| camera.name.as_str()).collect();
    assert_eq!(names, ["0.png", "1.png", "2.png"]);
    let mut seen = std::mem::take(&mut *seen.lock().unwrap()).into_iter();
    assert!(seen.any(|event| matches!(event, Event::Progress(_))));
    assert!(client.sessions().await.unwrap().sessions.is_empty());

    let broken = pictures(0..1).chain([Image::bytes(&b"no image"[..]).name("b.jpg")]);
    let error = reconstruct(&client, broken, ReconstructOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ImageRefused(_)));
    assert_eq!(error.refusal().unwrap().filename.as_deref(), Some("b.jpg"));
}

#[tokio::test]
async fn updates_make_the_cloud_of_a_whole_result() {
    let Some(server) = Server::start("extending", &[]).await else {
        return;
    };
    for (binary, compression) in [(true, "none"), (false, "quantized")] {
        let mut options = SessionOptions::from(Parameters {
            window: Some(6),
            glb_compression: Some(serde_json::from_value(compression.into()).unwrap()),
            ..small()
        });
        options.socket.binary = binary;
        let session = client(&server.url).create(options).await.unwrap();
        for begin in (0..12).step_by(3) {
            for ack in session
                .upload_many(pictures(begin..begin + 3))
                .await
                .unwrap()
            {
                ack.unwrap();
            }
            let update = session.generate().await.unwrap();
            assert!(update.is_update() && update.kind == SceneKind::Delta);
            assert_eq!(update.metadata["num_points"], session.cloud().len());
        }
        let whole = session.generate_whole().await.unwrap();
        assert_eq!(whole.kind, SceneKind::Complete);
        assert_eq!(whole.glb, session.result(Format::Glb).await.unwrap());
        let (whole, updated) = (whole.cloud().unwrap(), session.cloud());
        assert_eq!(whole.len(), updated.len());
        assert_eq!(sorted(&whole), sorted(&updated));
        for (one, other) in whole.cameras().zip(updated.cameras()) {
            assert_eq!((one.number, &one.name), (other.number, &other.name));
            for (a, b) in one.center().into_iter().zip(other.center()) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
        assert_eq!(session.map().await.unwrap().frames.len(), 12);
        session.delete().await.unwrap();
    }
}

/// Points in hundredths of the unit, in an order of their own.
fn sorted(cloud: &Cloud) -> Vec<[i64; 6]> {
    let points = cloud.positions().into_iter().zip(cloud.colors());
    let mut points: Vec<_> = points
        .map(|([x, y, z], [r, g, b])| {
            let [x, y, z] = [x, y, z].map(|value| (f64::from(value) * 100.0).round() as i64);
            [x, y, z, i64::from(r), i64::from(g), i64::from(b)]
        })
        .collect();
    points.sort_unstable();
    points
}

#[tokio::test]
async fn a_session_is_reopened_and_run_again() {
    let Some(server) = Server::start("flat", &[]).await else {
        return;
    };
    let client = client(&server.url);
    let session = client.create(small()).await.unwrap();
    let error = session.generate().await.unwrap_err();
    assert!(matches!(error, Error::State(_)) && error.code() == Some("no_images"));
    session.upload_many(pictures(0..2)).await.unwrap();
    session.finalize().await.unwrap();
    let error = session.generate().await.unwrap_err();
    assert!(matches!(error, Error::SessionCompleted(_)) && error.to_string().contains("reopen"));
    session.reopen().await.unwrap();
    let ack = session
        .upload(Image::bytes(photo(5)).name("5.png"))
        .await
        .unwrap();
    assert_eq!(ack.image_count, 3);
    assert!(session.thumbnail(2).await.unwrap().starts_with(b"\xff\xd8"));
    assert_eq!(session.image(2).await.unwrap(), photo(5));
    let token = session.watch_token().await.unwrap();
    assert_eq!(token, None, "this server asks nobody for a token");
    let few = Parameters {
        num_max_points: Some(100),
        ..Parameters::default()
    };
    let again = session.rerun(few).await.unwrap();
    let images = again.images().await.unwrap();
    let names: Vec<&str> = images
        .iter()
        .map(|image| image.image_path.as_str())
        .collect();
    assert_eq!(names, ["0.png", "1.png", "5.png"]);
    assert_eq!(again.finalize().await.unwrap().metadata["num_points"], 100);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scene.colmap.zip");
    again.download(&file, None).await.unwrap();
    assert!(std::fs::read(&file).unwrap().starts_with(b"PK"));
    again.delete().await.unwrap();
    again.delete().await.unwrap();
    let error = client.attach(again.id()).await.unwrap_err();
    assert!(matches!(error, Error::SessionNotFound(_)));
}

#[tokio::test]
async fn errors_say_what_would_work() {
    let Some(server) = Server::start("flat", &[]).await else {
        return;
    };
    let client = client(&server.url);
    let wrong = Parameters {
        process_res: Some(1),
        ..Parameters::default()
    };
    let error = client.create(wrong).await.unwrap_err();
    assert!(matches!(error, Error::InvalidRequest(_)) && error.to_string().contains("process_res"));
    let one = Parameters {
        max_images: Some(1),
        ..small()
    };
    let session = client.create(one).await.unwrap();
    session.upload(photo(0)).await.unwrap();
    assert_eq!(
        session.upload(photo(1)).await.unwrap_err().code(),
        Some("too_many_images")
    );
    let error = session.upload(vec![0; 33 << 20]).await.unwrap_err();
    assert_eq!(error.code(), Some("image_too_large"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scene.glb");
    let error = session.download(&file, None).await.unwrap_err();
    assert!(matches!(error, Error::State(_)) && error.code() == Some("no_result"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    session.close().await;
    assert!(matches!(session.upload(photo(0)).await, Err(Error::Closed)));
    let error = Client::new("http://127.0.0.1:9")
        .unwrap()
        .info()
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("is the server running"),
        "{error}"
    );
}

#[tokio::test]
async fn known_cameras_are_kept() {
    let Some(server) = Server::start("posed", &[]).await else {
        return;
    };
    let session = client(&server.url).create(small()).await.unwrap();
    for level in 0..3 {
        let x = -f64::from(level);
        let camera = KnownCamera::new(
            [[60.0, 0.0, 27.5], [0.0, 60.0, 20.5], [0.0, 0.0, 1.0]],
            [
                [1.0, 0.0, 0.0, x],
                [0.0, 1.0, 0.0, 0.0],
                [0.0, 0.0, 1.0, 0.0],
                [0.0, 0.0, 0.0, 1.0],
            ],
        );
        session
            .upload(Image::bytes(photo(level)).camera(camera))
            .await
            .unwrap();
    }
    let scene = session.finalize().await.unwrap();
    assert_eq!(scene.metadata["known_cameras"], true);
    let cloud = scene.cloud().unwrap();
    let centers: Vec<_> = cloud.cameras().map(|camera| camera.center()).collect();
    for pair in centers.windows(2) {
        assert!((pair[1][0] - pair[0][0] - 1.0).abs() < 1e-4, "{centers:?}");
    }
    session.delete().await.unwrap();
}

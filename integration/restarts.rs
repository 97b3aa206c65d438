//! Sessions go on after the end of the server, however it ended.

use std::fs;

use serde_json::{Value, json};

use crate::support::archives::archive;
use crate::support::client::Client;
use crate::support::pictures::{at, blue, photo};
use crate::support::server::{Server, session_files};
use crate::support::until;

/// A server with a test model that can be started again.
struct Restarts {
    model: &'static str,
    options: Vec<&'static str>,
}

impl Restarts {
    fn of(model: &'static str, options: &[&'static str]) -> Self {
        Self {
            model,
            options: options.to_vec(),
        }
    }

    async fn start(&self, data: tempfile::TempDir) -> Server {
        let path = archive(self.model);
        let model = path.to_str().expect("the folder has a plain name");
        Server::start_in(data, &[&["--model", model], &self.options[..]].concat()).await
    }

    async fn first(&self) -> Server {
        self.start(crate::support::server::new_data_dir()).await
    }

    /// Kills a server, and starts another in its data directory.
    async fn kill(&self, server: Server) -> Server {
        self.start(server.kill()).await
    }

    /// Ends a server with SIGTERM, and starts another in its data directory.
    async fn end(&self, mut server: Server) -> Server {
        server.terminate();
        assert!(server.ended().await.success());
        self.start(server.kill()).await
    }
}

async fn uploaded(client: &mut Client, indices: std::ops::Range<u32>) {
    for index in indices {
        let name = format!("{index}.png");
        let ack = client.upload(&name, &photo(index)).await;
        assert_eq!(ack["image_count"], index + 1, "{ack}");
    }
}

#[tokio::test]
async fn a_killed_server_goes_on_with_its_sessions() {
    let restarts = Restarts::of("flat", &[]);
    let server = restarts.first().await;
    let mut client = server.client("max_images=5&num_max_points=500").await;
    uploaded(&mut client, 0..3).await;
    client.generate(true).await;
    let first = client.result("delta").await;
    client.upload("3.png", &photo(3)).await;
    let session = client.session.clone();
    let before = server.info(&session).await;
    let glb = server.get(&format!("/ws/session/{session}/result")).await;

    let server = restarts.kill(server).await;
    let after = server.info(&session).await;
    for field in [
        "created_at",
        "image_count",
        "max_images",
        "config",
        "status",
    ] {
        assert_eq!(after[field], before[field], "{field}");
    }
    let again = server.get(&format!("/ws/session/{session}/result")).await;
    assert_eq!(again.body, glb.body, "the result is the same");
    for format in ["ply", "npz", "colmap"] {
        let path = format!("/ws/session/{session}/result?format={format}");
        let reply = server.get(&path).await;
        assert_eq!(reply.status, 200, "{format}: {}", reply.text());
    }
    let images = server.get(&format!("/ws/session/{session}/images")).await;
    let images = images.json();
    let names = images["images"].as_array().expect("a list").iter();
    let names: Vec<_> = names.map(|image| image["image_path"].clone()).collect();
    assert_eq!(json!(names), json!(["0.png", "1.png", "2.png", "3.png"]));

    // The client goes on as if only its connection had been lost.
    let mut client = Client::resume(&server, &session).await;
    let ack = client.upload("4.png", &photo(4)).await;
    assert_eq!(ack["image_count"], 5);
    client.generate(true).await;
    let second = client.result("delta").await;
    assert_eq!(second.metadata()["num_frames"], 5);
    assert_eq!(
        second.metadata()["aligned"],
        true,
        "it has the same coordinates"
    );
    assert_ne!(
        first.metadata()["num_frames"],
        second.metadata()["num_frames"]
    );
    client.send_image("5.png", &photo(5)).await;
    client.expect_error(&["maximum image limit"]).await;
}

#[tokio::test]
async fn a_request_that_the_server_could_not_answer_is_answered_by_the_next() {
    for by_signal in [false, true] {
        let restarts = Restarts::of("slow", &["--drain-timeout", "0.1"]);
        let server = restarts.first().await;
        let mut client = server.client("").await;
        uploaded(&mut client, 0..4).await;
        client
            .send(json!({"type": "generate", "incremental": true, "id": "one"}))
            .await;
        let second = if by_signal { "finalize" } else { "generate" };
        client
            .send(json!({"type": second, "incremental": true, "id": "two"}))
            .await;
        client.inference_started().await;
        if by_signal {
            until("the second request", async || {
                let info = server.info(&client.session).await;
                (info["requests"] == 2).then_some(())
            })
            .await;
        } else {
            // What came before an acknowledged image is durable, too.
            client.send_image("4.png", &photo(4)).await;
            while client.next().await["type"] != "ack" {}
        }
        let session = client.session.clone();

        let server = match by_signal {
            true => restarts.end(server).await,
            false => restarts.kill(server).await,
        };
        if by_signal {
            let (said, _) = client.closed().await;
            assert!(
                said.iter().all(|message| message["type"] == "progress"),
                "what runs later is not refused: {said:?}"
            );
        }
        let mut client = Client::resume(&server, &session).await;
        let last = if by_signal { "complete" } else { "delta" };
        for (kind, id) in [("delta", "one"), (last, "two")] {
            let answer = client.result(kind).await;
            assert_eq!(answer.message["id"], id);
            assert_eq!(answer.metadata()["num_frames"], 4);
        }
        // Once and no more.
        client.send(json!({"type": "ping"})).await;
        client.expect("pong").await;
        client.vanish();
        let server = restarts.end(server).await;
        let mut client = Client::resume(&server, &session).await;
        client.expect_quiet().await;
        let status = if by_signal { "completed" } else { "active" };
        assert_eq!(server.info(&session).await["status"], status);
    }
}

#[tokio::test]
async fn a_map_that_began_anew_has_left_no_files() {
    let restarts = Restarts::of("extending", &[]);
    let server = restarts.first().await;
    let mut client = server.client("window=6&finalize_mode=refine").await;
    // Nothing places a blue frame, so the map begins anew with each window, and at last with the others.
    for index in 0..12 {
        let name = format!("blue {index}.png");
        client.upload(&name, &blue(100 + index)).await;
        client.generate(true).await;
        client.result("delta").await;
    }
    for level in 3..12 {
        client.upload(&format!("{level}.png"), &at(level)).await;
    }
    client.generate(true).await;
    client.result("delta").await;
    client.send(json!({"type": "finalize"})).await;
    client.result("complete").await;
    client.expect_quiet().await;
    // A server that starts removes what no record names.
    let files = server.files();
    let server = restarts.kill(server).await;
    let chunks = |files: &[String]| -> Vec<String> {
        let of_chunks = files.iter().filter(|name| name.ends_with(".points"));
        of_chunks.cloned().collect()
    };
    assert!(!chunks(&files).is_empty());
    assert_eq!(chunks(&files), chunks(&server.files()));
}

#[tokio::test]
async fn a_final_result_of_one_run_does_not_need_the_map_before_it() {
    let restarts = Restarts::of("extending", &[]);
    let server = restarts.first().await;
    let mut client = server.client("window=6").await;
    let session = client.session.clone();
    for index in 0..8 {
        let name = format!("blue {index}.png");
        client.upload(&name, &blue(100 + index)).await;
    }
    client.generate(true).await;
    client.result("delta").await;
    client.send(json!({"type": "finalize"})).await;
    client.result("complete").await;
    let reply = server.post(&format!("/ws/session/{session}/reopen")).await;
    assert_eq!(reply.status, 200);
    // Nothing places a blue frame, so these begin another map, ahead of a request.
    let chunks = || -> Vec<String> {
        let files = server.files();
        let chunks = files.into_iter().filter(|name| name.ends_with(".points"));
        chunks.collect()
    };
    let before = chunks();
    for level in 3..12 {
        client.upload(&format!("{level}.png"), &at(level)).await;
    }
    until("another map", async || (chunks() != before).then_some(())).await;
    let server = restarts.kill(server).await;
    let mut client = Client::resume(&server, &session).await;
    client.generate(true).await;
    let answer = client.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], 17);
}

#[tokio::test]
async fn an_answer_that_nobody_has_received_waits_for_the_next_server() {
    let restarts = Restarts::of("flat", &[]);
    let server = restarts.first().await;
    let mut client = server.client("").await;
    uploaded(&mut client, 0..2).await;
    for id in ["one", "two"] {
        client
            .send(json!({"type": "generate", "incremental": true, "id": id}))
            .await;
    }
    let session = client.session.clone();
    client.vanish();
    until("both answers", async || {
        let files = server.files();
        let results = files.iter().filter(|file| file.ends_with(".glb")).count();
        (results == 2 && server.info(&session).await["status"] == "active").then_some(())
    })
    .await;
    let server = restarts.kill(server).await;
    let mut client = Client::resume(&server, &session).await;
    for id in ["one", "two"] {
        let answer = client.result("delta").await;
        assert_eq!(answer.message["id"], id);
        assert!(!answer.glb().is_empty());
    }
    // What is delivered is not kept.
    until("one result", async || {
        let files = server.files();
        let results = files.iter().filter(|file| file.ends_with(".glb")).count();
        (results == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_map_goes_on() {
    let restarts = Restarts::of("extending", &[]);
    let server = restarts.first().await;
    let mut client = server
        .client("window=6&finalize_mode=refine&max_images=30")
        .await;
    uploaded(&mut client, 0..10).await;
    client.generate(true).await;
    let before = client.result("delta").await;
    // The journal keeps the order: that the answer was delivered is known as long as this image is.
    uploaded(&mut client, 10..11).await;
    let session = client.session.clone();
    client.send(json!({"type": "map"})).await;
    let poses = client.expect("poses").await;

    let server = restarts.kill(server).await;
    let mut client = Client::resume(&server, &session).await;
    client.send(json!({"type": "map"})).await;
    assert_eq!(client.expect("poses").await["frames"], poses["frames"]);
    uploaded(&mut client, 11..14).await;
    client.generate(true).await;
    let after = client.result("delta").await;
    assert_eq!(after.metadata()["num_frames"], 14);
    let known = before.metadata()["extrinsics"].as_array().expect("a list");
    let all = after.metadata()["extrinsics"].as_array().expect("a list");
    assert_eq!(
        known[..],
        all[..known.len()],
        "the old frames stay where they were"
    );
}

#[tokio::test]
async fn an_update_of_an_earlier_process_is_not_mistaken_for_one_of_this() {
    let restarts = Restarts::of("extending", &[]);
    let server = restarts.first().await;
    let session = server.session("window=6&finalize_mode=refine").await;
    let mut client = Client::connect_with(&server, &session, "deltas=append").await;
    uploaded(&mut client, 0..8).await;
    client.generate(true).await;
    let update = client.result("delta").await;
    let before = update.metadata().clone();
    let number = before["append"]["number"].as_u64().expect("a number");
    client
        .send(json!({"type": "received", "number": number}))
        .await;
    client.send(json!({"type": "ping"})).await;
    client.expect("pong").await;

    let server = restarts.kill(server).await;
    let since = format!("resume=true&deltas=append&since={number}");
    let mut client = Client::connect_with(&server, &session, &since).await;
    client.generate(true).await;
    let update = client.result("delta").await;
    let append = &update.metadata()["append"];
    assert_eq!(
        append["reset"], true,
        "nothing is remembered of what the client has"
    );
    assert!(append["number"].as_u64().expect("a number") > number);
    assert_eq!(append["frames"], before["append"]["frames"]);
}

#[tokio::test]
async fn deleted_and_expired_sessions_do_not_come_back() {
    let restarts = Restarts::of(
        "flat",
        &["--session-timeout", "2", "--unused-session-timeout", "2"],
    );
    let server = restarts.first().await;
    let deleted = server.session("").await;
    let expired = server.session("").await;
    assert_eq!(
        server
            .delete(&format!("/ws/session/{deleted}"))
            .await
            .status,
        200
    );
    let data = server.kill();
    assert!(!session_files(data.path()).is_empty());
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let server = restarts.start(data).await;
    until("the end of the expired session", async || {
        let sessions = server.get("/ws/sessions").await.json();
        (sessions["sessions"] == json!([])).then_some(())
    })
    .await;
    assert_eq!(
        server.get(&format!("/ws/session/{deleted}")).await.status,
        404
    );
    assert_eq!(
        server.get(&format!("/ws/session/{expired}")).await.status,
        404
    );
    until("their files are gone", async || {
        server.files().is_empty().then_some(())
    })
    .await;
}

/// Changes a session while no server runs; tells whether it and its neighbour are served afterwards.
async fn after(change: impl FnOnce(&std::path::Path)) -> (Server, bool, Value) {
    let restarts = Restarts::of("flat", &[]);
    let server = restarts.first().await;
    let mut client = server.client("").await;
    uploaded(&mut client, 0..3).await;
    let mut neighbour = server.client("").await;
    uploaded(&mut neighbour, 0..1).await;
    let (session, neighbour) = (client.session.clone(), neighbour.session.clone());
    let data = server.kill();
    change(&data.path().join("sessions").join(&session));
    let server = restarts.start(data).await;
    assert_eq!(server.info(&neighbour).await["image_count"], 1);
    let reply = server.get(&format!("/ws/session/{session}")).await;
    let found = reply.status == 200;
    let info = if found { reply.json() } else { Value::Null };
    (server, found, info)
}

#[tokio::test]
async fn a_torn_last_record_costs_no_other() {
    let (_server, found, info) = after(|folder| {
        let wal = folder.join("journal.sqlite-wal");
        let file = fs::OpenOptions::new().write(true).open(wal).expect("there");
        let length = file.metadata().expect("there").len();
        file.set_len(length - 100).expect("cut");
    })
    .await;
    assert!(found);
    assert_eq!(info["image_count"], 2, "the last of three is lost");
}

#[tokio::test]
async fn a_damaged_session_is_set_aside_and_the_others_go_on() {
    type Damage = fn(&std::path::Path);
    let damages: [(Damage, &str); 3] = [
        (
            |folder| {
                fs::remove_file(folder.join("journal.sqlite-wal")).expect("there");
                fs::write(folder.join("journal.sqlite"), "no").expect("written");
            },
            "journal",
        ),
        (
            |folder| fs::remove_file(folder.join("2.image")).expect("there"),
            "2.image is missing",
        ),
        (
            |folder| fs::write(folder.join("1.rgb"), "short").expect("written"),
            "1.rgb has 5 bytes",
        ),
    ];
    for (damage, words) in damages {
        let (server, found, _) = after(damage).await;
        assert!(!found);
        server.logged(words).await;
        let aside = fs::read_dir(server.data_dir().join("sessions")).expect("there");
        let mut names = aside.map(|entry| entry.expect("there").file_name());
        assert!(names.any(|name| name.to_string_lossy().ends_with(".damaged")));
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_leaves_nothing() {
    let (server, found, info) = after(|folder| {
        fs::write(folder.join("7.image"), "half").expect("written");
        fs::write(folder.join("8.image.part"), "half").expect("written");
    })
    .await;
    assert!(found);
    assert_eq!(info["image_count"], 3);
    let files = server.files();
    let left = files
        .iter()
        .filter(|file| file.contains("/7.") || file.contains("/8."));
    assert_eq!(left.count(), 0, "{files:?}");
}

#[tokio::test]
async fn a_session_that_waits_for_a_rest_caller_ends_with_the_server() {
    let restarts = Restarts::of("slow", &[]);
    let server = restarts.first().await;
    let picture = photo(0);
    let parts = vec![("images", None, &picture[..]); 20];
    let url = format!("{}/reconstruct?process_res=56", server.base());
    let headers = [("content-type", crate::support::rest::FORM)];
    let body = crate::support::rest::form(&parts);
    let request = tokio::spawn(async move {
        crate::support::rest::try_request("POST", &url, &headers, body).await
    });
    server.at_work().await;
    let server = restarts.kill(server).await;
    assert!(request.await.expect("no panic").is_err());
    assert_eq!(
        server.get("/ws/sessions").await.json()["sessions"],
        json!([])
    );
    assert!(server.files().is_empty());
}

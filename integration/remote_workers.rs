//! Workers on other machines: real workers, and a real NATS server.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::archives::{archive, repository};
use crate::support::client::Client;
use crate::support::nats::{NatsServer, SERVER_PASSWORD, WORKER_PASSWORD};
use crate::support::pictures::{photo, sized};
use crate::support::s3::Store;
use crate::support::server::Server;
use crate::support::tls::Certificate;
use crate::support::until;
use crate::support::worker::Worker;

/// A server without workers of its own.
async fn server(nats: &NatsServer, model: &str, options: &[&str]) -> Server {
    let url = nats.url();
    let remote = ["--nats", url.as_str(), "--workers-local", "0"];
    Server::with_model(model, &[&remote, options].concat()).await
}

fn worker(nats: &NatsServer, model: &str, options: &[&str]) -> Worker {
    let archive = archive(model);
    let model = archive.to_str().expect("the folder has a plain name");
    let own = ["--model", model, "--device", "cpu"];
    Worker::start(&nats.url(), &[&own, options].concat())
}

/// The reports of the workers.
async fn workers(server: &Server) -> Vec<Value> {
    let tree = server.get("/actors").await.json();
    let children = tree["children"].as_array().expect("a list");
    let pool = children.iter().find(|child| child["kind"] == "pool");
    let workers = pool.expect("a pool")["children"].as_array();
    workers.expect("a list").clone()
}

/// Waits until a worker process has a job of the server. Returns its identifier.
async fn at_work(server: &Server) -> String {
    until("a worker at work", async || {
        let workers = workers(server).await;
        let busy = workers
            .iter()
            .find(|worker| worker["node"]["jobs"].as_u64() > Some(0))?;
        Some(busy["node"]["id"].as_str().expect("a text").to_owned())
    })
    .await
}

#[tokio::test]
async fn images_longer_than_the_resolution_are_reconstructed() {
    let nats = NatsServer::start();
    let server = server(&nats, "flat", &[]).await;
    let _worker = worker(&nats, "flat", &[]);
    let query = "process_res=504&process_res_method=lower_bound_resize";
    let reply = server.post(&format!("/ws/session/create?{query}")).await;
    let session = reply.json()["session_id"].as_str().map(str::to_owned);
    let mut client = Client::connect(&server, &session.expect("an identifier")).await;
    for index in 0..2 {
        // 2520x504 when it is prepared; the model's largest resolution is 1008.
        client
            .upload(&format!("{index}.png"), &sized(1260, 252))
            .await;
    }
    client.send(json!({"type": "finalize"})).await;
    client.result("complete").await;
}

#[tokio::test]
async fn results_are_those_of_a_local_worker() {
    let nats = NatsServer::start();
    let remote = server(&nats, "flat", &[]).await;
    let _worker = worker(&nats, "flat", &[]);
    let local = Server::start(&[]).await;
    let mut clouds = Vec::new();
    for server in [&remote, &local] {
        let mut client = server.client("").await;
        for index in 0..4 {
            client.upload("x.png", &photo(index)).await;
        }
        client.send(serde_json::json!({"type": "finalize"})).await;
        clouds.push(client.result("complete").await.glb());
    }
    assert!(clouds[0] == clouds[1], "the clouds differ");
}

#[tokio::test]
async fn files_may_travel_through_s3() {
    let nats = NatsServer::start();
    let store = Store::start().await;
    let blobs = ["--blobs", "s3://scans/some/folder"];
    let url = nats.url();
    let options = [&["--nats", &url, "--workers-local", "0"], &blobs[..]].concat();
    let server = Server::with_environment("flat", &options, &store.environment()).await;
    let archive = archive("flat");
    let model = archive.to_str().expect("the folder has a plain name");
    let own = [&["--model", model, "--device", "cpu"], &blobs[..]].concat();
    let _worker = Worker::with_environment(&url, &own, &store.environment());
    let mut client = server.client("").await;
    client.upload("x.png", &photo(1)).await;
    client.upload("y.png", &photo(2)).await;
    client.generate(true).await;
    client.result("delta").await;
    let stored = store.objects();
    assert!(
        stored
            .iter()
            .all(|path| path.starts_with("/scans/some/folder/pointstream/")),
        "{stored:?}"
    );
    // The two images; the prediction was fetched.
    assert_eq!(stored.len(), 2, "{stored:?}");
    let session = client.session.clone();
    client.vanish();
    server.delete(&format!("/ws/session/{session}")).await;
    until("the files to be removed", async || {
        store.objects().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn operators_see_the_workers_of_other_machines() {
    let nats = NatsServer::start();
    let server = server(&nats, "flat", &[]).await;
    assert_eq!(server.get("/readyz").await.status, 503);
    let worker = worker(&nats, "flat", &["--name", "machine-7"]);
    let id = worker.joined().await;
    until("the server to be ready", async || {
        (server.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    let workers = workers(&server).await;
    assert_eq!(workers.len(), 1);
    assert_eq!(workers[0]["device"], "cpu on machine-7");
    let node = &workers[0]["node"];
    assert_eq!(node["id"], id);
    assert_eq!(node["host"], "machine-7");
    assert!(node["version"].is_string() && node["model"].is_string());
    let metrics = server.get("/metrics").await.text();
    assert!(
        metrics.contains("pointstream_workers{state=\"idle\"} 1"),
        "{metrics}"
    );
    // It is restarted there, once a minute.
    let restart = async || server.post("/actors/workers/0/restart").await.status;
    assert_eq!(restart().await, 200);
    assert!(worker.log().contains("an operator restarts this worker"));
    let again = restart().await;
    assert!([409, 429].contains(&again), "{again}");
    // A worker that ends leaves at once.
    worker.signal(libc::SIGTERM);
    until("the worker to leave", async || {
        (server.get("/readyz").await.status == 503).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_job_of_a_killed_worker_is_done_by_another_one() {
    job_of_a_lost_worker(|worker| {
        worker.kill();
        None
    })
    .await;
}

#[tokio::test]
async fn the_job_of_a_stopped_worker_is_done_by_another_one() {
    let stopped = job_of_a_lost_worker(|worker| {
        worker.signal(libc::SIGSTOP);
        Some(worker)
    });
    // It goes on, and what it still says is not heard.
    let (worker, server, mut client) = stopped.await;
    worker.expect("it was stopped").signal(libc::SIGCONT);
    client.upload("y.png", &photo(9)).await;
    client.generate(true).await;
    client.result("delta").await;
    client.expect_quiet().await;
    drop(server);
}

/// A worker is lost while it computes; the client gets one result.
async fn job_of_a_lost_worker(
    lose: impl FnOnce(Worker) -> Option<Worker>,
) -> (
    Option<Worker>,
    (Server, NatsServer, Worker),
    crate::support::client::Client,
) {
    let nats = NatsServer::start();
    let server = server(&nats, "slow", &[]).await;
    let first = worker(&nats, "slow", &[]);
    first.joined().await;
    let mut client = server.client("").await;
    for index in 0..4 {
        client.upload("x.png", &photo(index)).await;
    }
    client.generate(true).await;
    client.inference_started().await;
    let lost = lose(first);
    let second = worker(&nats, "slow", &[]);
    let answer = client.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], 4);
    client.expect_quiet().await;
    (lost, (server, nats, second), client)
}

#[tokio::test]
async fn a_job_that_ends_two_workers_is_answered_and_set_aside() {
    let nats = NatsServer::start();
    let server = server(&nats, "slow", &[]).await;
    let mut client = server.client("").await;
    for index in 0..8 {
        client.upload("x.png", &photo(index)).await;
    }
    client.generate(true).await;
    for _ in 0..2 {
        let worker = worker(&nats, "slow", &[]);
        worker.joined().await;
        until("the worker to begin", async || {
            worker.log().contains("an assignment begins").then_some(())
        })
        .await;
        worker.kill();
    }
    let last = worker(&nats, "slow", &[]);
    let (_, error) = client.up_to(&["error", "delta"]).await;
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("2 workers began with it and did not report"),
        "{error}"
    );
    assert!(last.log().contains("set aside"), "{}", last.log());
    // The next one is done as always.
    client.generate(true).await;
    client.result("delta").await;
}

#[tokio::test]
async fn a_worker_with_another_model_is_told_so() {
    let nats = NatsServer::start();
    let _server = server(&nats, "flat", &[]).await;
    let mut worker = worker(&nats, "slow", &[]);
    assert_eq!(worker.ended().await.code(), Some(1));
    let log = worker.log();
    assert!(log.contains("start both with the same --model"), "{log}");
}

#[tokio::test]
async fn servers_share_workers() {
    let nats = NatsServer::start();
    let (one, two) = (
        server(&nats, "flat", &[]).await,
        server(&nats, "flat", &[]).await,
    );
    let _worker = worker(&nats, "flat", &[]);
    let mut clients = Vec::new();
    for server in [&one, &two, &one, &two] {
        let mut client = server.client("").await;
        client.upload("x.png", &photo(1)).await;
        client.upload("y.png", &photo(2)).await;
        client.generate(true).await;
        clients.push(client);
    }
    for client in &mut clients {
        client.result("delta").await;
    }
}

#[tokio::test]
async fn local_workers_and_others_work_together() {
    let nats = NatsServer::start();
    let url = nats.url();
    let server = Server::with_model("slow", &["--nats", &url]).await;
    let worker = worker(&nats, "slow", &[]);
    worker.joined().await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = server.client("").await;
        for index in 0..4 {
            client.upload("x.png", &photo(index)).await;
        }
        client.generate(true).await;
        clients.push(client);
    }
    // Both are at work at the same time.
    until("two busy workers", async || {
        let workers = workers(&server).await;
        let busy = workers.iter().filter(|worker| worker["state"] == "busy");
        (busy.count() == 2).then_some(())
    })
    .await;
    for client in &mut clients {
        client.result("delta").await;
    }
}

#[tokio::test]
async fn nats_is_killed_and_comes_back() {
    let mut nats = NatsServer::start();
    let server = server(&nats, "slow", &[]).await;
    let worker = worker(&nats, "slow", &[]);
    worker.joined().await;
    let mut client = server.client("").await;
    for index in 0..4 {
        client.upload("x.png", &photo(index)).await;
    }
    client.generate(true).await;
    at_work(&server).await;
    nats.kill();
    client.send_image("y.png", &photo(5)).await;
    client.up_to(&["ack"]).await;
    nats.restart();
    client.result("delta").await;
    client.generate(true).await;
    let answer = client.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], 5);
    client.expect_quiet().await;
}

#[tokio::test]
async fn nats_asks_who_it_is_and_encrypts() {
    let certificate = Certificate::new();
    let (cert, key) = (certificate.cert(), certificate.key());
    let text = |path: &std::path::Path| path.to_str().expect("a plain name").to_owned();
    let (cert, key) = (text(&cert), text(&key));
    let options = [
        "--tls",
        "--tlscert",
        &cert,
        "--tlskey",
        &key,
        "--user",
        "me",
        "--pass",
        "secret",
    ];
    let nats = NatsServer::with(&options);
    let url = format!("tls://me:secret@localhost:{}", nats.port());
    let remote = [
        "--nats",
        url.as_str(),
        "--nats-ca",
        &cert,
        "--workers-local",
        "0",
    ];
    let server = Server::with_model("flat", &remote).await;
    let archive = archive("flat");
    let model = archive.to_str().expect("a plain name");
    let _worker = Worker::start(
        &url,
        &["--nats-ca", &cert, "--model", model, "--device", "cpu"],
    );
    let mut client = server.client("").await;
    client.upload("x.png", &photo(1)).await;
    client.generate(true).await;
    client.result("delta").await;
    assert!(!server.log().contains("secret"));
    // Without the certificate it is not trusted, and without the password not let in.
    for (url, options, words) in [
        (url.clone(), vec![], "cannot reach NATS"),
        (
            format!("tls://localhost:{}", nats.port()),
            vec!["--nats-ca", &cert],
            "cannot reach NATS",
        ),
    ] {
        let own = ["--model", model, "--device", "cpu"];
        let mut worker = Worker::start(&url, &[&own[..], &options].concat());
        assert_eq!(worker.ended().await.code(), Some(1));
        assert!(worker.log().contains(words), "{}", worker.log());
    }
}

#[tokio::test]
async fn workers_may_only_take_jobs_and_report() {
    let config = std::fs::read_to_string(repository().join("deploy/nats.conf"));
    let config = config.expect("a configuration");
    // The test says where NATS stores.
    let folder = "store_dir: \"/var/lib/nats\"";
    assert!(config.contains(folder));
    let changed = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(changed.path(), config.replace(folder, "")).expect("written");
    let path = changed.path().to_str().expect("a plain name");
    let nats = NatsServer::with(&["--config", path]);
    let url =
        |user: &str, password: &str| format!("nats://{user}:{password}@127.0.0.1:{}", nats.port());
    let servers_url = url("server", SERVER_PASSWORD);
    let options = ["--nats", servers_url.as_str(), "--workers-local", "0"];
    let server = Server::with_model("slow", &options).await;
    // The server makes the streams.
    server.logged("connected to NATS").await;
    let archive = archive("slow");
    let model = archive.to_str().expect("a plain name");
    let own = ["--model", model, "--device", "cpu"];
    let workers_url = url("worker", WORKER_PASSWORD);
    let start = || Worker::start(&workers_url, &own);
    let first = start();
    first.joined().await;
    let mut client = server.client("").await;
    for index in 0..4 {
        client.upload("x.png", &photo(index)).await;
    }
    client.generate(true).await;
    client.inference_started().await;
    // It may also take over jobs.
    let second = start();
    second.joined().await;
    first.kill();
    client.result("delta").await;
    client.send(serde_json::json!({"type": "finalize"})).await;
    client.result("complete").await;
    assert!(!second.log().contains("Permissions"), "{}", second.log());

    let mut stream = TcpStream::connect(("127.0.0.1", nats.port()))
        .await
        .expect("it listens");
    let connect = format!(
        "CONNECT {{\"verbose\":false,\"user\":\"worker\",\"pass\":\"{WORKER_PASSWORD}\"}}\r\n"
    );
    let forbidden = [
        // What others are told.
        "SUB _INBOX_pointstream_server.> 1\r\n",
        "SUB pointstream.progress.* 2\r\n",
        "SUB pointstream.reports.* 3\r\n",
        "SUB $O.pointstream_blobs.> 4\r\n",
        // Jobs for others, and what others have reported.
        "PUB pointstream.jobs.v1-0.x 2\r\n{}\r\n",
        "PUB pointstream.control 2\r\n{}\r\n",
        "PUB $JS.API.CONSUMER.CREATE.pointstream_reports.x 2\r\n{}\r\n",
        "PUB $JS.API.STREAM.DELETE.pointstream_jobs 0\r\n\r\n",
        "PUB $JS.API.STREAM.MSG.GET.pointstream_jobs 0\r\n\r\n",
    ];
    let text = format!("{connect}{}PING\r\n", forbidden.concat());
    stream.write_all(text.as_bytes()).await.expect("sent");
    let mut said = String::new();
    while !said.contains("PONG") {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.expect("an answer");
        assert_ne!(read, 0, "{said}");
        said += &String::from_utf8_lossy(&part[..read]);
    }
    let refused = said.matches("Permissions Violation").count();
    assert_eq!(refused, forbidden.len(), "{said}");
}

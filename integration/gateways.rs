//! Several servers that share their sessions over a real NATS server.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::support::client::{Client, Closed};
use crate::support::nats::NatsServer;
use crate::support::pictures::photo;
use crate::support::receiver::Receiver;
use crate::support::rest::{request, request_with};
use crate::support::server::{Server, refused_start};
use crate::support::tokens::{Tokens, create, with_token};
use crate::support::until;

/// A server that shares its sessions.
async fn gateway(nats: &NatsServer, model: &str, options: &[&str]) -> Server {
    let url = nats.url();
    let shared = ["--nats", &url, "--gateway-url", "http://127.0.0.1:0"];
    Server::with_model(model, &[&shared, options].concat()).await
}

/// Two servers that share their sessions.
async fn two(nats: &NatsServer, model: &str, options: &[&str]) -> (Server, Server) {
    let pair = tokio::join!(gateway(nats, model, options), gateway(nats, model, options));
    until("the servers to know each other", async || {
        (there(&pair.0).await == 2 && there(&pair.1).await == 2).then_some(())
    })
    .await;
    pair
}

/// How many servers one knows.
async fn there(server: &Server) -> u64 {
    let metrics = server.get("/metrics").await.text();
    let mut lines = metrics.lines();
    let count = lines.find_map(|line| line.strip_prefix("pointstream_gateways "));
    count.expect("a metric").parse().expect("a count")
}

/// Connects to a session again, as clients do: until a server takes them.
async fn again(server: &Server, session: &str, query: &str) -> Client {
    Client::again(&format!("{}?{query}", server.socket(session)), session).await
}

#[tokio::test]
async fn any_server_answers_for_any_session() {
    let nats = NatsServer::start();
    let (one, other) = two(&nats, "flat", &[]).await;
    let session = one.session("").await;
    // The socket is at the other one.
    let mut client = Client::connect(&other, &session).await;
    for index in 0..3 {
        let ack = client.upload(&format!("{index}.png"), &photo(index)).await;
        assert_eq!(ack["image_count"], index + 1);
    }
    client.generate(true).await;
    let answer = client.result("delta").await;
    let shown = other.get(&format!("/ws/session/{session}")).await.json();
    assert_eq!(shown, one.info(&session).await);
    assert_eq!(shown["image_count"], 3);
    let result = format!("/ws/session/{session}/result?format=glb");
    assert_eq!(other.get(&result).await.body, answer.glb());
    let image = other.get(&format!("/ws/session/{session}/images/0")).await;
    assert_eq!(image.body, photo(0));

    let page = [("origin", "http://localhost:8080")];
    let list = request("GET", &format!("{}/ws/sessions", other.base()), &page).await;
    assert_eq!(
        list.header("access-control-allow-origin"),
        Some("http://localhost:8080")
    );
    let path = format!("{}/ws/session/{session}", other.base());
    let passed = request("GET", &path, &page).await;
    assert_eq!(
        passed.header("access-control-allow-origin"),
        Some("http://localhost:8080")
    );

    let second = other.session("").await;
    for server in [&one, &other] {
        let list = server.get("/ws/sessions").await.json();
        let ids: Vec<_> = list["sessions"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|session| session["session_id"].as_str().expect("text").to_owned())
            .collect();
        assert_eq!(ids, [session.clone(), second.clone()]);
        assert_eq!(list["stats"]["total_sessions"], 2);
        assert_eq!(list["stats"]["total_images"], 3);
    }

    let missing = "00000000-0000-4000-8000-000000000000";
    assert_eq!(
        other.get(&format!("/ws/session/{missing}")).await.status,
        404
    );
    assert_eq!(
        other.delete(&format!("/ws/session/{session}")).await.status,
        200
    );
    let (_, Closed { code, .. }) = client.closed().await;
    assert_eq!(code, Some(4410), "as the server that has it would close it");
    assert_eq!(one.get(&format!("/ws/session/{session}")).await.status, 404);
    let metrics = other.get("/metrics").await.text();
    assert!(metrics.contains(r#"pointstream_gateway_requests_total{outcome="failed"} 0"#));
}

#[tokio::test]
async fn what_a_killed_server_had_goes_on_at_another() {
    let nats = NatsServer::start();
    let (one, other) = two(&nats, "slow", &[]).await;
    let mut client = one.client("").await;
    let session = client.session.clone();
    for index in 0..4 {
        client.upload(&format!("{index}.png"), &photo(index)).await;
    }
    client.generate(true).await;
    client.inference_started().await;
    let _data = one.kill();
    let mut client = again(&other, &session, "resume=true").await;
    assert_eq!(client.greeting["image_count"], 4);
    other.logged("another server is gone").await;
    // The request that ran runs again.
    let answer = client.result("delta").await;
    assert_eq!(answer.metadata()["num_frames"], 4);
    client.upload("4.png", &photo(4)).await;
    client.send(json!({"type": "finalize"})).await;
    let answer = client.result("complete").await;
    assert_eq!(answer.metadata()["num_frames"], 5);
}

#[tokio::test]
async fn a_server_that_ends_hands_its_sessions_over() {
    let nats = NatsServer::start();
    let (mut one, other) = two(&nats, "flat", &[]).await;
    let mut client = one.client("").await;
    let mut elsewhere = Client::connect(&other, &client.session).await;
    client.upload("0.png", &photo(0)).await;
    client.generate(true).await;
    let before = client.result("delta").await.glb();
    let session = client.session.clone();
    one.terminate();
    for client in [&mut client, &mut elsewhere] {
        let (_, Closed { code, .. }) = client.closed().await;
        assert_eq!(code, Some(1001));
    }
    // Even before the old one has ended.
    let shown = other.info(&session).await;
    assert_eq!(shown["image_count"], 1);
    assert!(one.ended().await.success());
    let result = format!("/ws/session/{session}/result?format=glb");
    assert_eq!(other.get(&result).await.body, before);
    // Without resuming: the delivery of the answer may not have been recorded.
    let mut client = again(&other, &session, "").await;
    client.upload("1.png", &photo(1)).await;
}

#[tokio::test]
async fn a_stopped_server_lets_go_of_what_another_took_over() {
    let nats = NatsServer::start();
    let (one, other) = two(&nats, "flat", &[]).await;
    let mut old = one.client("").await;
    old.upload("0.png", &photo(0)).await;
    let session = old.session.clone();
    one.signal(libc::SIGSTOP);
    // Nobody asks: its lease ends.
    other.logged("a session is restored and goes on").await;
    let mut new = Client::resume(&other, &session).await;
    assert_eq!(new.greeting["image_count"], 1);
    new.upload("1.png", &photo(1)).await;
    other.logged("another server was not heard for long").await;
    one.signal(libc::SIGCONT);
    old.send_image("2.png", &photo(2)).await;
    let (before, Closed { code, reason }) = old.closed().await;
    assert!(before.is_empty(), "nothing is acknowledged: {before:?}");
    assert_eq!(code, Some(1001));
    assert!(reason.contains("another server"), "{reason}");
    let shown = one.info(&session).await;
    assert_eq!(shown["image_count"], 2);
}

#[tokio::test]
async fn nats_may_be_away_for_a_while() {
    let mut nats = NatsServer::start();
    let (one, other) = two(&nats, "flat", &[]).await;
    let mut client = one.client("").await;
    client.upload("0.png", &photo(0)).await;
    nats.kill();
    client.send_image("1.png", &photo(1)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Nobody can promise now that the image is kept.
    client.expect_quiet().await;
    nats.restart();
    assert_eq!(client.expect("ack").await["image_count"], 2);
    let shown = until("the other server", async || {
        let path = format!("/ws/session/{}", client.session);
        let reply = other.get(&path).await;
        (reply.status == 200).then(|| reply.json())
    })
    .await;
    assert_eq!(shown["image_count"], 2);
}

#[tokio::test]
async fn tokens_are_valid_at_all_servers() {
    let nats = NatsServer::start();
    let url = nats.url();
    let shared = ["--nats", &*url, "--gateway-url", "http://127.0.0.1:0"];
    let tokens = Tokens::new();
    let token = tokens.add("user", "create,use").await;
    let stranger = tokens.add("stranger", "create,use").await;
    let one = tokens.server(&shared).await;
    let other = tokens.server(&shared).await;
    let (session, own) = create(&one, &token).await;
    let path = format!("/ws/session/{session}");
    until("the servers to know each other", async || {
        let reply = with_token(&other, &token, "GET", "/ws/sessions")
            .await
            .json();
        (reply["stats"]["total_sessions"] == 1).then_some(())
    })
    .await;
    for token in [&token, &own] {
        assert_eq!(with_token(&other, token, "GET", &path).await.status, 200);
    }
    assert_eq!(
        with_token(&other, &stranger, "GET", &path).await.status,
        404
    );
    assert_eq!(other.get(&path).await.status, 401);
    let list = with_token(&other, &stranger, "GET", "/ws/sessions").await;
    assert_eq!(list.json()["stats"]["total_sessions"], 0);
    let mut client = Client::with_token(&other, &session, &own).await;
    client.upload("0.png", &photo(0)).await;
}

#[tokio::test]
async fn nobody_can_pretend_to_be_a_gateway() {
    let nats = NatsServer::start();
    let rates = ["--max-requests-per-second", "1"];
    let server = gateway(&nats, "flat", &rates).await;
    let address = format!("{}/status", server.base());
    let headers = [
        ("pointstream-gateway-proof", "00"),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    let mut refused = 0;
    for _ in 0..40 {
        let reply = request("GET", &address, &headers).await;
        refused += u32::from(reply.status == 429);
    }
    assert!(refused > 0, "they count as this client's requests");
}

#[tokio::test]
async fn webhooks_tell_of_a_session_wherever_it_goes_on() {
    let nats = NatsServer::start();
    let options = [
        "--webhook-allow-http",
        "--webhook-allow-private",
        "127.0.0.0/8",
    ];
    let (one, other) = two(&nats, "flat", &options).await;
    let receiver = Receiver::start().await;
    let body = json!({"webhook": {"url": receiver.url()}});
    let url = format!("{}/ws/session/create?process_res=56", one.base());
    let headers = [("content-type", "application/json")];
    let reply = request_with("POST", &url, &headers, body.to_string().into_bytes()).await;
    let created = reply.json();
    let session = created["session_id"].as_str().expect("text").to_owned();
    let secret = created["webhook"]["secret"].as_str().expect("text");
    receiver.answer("503 Service Unavailable");
    let mut client = Client::connect(&one, &session).await;
    client.upload("0.png", &photo(0)).await;
    client.generate(true).await;
    client.result("delta").await;
    let refused = receiver.received(1).await;
    let _data = one.kill();
    // It was not delivered, so the other one does it.
    let mut client = again(&other, &session, "").await;
    let messages = receiver.received(2).await;
    assert_eq!(messages[1].id(), refused[0].id());
    client.upload("1.png", &photo(1)).await;
    client.generate(true).await;
    client.result("delta").await;
    let messages = receiver.received(3).await;
    assert_eq!(messages[2].kind(), "result.made");
    for message in &messages {
        assert!(message.is_signed_with(secret));
    }
}

#[tokio::test]
async fn sessions_that_were_not_shared_are_not_forgotten() {
    let data = {
        let server = Server::start(&[]).await;
        let mut client = server.client("").await;
        client.upload("0.png", &photo(0)).await;
        server.kill()
    };
    let nats = NatsServer::start();
    let url = nats.url();
    let folder = data.path().to_str().expect("a plain name").to_owned();
    let options = [
        "--nats",
        &*url,
        "--gateway-url",
        "http://127.0.0.1:0",
        "--data-dir",
        &*folder,
    ];
    let (status, said) = refused_start(&options).await;
    assert_eq!(status, 1);
    assert!(said.contains("--gateway-url"), "{said}");
    let (status, said) = refused_start(&["--gateway-url", "http://127.0.0.1:0"]).await;
    assert_eq!((status, said.contains("--nats")), (2, true), "{said}");
    let server = Server::start_in(data, &[]).await;
    let list: Value = server.get("/ws/sessions").await.json();
    assert_eq!(list["stats"]["total_images"], 1);
}

#[tokio::test]
async fn an_old_nats_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("nats://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (reading, mut writing) = stream.split();
            let info = json!({
                "server_id": "old", "server_name": "old", "version": "2.9.10", "go": "go1.19",
                "host": "127.0.0.1", "port": 4222, "proto": 1, "headers": true,
                "max_payload": 1 << 20, "jetstream": true, "client_id": 1, "client_ip": "127.0.0.1",
            });
            let info = format!("INFO {info}\r\n");
            writing.write_all(info.as_bytes()).await.expect("connected");
            let mut lines = BufReader::new(reading).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line == "PING" {
                    writing.write_all(b"PONG\r\n").await.expect("connected");
                }
            }
        }
    });
    let options = ["--nats", &*url, "--gateway-url", "http://127.0.0.1:0"];
    let (status, said) = refused_start(&options).await;
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("NATS 2.9.10 is too old"), "{said}");
    assert!(said.contains("2.10 or a newer one"), "{said}");
}

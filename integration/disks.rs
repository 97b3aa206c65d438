//! Disks that are full or read-only: what was acknowledged stays, nothing else is acknowledged, and the
//! service goes on when there is space again.

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::support::archives::archive;
use crate::support::client::Client;
use crate::support::disk::Disk;
use crate::support::pictures::{noise, photo};
use crate::support::server::{Server, new_data_dir, refused_on};

/// A server on a disk of 16 MiB that may be filled to its last byte.
struct Small {
    disk: Disk,
    model: String,
}

impl Small {
    async fn start() -> Option<(Self, Server)> {
        let data = new_data_dir();
        let disk = Disk::at(data.path(), 16)?;
        let model = archive("flat").to_str().expect("a plain name").to_owned();
        let small = Self { disk, model };
        let server = small.start_in(data).await;
        Some((small, server))
    }

    fn options(&self) -> [&str; 4] {
        ["--model", &self.model, "--min-free-disk-mb", "0"]
    }

    async fn start_in(&self, data: tempfile::TempDir) -> Server {
        Server::start_on(&self.disk, data, &self.options()).await
    }

    async fn kill(&self, server: Server) -> Server {
        self.start_in(server.kill()).await
    }
}

/// The names of the images of a session.
async fn images(server: &Server, session: &str) -> Vec<Value> {
    let reply = server.get(&format!("/ws/session/{session}/images")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let list = reply.json();
    let list = list["images"].as_array().expect("a list").iter();
    list.map(|image| image["image_path"].clone()).collect()
}

async fn expect_disk_full(client: &mut Client) {
    let error = client.expect("error").await;
    assert_eq!(error["code"], "disk_full", "{error}");
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_loses_nothing() {
    let Some((small, server)) = Small::start().await else {
        return;
    };
    let mut client = server.client("").await;
    for index in 0..3 {
        client.upload(&format!("{index}.png"), &photo(index)).await;
    }
    client.generate(true).await;
    let first = client.result("delta").await.glb();
    let session = client.session.clone();
    small.disk.fill();

    client.send_image("3.png", &photo(3)).await;
    expect_disk_full(&mut client).await;
    let reply = server.post("/ws/session/create").await;
    assert_eq!(reply.status, 507, "{}", reply.text());
    assert_eq!(reply.json()["code"], "disk_full");
    // What needs no space is answered.
    client.expect_quiet().await;
    let result = format!("/ws/session/{session}/result");
    assert_eq!(server.get(&result).await.body, first);
    let kept = ["0.png", "1.png", "2.png"].map(Value::from);
    assert_eq!(images(&server, &session).await, kept);

    // The session goes on as soon as there is space.
    client
        .send(json!({"type": "generate", "incremental": true}))
        .await;
    small.disk.free();
    let answer = client.answer().await.message;
    if answer["type"] == "error" {
        assert_eq!(answer["code"], "disk_full", "{answer}");
    }
    client.upload("3.png", &photo(3)).await;
    client.generate(true).await;
    assert_eq!(client.result("delta").await.metadata()["num_frames"], 4);
    let server = small.kill(server).await;
    let all = ["0.png", "1.png", "2.png", "3.png"].map(Value::from);
    assert_eq!(images(&server, &session).await, all);
}

#[tokio::test]
async fn what_is_acknowledged_while_the_disk_fills_is_there_after_a_kill() {
    let Some((small, server)) = Small::start().await else {
        return;
    };
    let mut client = server.client("max_images=1000").await;
    let session = client.session.clone();
    let picture = noise(300, 300);
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for index in 0..400 {
        let name = format!("{index}.png");
        client.send_image(&name, &picture).await;
        let (_, answer) = client.up_to(&["ack", "error"]).await;
        if answer["type"] == "ack" {
            acknowledged.push(Value::from(name));
        } else {
            assert_eq!(answer["code"], "disk_full", "{answer}");
            refused += 1;
        }
        // Smaller ones may still fit after the first refusal.
        if refused == 5 {
            break;
        }
    }
    assert!(
        refused == 5 && acknowledged.len() > 10,
        "{refused} {}",
        acknowledged.len()
    );
    assert_eq!(images(&server, &session).await, acknowledged);

    // The next server finds the disk as full as it was.
    let server = small.kill(server).await;
    assert_eq!(images(&server, &session).await, acknowledged);
    let mut client = Client::resume(&server, &session).await;
    client.send_image("late.png", &picture).await;
    expect_disk_full(&mut client).await;
    // A session that is deleted gives its space to others.
    let mut other = server.client("").await;
    let deleted = server.delete(&format!("/ws/session/{session}")).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    other.upload("0.png", &picture).await;
}

/// Lets a process write no files, or lets it. It gets an error then, as from a disk that fails.
fn let_write(server: &Server, may: bool) {
    let id = i32::try_from(server.id()).ok().and_then(Pid::from_raw);
    let limit = Rlimit {
        current: if may { None } else { Some(0) },
        maximum: None,
    };
    prlimit(id, Resource::Fsize, limit).expect("the process is ours");
}

#[tokio::test]
async fn a_disk_that_fails_takes_nothing_and_loses_nothing() {
    // Without this the signal for a file that is too long ends a process.
    let wrapper = ["sh", "-c", "trap '' XFSZ && exec \"$@\"", "sh"];
    let model = archive("flat");
    let options = ["--model", model.to_str().expect("a plain name")];
    let server = Server::start_through(&wrapper, new_data_dir(), &options).await;
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    client.generate(true).await;
    let first = client.result("delta").await.glb();
    let session = client.session.clone();

    let_write(&server, false);
    client.send_image("1.png", &photo(1)).await;
    let error = client.expect("error").await;
    assert_eq!(error["code"], "storage_failed", "{error}");
    let reply = server.post("/ws/session/create").await;
    assert_eq!(reply.status, 500, "{}", reply.text());
    client.expect_quiet().await;
    let result = format!("/ws/session/{session}/result");
    assert_eq!(server.get(&result).await.body, first);

    let_write(&server, true);
    client.upload("2.png", &photo(2)).await;
    client.generate(true).await;
    assert_eq!(client.result("delta").await.metadata()["num_frames"], 2);
    let server = Server::start_in(server.kill(), &options).await;
    let kept = ["0.png", "2.png"].map(Value::from);
    assert_eq!(images(&server, &session).await, kept);
}

#[tokio::test]
async fn a_read_only_disk_costs_no_session() {
    let Some((small, server)) = Small::start().await else {
        return;
    };
    let mut client = server.client("").await;
    client.upload("0.png", &photo(0)).await;
    let session = client.session.clone();
    let data = server.kill();
    small.disk.set_read_only(true);
    let (code, said) = refused_on(&small.disk, data.path(), &small.options()).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(
        said.contains(data.path().to_str().expect("a plain name")),
        "{said}"
    );
    small.disk.set_read_only(false);
    let server = small.start_in(data).await;
    assert_eq!(images(&server, &session).await, ["0.png"].map(Value::from));
    let mut client = Client::resume(&server, &session).await;
    client.upload("1.png", &photo(1)).await;
}

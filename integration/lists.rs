//! Lists with the names of all images: they are whole, and cost little memory for readers that do not read.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::client::Client;
use crate::support::pictures::photo;
use crate::support::raw::address;
use crate::support::server::Server;
use crate::support::within;

const IMAGES: usize = 400;
const READERS: usize = 100;
/// The most memory for one that does not read, in bytes.
const EACH: u64 = 256 << 10;

/// Asks for a path, and reads nothing but the beginning of the answer.
async fn unread(server: &Server, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    // So that the text waits in the server, and not in the network.
    socket.set_recv_buffer_size(4096).expect("set");
    let connected = socket.connect(address(server)).await;
    let mut connection = connected.expect("accepted");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let sent = connection.write_all(request.as_bytes()).await;
    sent.expect("sent");
    let mut status = [0; 12];
    let read = within("the answer", connection.read_exact(&mut status)).await;
    read.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200");
    connection
}

/// What a reader of a path costs that does not read, in bytes.
async fn cost(server: &Server, path: &str) -> u64 {
    // What is allocated once.
    drop(unread(server, path).await);
    let before = server.resident_bytes();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(unread(server, path).await);
    }
    server.resident_bytes().saturating_sub(before) / READERS as u64
}

/// The same, with a new image before each reader, so that no two lists are the same.
async fn cost_of_versions(server: &Server, client: &mut Client, path: &str) -> u64 {
    let before = server.resident_bytes();
    let mut readers = Vec::new();
    for index in 0..READERS {
        client.upload("more", &photo(index as u32)).await;
        readers.push(unread(server, path).await);
    }
    server.resident_bytes().saturating_sub(before) / READERS as u64
}

#[tokio::test]
async fn readers_that_do_not_read_lists_take_little_memory() {
    let server = Server::start(&["--durability", "none"]).await;
    let query = format!(
        "max_images={}&process_res=28&finalize_mode=whole",
        IMAGES + READERS
    );
    let mut client = server.client(&query).await;
    // JSON writes each quote with two bytes.
    let name = |index: usize| format!("{index}{}", "\"".repeat(1000));
    for index in 0..IMAGES {
        client.upload(&name(index), &photo(index as u32)).await;
    }
    let path = format!("/ws/session/{}/images", client.session);
    let listed = server.get(&path).await;
    assert_eq!(listed.header("content-type"), Some("application/json"));
    let images = listed.json()["images"].clone();
    let images = images.as_array().expect("a list");
    assert_eq!(images.len(), IMAGES);
    for (index, image) in images.iter().enumerate() {
        assert_eq!(image["index"], index);
        assert_eq!(image["image_path"], name(index));
    }
    assert!(listed.body.len() as u64 > 3 * EACH);
    let each = cost(&server, &path).await;
    assert!(each <= EACH, "{each} bytes for each reader of the images");
    let each = cost_of_versions(&server, &mut client, &path).await;
    assert!(
        each <= EACH,
        "{each} bytes for each reader of a list of its own"
    );

    client.send(json!({"type": "finalize"})).await;
    client.result("complete").await;
    let path = format!("/ws/session/{}/result?format=json", client.session);
    let result = server.get(&path).await;
    let frames: Value = result.json()["metadata"]["frames"].clone();
    assert_eq!(frames[IMAGES - 1], name(IMAGES - 1));
    assert!(result.body.len() as u64 > 3 * EACH);
    let each = cost(&server, &path).await;
    assert!(each <= EACH, "{each} bytes for each reader of the result");
}

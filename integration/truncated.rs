//! Something else makes the stored files shorter while the server uses them: whoever reads such a file
//! gets an error or a closed connection, and everybody else goes on.

use std::fs::OpenOptions;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{Client, open};
use crate::support::pictures::{at, photo, sized};
use crate::support::server::Server;
use crate::support::within;

/// Cuts all files of a session off in the middle, or those whose names end like this.
fn cut_off(server: &Server, session: &str, ending: &str) -> usize {
    let folder = server.session_folder(session);
    let files = folder.read_dir().expect("the session has a folder");
    let paths = files.map(|file| file.expect("a file").path());
    let chosen = paths.filter(|path| path.to_string_lossy().ends_with(ending));
    chosen
        .map(|path| {
            let file = OpenOptions::new().write(true).open(path).expect("writable");
            let length = file.metadata().expect("there").len();
            file.set_len(length / 2).expect("it is cut off");
        })
        .count()
}

/// A client with a result of several megabytes, far more than the buffers of a connection.
async fn with_large_result(server: &Server) -> Client {
    let create = "/ws/session/create?process_res=504";
    let reply = server.post(create).await.json();
    let session = reply["session_id"].as_str().expect("an identifier");
    let mut client = Client::connect(server, session).await;
    for index in 0..4 {
        client
            .upload(&format!("{index}.png"), &sized(504, 378))
            .await;
    }
    client.generate(true).await;
    client.result("delta").await;
    client
}

/// A client that goes on in spite of everything.
async fn neighbour(server: &Server) -> String {
    let mut client = server.client("").await;
    client.upload("a.png", &photo(1)).await;
    client.upload("b.png", &photo(2)).await;
    client.session
}

async fn goes_on(server: &Server, neighbour: String) {
    let mut neighbour = Client::connect(server, &neighbour).await;
    neighbour.generate(true).await;
    neighbour.result("delta").await;
    for format in ["glb", "ply", "colmap", "npz", "nerfstudio", "json"] {
        let path = format!("/ws/session/{}/result?format={format}", neighbour.session);
        assert_eq!(server.get(&path).await.status, 200, "{format}");
    }
    neighbour.expect_quiet().await;
}

#[tokio::test]
async fn a_download_of_a_file_that_is_cut_off_ends_early() {
    let server = Server::start(&[]).await;
    let neighbour = neighbour(&server).await;
    let client = with_large_result(&server).await;
    let address = server.base().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.expect("it listens");
    let path = format!("/ws/session/{}/result", client.session);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut first = vec![0; 1000];
    stream.read_exact(&mut first).await.expect("it has begun");
    let head = String::from_utf8_lossy(&first);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse::<usize>())
    });
    let length = length.expect("it is announced").expect("a number");
    assert!(cut_off(&server, &client.session, ".glb") > 0);
    let mut rest = Vec::new();
    // Closed or reset, but before the end.
    let _ = within("the end of the response", stream.read_to_end(&mut rest)).await;
    assert!(rest.len() < length, "{} of {length} bytes", rest.len());
    // Who asks now is told.
    let reply = server.get(&path).await;
    assert_eq!(reply.status, 500, "{}", reply.text());
    goes_on(&server, neighbour).await;
}

#[tokio::test]
async fn a_socket_whose_result_is_cut_off_is_closed_or_gets_an_error() {
    let server = Server::start(&[]).await;
    let neighbour = neighbour(&server).await;
    for binary in [false, true] {
        let mut client = with_large_result(&server).await;
        let session = client.session.clone();
        // Another answer, which nobody reads until the file is cut off.
        client.generate(true).await;
        client.inference_started().await;
        client.vanish();
        server.settled(&session).await;
        let query = format!("?resume=true&binary={binary}");
        let socket = open(&format!("{}{query}", server.socket(&session))).await;
        let mut socket = socket.expect("it takes a connection");
        let connected = socket.next().await.expect("open").expect("a message");
        assert!(connected.to_text().expect("text").contains("connected"));
        assert!(cut_off(&server, &session, ".glb") > 0);
        // The server has begun to send it, or not.
        let told = within("an error or the end of the connection", async {
            loop {
                match socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => {
                        assert_eq!(u16::from(frame.code), 1011, "{frame:?}");
                        return;
                    }
                    Some(Ok(Message::Text(text))) if text.contains("\"error\"") => return,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(other)) => panic!("a whole result of {} bytes", other.len()),
                    Some(Err(_)) | None => return,
                }
            }
        });
        told.await;
        drop(socket);
        // Who resumes is told what is wrong: nobody has confirmed the message. The session goes on.
        let mut again = Client::resume(&server, &session).await;
        let answer = again.answer().await.message;
        assert_eq!(answer["type"], "error");
        again.generate(true).await;
        again.result("delta").await;
    }
    goes_on(&server, neighbour).await;
}

#[tokio::test]
async fn formats_of_files_that_are_cut_off_are_errors() {
    let server = Server::with_model("extending", &[]).await;
    let neighbour = neighbour(&server).await;
    let mut small = server.client("").await;
    let mut long = server.client("window=6&max_images=20").await;
    for index in 0..12_u8 {
        let picture = at(index);
        if index < 3 {
            small.upload(&format!("{index}.png"), &picture).await;
        }
        long.upload(&format!("{index}.png"), &picture).await;
    }
    for client in [&mut small, &mut long] {
        client.generate(true).await;
        client.result("delta").await;
        assert!(cut_off(&server, &client.session, "") > 3);
        for format in [
            "glb",
            "ply",
            "colmap",
            "npz",
            "nerfstudio",
            "las",
            "e57",
            "csv",
            "mesh_glb",
        ] {
            let path = format!("/ws/session/{}/result?format={format}", client.session);
            let reply = server.get(&path).await;
            assert_eq!(reply.status, 500, "{format}: {}", reply.text());
        }
        // Requests of the session fail with an answer, not with the process.
        client.generate(true).await;
        client.answer().await;
        client.expect_quiet().await;
    }
    goes_on(&server, neighbour).await;
}

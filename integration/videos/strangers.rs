//! What strangers send: ffmpeg reads the video that was sent, and nothing else.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{frames, made, nothing_is_left, send, walk};
use crate::support::ffmpeg::{MPEG4, ffmpeg, has_ffmpeg};
use crate::support::pictures::photo;
use crate::support::server::Server;
use crate::support::stand_in::StandIn;

/// Text that names other files or addresses.
fn playlists(segment: &str) -> Vec<(&'static str, String)> {
    vec![
        (
            "HLS",
            format!(
                "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{segment}\n#EXT-X-ENDLIST\n"
            ),
        ),
        ("concat", format!("ffconcat version 1.0\nfile '{segment}'\n")),
        (
            "DASH",
            format!(
                "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
                 mediaPresentationDuration=\"PT2S\" profiles=\"urn:mpeg:dash:profile:full:2011\"><Period>\
                 <AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"9\">\
                 <BaseURL>{segment}</BaseURL></Representation></AdaptationSet></Period></MPD>"
            ),
        ),
        (
            "SDP",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n\
             a=rtpmap:96 H264/90000\n"
                .to_owned(),
        ),
    ]
}

#[tokio::test]
async fn playlists_read_no_other_files_and_no_addresses() {
    if !has_ffmpeg() {
        return;
    }
    let server = Server::start(&[]).await;
    let folder = TempDir::new().expect("writable");
    let secret = folder.path().join("secret.ts");
    let input = ["-framerate", "4", "-i", "%03d.jpg", "-vf", "scale=252:-2"];
    let mpeg2 = ["-c:v", "mpeg2video", "-q:v", "2", "-r", "25"];
    ffmpeg(&[&input[..], &mpeg2].concat(), &secret);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");

    let secret = secret.to_str().expect("a plain name");
    let url = format!("http://{address}/secret.ts");
    // Without rules, ffmpeg follows the first one.
    let (_, hls) = &playlists(secret)[0];
    let list = folder.path().join("list");
    std::fs::write(&list, hls).expect("writable");
    let mut follow = Command::new("ffmpeg");
    follow.args(["-v", "error", "-nostdin", "-i"]).arg(list);
    let followed = follow.args(["-f", "null", "-"]).output();
    assert!(followed.expect("ffmpeg starts").status.success());

    for segment in [secret, &format!("file:{secret}"), &url] {
        for (kind, text) in playlists(segment) {
            let reply = send(&server, "count=2", text.as_bytes()).await;
            assert_eq!(reply.status, 422, "{kind} {segment}: {}", reply.text());
            assert_eq!(reply.json()["code"], "invalid_video", "{kind} {segment}");
            let detail = reply.detail();
            assert!(detail.contains("send MP4"), "{detail}");
            let folder = server.data_dir().to_string_lossy().into_owned();
            assert!(!detail.contains(&folder), "{detail}");
        }
    }
    let accepted = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(accepted.is_err(), "ffmpeg has connected");
    nothing_is_left(&server).await;
}

#[tokio::test]
async fn what_is_no_video_is_refused() {
    if !has_ffmpeg() {
        return;
    }
    let server = Server::start(&[]).await;
    let whole = walk("walk.mp4", &MPEG4);
    let words = "words of a note, which ffmpeg would draw\n".repeat(100);
    let sound = made("sound.ogg", |file| {
        let sine = ["-f", "lavfi", "-i", "sine=duration=1", "-c:a", "flac"];
        ffmpeg(&sine, file);
    });
    for (what, body) in [
        ("a picture", photo(0)),
        ("text", words.into_bytes()),
        ("sound", sound),
        ("a part", whole[..whole.len() / 2].to_vec()),
        ("nothing", Vec::new()),
        (
            "noise",
            (0..100_000_u32)
                .map(|byte| (byte * 31 % 251) as u8)
                .collect(),
        ),
    ] {
        let reply = send(&server, "", &body).await;
        assert_eq!(reply.status, 422, "{what}: {}", reply.text());
        assert_eq!(reply.json()["code"], "invalid_video", "{what}");
    }
    assert_eq!(frames(&send(&server, "count=2", &whole).await).len(), 2);
    nothing_is_left(&server).await;
}

#[tokio::test]
async fn ffmpeg_knows_nothing_of_the_server_and_has_limits() {
    let stand_in = StandIn::new();
    let server = stand_in.server(&["--job-timeout", "2"]).await;
    let reply = send(&server, "", b"video").await;
    assert_eq!(reply.status, 504, "{}", reply.text());
    assert_eq!(reply.json()["code"], "timeout");
    stand_in.ended().await;
    let seen = stand_in.seen();
    assert!(
        !seen.contains("SECRET") && !seen.contains("HOME="),
        "{seen}"
    );
    assert!(!seen.contains("POINTSTREAM"), "{seen}");
    assert!(seen.contains("PATH="), "{seen}");
    assert!(seen.contains("memory 4194304\n"), "{seen}");
    assert!(seen.contains("time 6\n"), "{seen}");
    let folder = server.data_dir().join("videos/video-");
    assert!(
        seen.contains(folder.to_str().expect("a plain name")),
        "{seen}"
    );
    nothing_is_left(&server).await;
}

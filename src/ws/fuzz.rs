//! Fuzzing of what a client sends on a socket.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use pointstream_actors::{ClientMessage, ImageUpload, MAX_NAME_BYTES, check_name};
use pointstream_fuzzing::{Corpus, Unstructured, arbitrary, fuzz, fuzz_values};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::binary;
use super::frame_split::tests::{Found, messages as messages_in, split_until_refused};
use super::image_data;
use super::incoming::{parse, parse_binary};

/// The longest reason of a refusal in bytes: it repeats at most 100 characters of the client.
const LONGEST_REASON: usize = 1000;

/// What JSON and the messages are made of.
const WORDS: [&str; 36] = [
    "\"type\":",
    "\"image\"",
    "\"generate\"",
    "\"finalize\"",
    "\"cancel\"",
    "\"map\"",
    "\"received\"",
    "\"ping\"",
    "\"invalid\"",
    "\"data\":",
    "\"filename\":",
    "\"id\":",
    "\"number\":",
    "\"incremental\":",
    "\"intrinsics\":",
    "\"extrinsics\":",
    "null",
    "true",
    "1e308",
    "1e-324",
    "-0.0",
    "9007199254740993",
    "18446744073709551616",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\\",
    "\u{1F600}",
    "data:image/png;base64,",
    "data:,",
    "====",
    "[[1,0,0],[0,1,0],[0,0,1]]",
];

fn messages() -> Vec<String> {
    let camera = json!([[30.0, 0, 13.5], [0, 30.0, 6.5], [0, 0, 1]]);
    let pose = json!([[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, -2e3], [0, 0, 0, 1]]);
    let messages = [
        json!({"type": "image", "data": "aGVsbG8=", "filename": "a.png", "id": "1"}),
        json!({"type": "image", "data": "data:image/png;base64,aGVs\nbG8", "intrinsics": camera, "extrinsics": pose}),
        json!({"type": "generate", "incremental": true, "id": "é"}),
        json!({"type": "finalize", "id": "2"}),
        json!({"type": "cancel"}),
        json!({"type": "map", "id": null}),
        json!({"type": "received", "number": 7}),
        json!({"type": "ping", "more": [{"deep": [[[]]]}]}),
    ];
    messages.iter().map(Value::to_string).collect()
}

/// What holds of every message, however it was made.
fn check(message: &ClientMessage) {
    match message {
        ClientMessage::Image(ImageUpload {
            bytes,
            name,
            camera,
            ..
        }) => {
            assert!(!bytes.is_empty());
            assert!(
                name.as_ref()
                    .is_none_or(|name| name.len() <= MAX_NAME_BYTES)
            );
            if let Some(camera) = camera {
                let pose = camera.extrinsics;
                let rotation = pose.fixed_view::<3, 3>(0, 0).into_owned();
                let product = rotation * rotation.transpose();
                let off = (product - nalgebra::Matrix3::identity()).abs();
                assert!(off.iter().all(|one| *one <= 1e-3), "{pose}");
                assert!(rotation.determinant() > 0.9);
                let all = camera.intrinsics.iter().chain(pose.iter());
                assert!(all.into_iter().all(|number| number.is_finite()));
                assert!(camera.intrinsics[(0, 0)] > 0.0 && camera.intrinsics[(1, 1)] > 0.0);
            }
        }
        ClientMessage::Invalid {
            reason, filename, ..
        } => {
            assert!(
                !reason.is_empty() && reason.len() <= LONGEST_REASON,
                "{reason}"
            );
            assert!(
                filename
                    .as_ref()
                    .is_none_or(|name| check_name(name).is_ok())
            );
        }
        ClientMessage::Received { number, .. } => assert!((1..=1 << 53).contains(number)),
        ClientMessage::Generate { .. }
        | ClientMessage::Finalize { .. }
        | ClientMessage::Cancel { .. }
        | ClientMessage::Map { .. }
        | ClientMessage::Ping => {}
    }
}

#[test]
fn text_messages() {
    let corpus = Corpus::of(messages()).with_words(WORDS);
    fuzz("text messages", &corpus, |input| {
        match parse(input.to_vec().into()) {
            Ok(message) => check(&message),
            Err(_) => assert!(str::from_utf8(input).is_err()),
        }
    });
}

#[test]
fn binary_messages() {
    let header = |message: Value| binary::preface(message.to_string());
    let corpus = Corpus::of([
        [
            header(json!({"type": "image", "filename": "a", "id": "1"})),
            "bytes".into(),
        ]
        .concat(),
        [header(json!({"type": "image"})), Bytes::new()].concat(),
        [header(json!({"type": "ping"})), "bytes".into()].concat(),
    ]);
    fuzz("binary messages", &corpus.with_words(WORDS), |input| {
        let input = Bytes::copy_from_slice(input);
        let message = parse_binary(&input);
        check(&message);
        if let ClientMessage::Image(image) = message {
            // The bytes are the end of the message, not a copy.
            assert!(input.ends_with(&image.bytes));
            assert_eq!(image.bytes.as_ptr_range().end, input.as_ptr_range().end);
        }
    });
}

/// A valid image message.
#[derive(Debug)]
struct Sent {
    bytes: Vec<u8>,
    name: Option<String>,
    id: Option<String>,
}

fn sent(random: &mut Unstructured<'_>) -> arbitrary::Result<Sent> {
    let shortened = |text: String, most: usize| text.chars().take(most).collect::<String>();
    let plain = |name: String| name.replace(char::is_control, "");
    let name: Option<String> = random.arbitrary()?;
    let id: Option<String> = random.arbitrary()?;
    let mut bytes: Vec<u8> = random.arbitrary()?;
    bytes.push(random.arbitrary()?);
    Ok(Sent {
        bytes,
        // A character has up to four bytes.
        name: name.map(|name| shortened(plain(name), MAX_NAME_BYTES / 4)),
        id: id.map(|id| shortened(id, 128)).filter(|id| !id.is_empty()),
    })
}

fn is_what_was_sent(sent: &Sent, message: ClientMessage) {
    let ClientMessage::Image(image) = message else {
        panic!("{message:?} is no image");
    };
    assert_eq!(image.bytes, sent.bytes);
    assert_eq!(image.name, sent.name);
    assert_eq!(image.id.as_ref().map(|id| id.as_str()), sent.id.as_deref());
}

#[test]
fn images_arrive_as_they_were_sent() {
    fuzz_values("images in messages", sent, |sent| {
        let mut message = json!({"type": "image", "filename": sent.name, "id": sent.id});
        let header = message.to_string();
        message["data"] = BASE64_STANDARD.encode(&sent.bytes).into();
        let payload = message.to_string().into_bytes().into();
        is_what_was_sent(sent, parse(payload).expect("valid UTF-8"));
        let binary = [&binary::preface(header), sent.bytes.as_slice()].concat();
        is_what_was_sent(sent, parse_binary(&binary.into()));
    });
}

#[test]
fn base64() {
    let inputs = [
        "aGVsbG8=",
        " aGVs\nbG8",
        r"aGVs\r\nbG8\u003d",
        "data:image/png;base64,aGVsbG8=",
        "data:,a",
        "%",
    ];
    let corpus = Corpus::of(inputs).with_words([
        "=", "\n", "\\n", "\\u00", "\\/", ";base64,", "data:", "\u{e9}",
    ]);
    fuzz("base64", &corpus, |input| {
        let decode = |text: &[u8]| {
            let payload = text.to_vec().into();
            image_data::decode(payload, 0..text.len()).map(|file| file.as_ref().to_vec())
        };
        if let Ok(bytes) = decode(input) {
            assert!(!bytes.is_empty() && bytes.len() <= input.len());
            let text = BASE64_STANDARD.encode(&bytes);
            assert_eq!(decode(text.as_bytes()), Ok(bytes));
        }
    });
}

fn frame(payload: &[u8], opcode: OpCode, last: bool) -> Vec<u8> {
    let mut frame = match opcode {
        OpCode::Data(_) => Frame::message(payload.to_vec(), opcode, last),
        OpCode::Control(_) => Frame::ping(payload.to_vec()),
    };
    frame.header_mut().mask = Some([1, 2, 3, 4]);
    let mut bytes = Vec::new();
    frame.format(&mut bytes).expect("memory is writable");
    bytes
}

/// Bytes of payload that were found.
fn payload_of(parts: &[Found]) -> usize {
    let bytes = parts.iter().map(|part| match part {
        Found::Payload(bytes) => *bytes,
        _ => 0,
    });
    bytes.sum()
}

fn without_payload(parts: &[Found]) -> impl Iterator<Item = &Found> {
    let is_payload = |part: &&Found| matches!(part, Found::Payload(_));
    parts.iter().filter(move |part| !is_payload(part))
}

#[test]
fn frames() {
    let text = OpCode::Data(Data::Text);
    let more = OpCode::Data(Data::Continue);
    let ping = OpCode::Control(Control::Ping);
    let corpus = Corpus::of([
        frame(b"{}", text, true),
        [
            frame(b"a", text, false),
            frame(b"p", ping, true),
            frame(b"b", more, true),
        ]
        .concat(),
        [
            frame(&[0; 300], OpCode::Data(Data::Binary), false),
            frame(b"", more, true),
        ]
        .concat(),
        frame(&[b'x'; 66_000], text, true)[..40].to_vec(),
        frame(&[b'x'; 17_000], text, true),
    ]);
    fuzz("frames", &corpus, |stream| {
        let (whole, frames, refused) = split_until_refused([stream]);
        let payload = payload_of(&whole);
        assert!(payload <= stream.len());
        let heads = whole.iter().filter(|part| matches!(part, Found::Head(..)));
        let ends = whole.iter().filter(|part| matches!(part, Found::End(_)));
        assert!(ends.count() <= heads.count());
        let (read, _) = messages_in(&frames, &whole);
        assert_eq!(read, messages_in(stream, &[]).0);
        for step in [1, 5, 64] {
            // However the bytes are cut, they are the same, until the library refuses them.
            let (cut, same, refused_too) = split_until_refused(stream.chunks(step));
            assert_eq!(refused_too, refused);
            assert_eq!(messages_in(&same, &cut).0, read);
            assert!(without_payload(&cut).eq(without_payload(&whole)));
            if !refused {
                assert_eq!((payload_of(&cut), same), (payload, frames.clone()));
            }
        }
    });
}

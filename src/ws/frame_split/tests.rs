use std::io::{self, Read, Write};
use std::task::Waker;

use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::*;

const LIMIT: usize = 1 << 20;
const TEXT: OpCode = OpCode::Data(Data::Text);
const BINARY: OpCode = OpCode::Data(Data::Binary);
const MORE: OpCode = OpCode::Data(Data::Continue);
const PING: OpCode = OpCode::Control(Control::Ping);

/// With a period that is no multiple of a mask's, so that a wrong mask is seen.
fn payload(length: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(length).collect()
}

fn bytes(length: usize, opcode: OpCode, last: bool) -> Vec<u8> {
    let payload = payload(length);
    let mut frame = match opcode {
        OpCode::Data(_) => Frame::message(payload, opcode, last),
        OpCode::Control(_) => Frame::ping(payload),
    };
    frame.header_mut().mask = Some([1, 2, 3, 4]);
    let mut bytes = Vec::new();
    frame.format(&mut bytes).expect("memory is writable");
    bytes
}

/// A part, with bytes that can be compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Head(bool, usize, bool),
    Payload(usize),
    End(Option<Vec<u8>>),
}

/// The parts of a stream that comes in these pieces, with the payload added up between the others, and
/// what the library gets. Pieces are read to their place where there is one.
fn split_all<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Found>, Vec<u8>) {
    let (found, out, _) = split_until_refused(pieces);
    (found, out)
}

/// The same, and whether the library has to refuse the stream from some frame on. What comes after it is
/// given to the library as it comes.
pub fn split_until_refused<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Found>, Vec<u8>, bool) {
    let mut split = FrameSplit::new(LIMIT);
    let mut found: Vec<Found> = Vec::new();
    let mut out = Vec::new();
    let mut add = |part| match (part, found.last_mut()) {
        (Part::Payload(more), Some(Found::Payload(sum))) => *sum += more,
        (Part::Payload(some), _) => found.push(Found::Payload(some)),
        (
            Part::Head {
                begins,
                bytes,
                last,
            },
            _,
        ) => found.push(Found::Head(begins, bytes, last)),
        (Part::End(payload), _) => {
            let payload = payload.map(|payload| payload.as_ref().to_vec());
            found.push(Found::End(payload));
        }
    };
    for mut piece in pieces {
        let mut context = Context::from_waker(Waker::noop());
        while !piece.is_empty() {
            let Some(read) = split.poll_place(&mut context, Pin::new(&mut piece), LIMIT) else {
                break;
            };
            let Poll::Ready(Ok(read)) = read else {
                panic!("memory is readable");
            };
            split.placed(read, &mut out, &mut add);
        }
        split.split(piece, &mut out, &mut add);
    }
    (found, out, split.refused)
}

fn split(stream: &[u8], step: usize) -> (Vec<Found>, Vec<u8>) {
    split_all(stream.chunks(step))
}

/// Payload bytes of each frame.
fn lengths(mut stream: &[u8]) -> Vec<u64> {
    let mut lengths = Vec::new();
    while !stream.is_empty() {
        let mut cursor = Cursor::new(stream);
        let head = FrameHeader::parse(&mut cursor).expect("valid");
        let (_, length) = head.expect("complete");
        stream = &stream[(cursor.position() + length) as usize..];
        lengths.push(length);
    }
    lengths
}

/// What a client sends; nobody reads what it is sent.
struct Sent<'a>(&'a [u8]);

impl Read for Sent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Sent<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The messages that the library reads before the first error, with the payloads that it did not get, and
/// whether the error is that a text is no UTF-8.
pub fn messages(stream: &[u8], found: &[Found]) -> (Vec<Message>, bool) {
    let config = WebSocketConfig::default().max_message_size(Some(LIMIT));
    let config = config.max_frame_size(Some(LIMIT));
    let mut socket = WebSocket::from_raw_socket(Sent(stream), Role::Server, Some(config));
    let mut collected = found.iter().filter_map(|part| match part {
        Found::End(payload) => Some(payload.clone()),
        _ => None,
    });
    let mut messages = Vec::new();
    loop {
        let message = match socket.read() {
            Ok(message) => message,
            Err(error) => return (messages, matches!(error, Error::Utf8(_))),
        };
        let is_data = message.is_text() || message.is_binary();
        let payload = is_data.then(|| collected.next().flatten()).flatten();
        messages.push(match payload {
            Some(payload) if message.is_binary() => Message::binary(payload),
            Some(payload) => match String::from_utf8(payload) {
                Ok(text) => Message::text(text),
                // The reader refuses it.
                Err(_) => return (messages, true),
            },
            None => message,
        });
    }
}

fn stream() -> Vec<u8> {
    let mut stream = bytes(5, TEXT, true);
    stream.extend(bytes(70_000, BINARY, false));
    stream.extend(bytes(3, PING, true));
    stream.extend(bytes(0, MORE, false));
    stream.extend(bytes(200, MORE, true));
    stream.extend(bytes(0, TEXT, true));
    stream
}

#[test]
fn messages_are_found_however_their_bytes_are_cut() {
    let head = Found::Head;
    let payload = |lengths: &[usize]| {
        let payloads = lengths.iter().map(|length| payload(*length));
        Some(payloads.collect::<Vec<_>>().concat())
    };
    let expected = [
        head(true, 5, true),
        Found::Payload(5),
        Found::End(None),
        head(true, 70_000, false),
        Found::Payload(70_000),
        head(false, 0, false),
        head(false, 200, true),
        Found::Payload(200),
        Found::End(payload(&[70_000, 200])),
        head(true, 0, true),
        Found::End(None),
    ];
    for step in [1, 2, 7, 1000, 1 << 20] {
        let (found, out) = split(&stream(), step);
        assert_eq!(found, expected, "{step} bytes at a time");
        assert_eq!(lengths(&out), [5, 0, 3, 0, 0, 0], "{step} bytes at a time");
    }
}

#[test]
fn the_messages_stay_the_same() {
    let mut stream = stream();
    for length in [SHORT as usize, SHORT as usize + 1, LIMIT] {
        stream.extend(bytes(length, TEXT, true));
        stream.extend(bytes(length, BINARY, true));
        stream.extend(bytes(3, PING, true));
    }
    for step in [1, 1000, 1 << 20] {
        let (found, out) = split(&stream, step);
        let (read, _) = messages(&out, &found);
        assert_eq!(read.len(), 4 + 9);
        assert!(read == messages(&stream, &[]).0, "{step} bytes at a time");
        assert!(lengths(&out).iter().all(|length| *length <= SHORT));
    }
}

#[test]
fn what_is_too_large_or_wrong_is_refused_by_its_head() {
    let frame = bytes(LIMIT, BINARY, true);
    let after = |before: Vec<u8>, frame: &[u8]| [&before, frame].concat();
    let mut reserved = frame.clone();
    reserved[0] |= 0x40;
    let mut unmasked = frame.clone();
    unmasked[1] &= 0x7f;
    let (too_large, wrong) = (true, false);
    let cases = [
        (bytes(LIMIT + 1, BINARY, true), too_large),
        (
            after(bytes(1, TEXT, false), &bytes(LIMIT, MORE, true)),
            too_large,
        ),
        (after(bytes(1, BINARY, false), &frame), wrong),
        (bytes(LIMIT, MORE, true), wrong),
        (reserved, wrong),
        (unmasked, wrong),
    ];
    for (stream, is_too_large) in cases {
        let heads = &stream[..stream.len() - LIMIT];
        let (_, out) = split(heads, 1000);
        let config = WebSocketConfig::default().max_frame_size(Some(LIMIT));
        let mut socket = WebSocket::from_raw_socket(Sent(&out), Role::Server, Some(config));
        let error = socket.read().expect_err("refused");
        match is_too_large {
            true => assert!(matches!(error, Error::Capacity(_)), "{error}"),
            false => assert!(matches!(error, Error::Protocol(_)), "{error}"),
        }
    }
}

#[test]
fn a_text_that_is_no_utf_8_is_refused_before_its_end() {
    for length in [100_000, 500_000] {
        let mut text = bytes(length, TEXT, true);
        // Masked with 1, 2, 3 or 4, it is a byte that begins no character.
        text[length / 2] = 0xff;
        let (found, out) = split(&text[..length - 40_000], 1000);
        assert!(!found.iter().any(|part| matches!(part, Found::End(_))));
        assert_eq!(messages(&out, &found), (Vec::new(), true));
        // A character may be cut.
        let characters = "\u{20ac}".repeat(length / 3);
        let mut frame = Frame::message(characters.clone(), TEXT, true);
        frame.header_mut().mask = Some([1, 2, 3, 4]);
        let mut stream = Vec::new();
        frame.format(&mut stream).expect("memory is writable");
        let (found, out) = split(&stream, 1000);
        assert_eq!(messages(&out, &found).0, [Message::text(characters)]);
    }
}

#[test]
fn what_is_no_frame_is_left_to_the_library() {
    // Opcode 3 is reserved.
    let mut stream = vec![0x83, 0x80, 0, 0, 0, 0];
    stream.extend(bytes(5, TEXT, true));
    assert_eq!(split(&stream, 1), (Vec::new(), stream));
}

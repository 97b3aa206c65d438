//! Cuts a message into WebSocket frames.
//!
//! A point cloud can be hundreds of megabytes as base64. Its message is cut into fragments that
//! are made only when the socket takes them: a result costs one fragment of memory beside the GLB
//! itself, which all connections share, and ping and pong frames can be sent in between. Binary
//! messages are cut into views of the GLB, without copying it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Payload of one frame in bytes; a multiple of 4, so that base64 fills it.
pub const FRAGMENT: usize = 256 << 10;

/// One message; an iterator of its frames.
#[derive(Debug)]
pub struct Fragments {
    opcode: Data,
    /// Text before the GLB, or the header of a binary message.
    head: Bytes,
    /// Not encoded yet.
    glb: Bytes,
    /// Text after the GLB.
    tail: Bytes,
    position: Position,
}

/// How many frames of a message have been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Start,
    Middle,
    End,
}

impl Fragments {
    /// A text message without a GLB.
    pub fn text(json: String) -> Self {
        Self::text_with_glb(json.into(), Bytes::new(), Bytes::new())
    }

    /// A text message with a GLB as base64 between two parts of its text.
    pub fn text_with_glb(head: Bytes, glb: Bytes, tail: Bytes) -> Self {
        Self::new(Data::Text, head, glb, tail)
    }

    /// A binary message: a header, with all that belongs around it, and a GLB.
    pub fn binary(header: Bytes, glb: Bytes) -> Self {
        Self::new(Data::Binary, header, glb, Bytes::new())
    }

    fn new(opcode: Data, head: Bytes, glb: Bytes, tail: Bytes) -> Self {
        Self {
            opcode,
            head,
            glb,
            tail,
            position: Position::Start,
        }
    }

    /// The next fragment: as much of the head, the GLB and the tail as fits.
    ///
    /// A fragment may end inside a character, as RFC 6455 allows.
    fn fragment(&mut self) -> Bytes {
        let no_glb = self.glb.is_empty() && self.tail.is_empty();
        if no_glb || self.opcode == Data::Binary {
            let part = if self.head.is_empty() {
                &mut self.glb
            } else {
                &mut self.head
            };
            return part.split_to(part.len().min(FRAGMENT));
        }
        let mut fragment = Vec::with_capacity(FRAGMENT);
        move_part(&mut self.head, &mut fragment);
        // A multiple of 3 bytes, so that only the last part is padded.
        let room = (FRAGMENT - fragment.len()) / 4 * 3;
        let part = self.glb.split_to(self.glb.len().min(room));
        let start = fragment.len();
        fragment.resize(FRAGMENT, 0);
        // Never fails: the buffer holds four thirds of the part.
        let written = STANDARD
            .encode_slice(&part, &mut fragment[start..])
            .unwrap_or(0);
        fragment.truncate(start + written);
        if self.glb.is_empty() {
            move_part(&mut self.tail, &mut fragment);
        }
        fragment.into()
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.glb.is_empty() && self.tail.is_empty()
    }
}

/// Moves as much of a part as fits into the fragment.
fn move_part(part: &mut Bytes, fragment: &mut Vec<u8>) {
    let room = FRAGMENT - fragment.len();
    fragment.extend_from_slice(&part.split_to(part.len().min(room)));
}

impl Iterator for Fragments {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let opcode = match self.position {
            Position::Start => self.opcode,
            Position::Middle => Data::Continue,
            Position::End => return None,
        };
        let payload = self.fragment();
        let last = self.is_empty();
        self.position = if last {
            Position::End
        } else {
            Position::Middle
        };
        Some(Frame::message(payload, OpCode::Data(opcode), last))
    }
}

//! Where messages begin and end in the bytes that a client sends.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Longest head of a frame in bytes, as clients send it.
const MAX_HEAD: usize = 14;

/// What bytes of a client are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The head of a frame of a message.
    Head {
        /// Whether the message begins with it.
        begins: bool,
        /// Bytes of the message in this frame.
        bytes: usize,
        /// Whether it is the last frame of the message.
        last: bool,
    },
    /// So many bytes of a message.
    Payload(usize),
    /// A message is complete.
    End,
}

/// Follows the frames in a stream of bytes (RFC 6455, section 5.2).
#[derive(Debug, Default)]
pub struct FrameScan {
    head: Vec<u8>,
    /// Bytes of the current frame that are still to come.
    left: u64,
    /// Whether the current frame is a control frame, which may come in the middle of a message.
    control: bool,
    /// Whether the message ends with the current frame.
    last: bool,
    /// The bytes are no frames. The WebSocket library reports it.
    invalid: bool,
}

impl FrameScan {
    /// Calls `found` for each part of these bytes.
    pub fn scan(&mut self, mut bytes: &[u8], mut found: impl FnMut(Part)) {
        while !bytes.is_empty() && !self.invalid {
            if self.left > 0 {
                let taken = bytes
                    .len()
                    .min(usize::try_from(self.left).unwrap_or(usize::MAX));
                bytes = &bytes[taken..];
                self.left -= taken as u64;
                if !self.control {
                    found(Part::Payload(taken));
                    if self.left == 0 && self.last {
                        found(Part::End);
                    }
                }
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            match FrameHeader::parse(&mut Cursor::new(&self.head)) {
                Ok(None) => self.invalid = self.head.len() >= MAX_HEAD,
                Ok(Some((header, length))) => {
                    self.head.clear();
                    self.begin(&header, length, &mut found);
                }
                Err(_) => self.invalid = true,
            }
        }
    }

    fn begin(&mut self, header: &FrameHeader, length: u64, found: &mut impl FnMut(Part)) {
        self.left = length;
        self.control = matches!(header.opcode, OpCode::Control(_));
        if self.control {
            return;
        }
        self.last = header.is_final;
        found(Part::Head {
            begins: header.opcode != OpCode::Data(Data::Continue),
            bytes: usize::try_from(length).unwrap_or(usize::MAX),
            last: self.last,
        });
        if length == 0 && self.last {
            found(Part::End);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

    use super::*;

    fn bytes(payload: usize, opcode: OpCode, last: bool) -> Vec<u8> {
        let payload = vec![b'x'; payload];
        let mut frame = match opcode {
            OpCode::Data(_) => Frame::message(payload, opcode, last),
            OpCode::Control(_) => Frame::ping(payload),
        };
        frame.header_mut().mask = Some([1, 2, 3, 4]);
        let mut bytes = Vec::new();
        frame.format(&mut bytes).expect("memory is writable");
        bytes
    }

    /// The parts, with the payload added up between the others.
    fn parts(stream: &[u8], step: usize) -> Vec<Part> {
        let mut scan = FrameScan::default();
        let mut found: Vec<Part> = Vec::new();
        for piece in stream.chunks(step) {
            scan.scan(piece, |part| match (part, found.last_mut()) {
                (Part::Payload(more), Some(Part::Payload(sum))) => *sum += more,
                _ => found.push(part),
            });
        }
        found
    }

    #[test]
    fn messages_are_found_however_their_bytes_are_cut() {
        let text = OpCode::Data(Data::Text);
        let more = OpCode::Data(Data::Continue);
        let mut stream = bytes(5, text, true);
        stream.extend(bytes(70_000, OpCode::Data(Data::Binary), false));
        stream.extend(bytes(3, OpCode::Control(Control::Ping), true));
        stream.extend(bytes(0, more, false));
        stream.extend(bytes(200, more, true));
        stream.extend(bytes(0, text, true));
        let head = |begins, bytes, last| Part::Head {
            begins,
            bytes,
            last,
        };
        let expected = [
            head(true, 5, true),
            Part::Payload(5),
            Part::End,
            head(true, 70_000, false),
            Part::Payload(70_000),
            head(false, 0, false),
            head(false, 200, true),
            Part::Payload(200),
            Part::End,
            head(true, 0, true),
            Part::End,
        ];
        for step in [1, 2, 7, 1000, 1 << 20] {
            assert_eq!(parts(&stream, step), expected, "{step} bytes at a time");
        }
    }

    #[test]
    fn what_is_no_frame_ends_the_scan() {
        // Opcode 3 is reserved.
        let mut stream = vec![0x83, 0x80, 0, 0, 0, 0];
        stream.extend(bytes(5, OpCode::Data(Data::Text), true));
        assert_eq!(parts(&stream, 1), []);
    }
}

//! Where messages begin and end in the bytes that a client sends, and the bytes of long messages.
//!
//! The WebSocket library makes room for a whole frame, and a socket keeps that room for its next frames,
//! however long nothing comes. A message of several frames it puts together in a buffer that it copies to
//! one of twice the size whenever it is full. So it gets the payload of neither: they are collected here, in
//! the memory that they need, and the library gets the same frames without payload.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncRead;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::payload::Payload;

/// Longest head of a frame in bytes, as clients send it.
const MAX_HEAD: usize = 14;
/// Longest payload in bytes that the library gets.
const SHORT: u64 = 16 << 10;
/// Least rest of a frame that is read straight to its place: the next frame may come with a shorter one.
const LEAST_PLACE: usize = 16 << 10;
/// Most bytes that are read at a time.
const MOST_PLACE: usize = 256 << 10;

/// What bytes of a client are.
#[derive(Debug)]
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
    /// A message is complete: its payload, if the library has none.
    End(Option<Payload>),
}

/// Follows the frames in a stream of bytes (RFC 6455, section 5.2). What is too large or wrong is left for
/// the library to report.
#[derive(Debug)]
pub struct FrameSplit {
    /// Largest message in bytes.
    limit: usize,
    /// The bytes of a head that is not complete yet.
    head: Vec<u8>,
    kind: Kind,
    /// Bytes of the current frame that are still to come.
    left: u64,
    /// Whether no message is in progress, or its last frame is.
    last: bool,
    /// The payload of the current message so far, if the library does not get it.
    collected: Payload,
    /// Bytes of it that are valid UTF-8, if it is a text.
    text: Option<usize>,
    /// The library refuses what came.
    refused: bool,
}

/// What the library gets of the current frame.
#[derive(Debug)]
enum Kind {
    /// All of it. It is none of a message, and may come between those of one.
    Control,
    /// All of it. It is a message.
    Message,
    /// Its head, when its payload is collected.
    Collected {
        head: FrameHeader,
        /// Bytes of the message before it.
        before: usize,
    },
}

impl FrameSplit {
    /// For messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            head: Vec::new(),
            kind: Kind::Control,
            left: 0,
            last: true,
            collected: Payload::default(),
            text: None,
            refused: false,
        }
    }

    /// Appends to `out` what the library gets of these bytes. Calls `found` for each part of them as the
    /// client sent them. The bytes of a head are held back until it is complete.
    pub fn split(&mut self, mut bytes: &[u8], out: &mut Vec<u8>, mut found: impl FnMut(Part)) {
        while !bytes.is_empty() && !self.refused {
            if self.left == 0 {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                self.begin(out, &mut found);
            } else {
                let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                let (payload, rest) = bytes.split_at(bytes.len().min(left));
                bytes = rest;
                self.add(payload, out, &mut found);
            }
        }
        out.extend_from_slice(bytes);
    }

    /// Reads bytes straight to their place, at most `most`, if they are payload that is collected and long.
    /// Call [`Self::placed`] with what it returns.
    pub fn poll_place<R: AsyncRead>(
        &mut self,
        context: &mut Context<'_>,
        reader: Pin<&mut R>,
        most: usize,
    ) -> Option<Poll<io::Result<usize>>> {
        let Kind::Collected { .. } = self.kind else {
            return None;
        };
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(left).min(MOST_PLACE).min(self.collected.room());
        if self.refused || left < LEAST_PLACE || most == 0 {
            return None;
        }
        Some(self.collected.poll_read(context, reader, most))
    }

    /// The same as [`Self::split`] with so many bytes that were read to their place.
    pub fn placed(&mut self, bytes: usize, out: &mut Vec<u8>, mut found: impl FnMut(Part)) {
        if bytes > 0 {
            self.unmask_last(bytes);
            self.added(bytes, out, &mut found);
        }
    }

    /// Begins a frame if its head is complete.
    fn begin(&mut self, out: &mut Vec<u8>, found: &mut impl FnMut(Part)) {
        let (head, length) = match FrameHeader::parse(&mut Cursor::new(&self.head)) {
            Ok(Some(head)) => head,
            Ok(None) if self.head.len() < MAX_HEAD => return,
            Ok(None) | Err(_) => {
                self.refused = true;
                out.append(&mut self.head);
                return;
            }
        };
        self.left = length;
        if matches!(head.opcode, OpCode::Control(_)) {
            self.kind = Kind::Control;
            out.append(&mut self.head);
            return;
        }
        let begins = head.opcode != OpCode::Data(Data::Continue);
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        found(Part::Head {
            begins,
            bytes,
            last: head.is_final,
        });
        if begins && self.last && head.is_final && length <= SHORT {
            self.kind = Kind::Message;
            out.append(&mut self.head);
        } else {
            self.head.clear();
            self.collect(head, bytes, begins, out);
        }
        if length == 0 && !self.refused {
            self.end(out, found);
        }
    }

    /// Begins to collect a frame, or lets the library refuse it before its payload comes.
    fn collect(&mut self, head: FrameHeader, bytes: usize, begins: bool, out: &mut Vec<u8>) {
        let before = self.collected.as_ref().len();
        let is_wrong = begins != self.last || !is_good(&head);
        if is_wrong || bytes > self.limit.saturating_sub(before) {
            self.refused = true;
            let bytes = if is_wrong { 0 } else { self.limit as u64 + 1 };
            write_head(&head, bytes, out);
            return;
        }
        if begins {
            self.text = (head.opcode == OpCode::Data(Data::Text)).then_some(0);
        }
        self.last = head.is_final;
        let most = if self.last { 0 } else { self.limit };
        self.collected.reserve(bytes, most);
        self.kind = Kind::Collected { head, before };
    }

    /// Adds payload to the current frame.
    fn add(&mut self, payload: &[u8], out: &mut Vec<u8>, found: &mut impl FnMut(Part)) {
        match &self.kind {
            Kind::Control | Kind::Message => out.extend_from_slice(payload),
            Kind::Collected { .. } => {
                self.collected.push(payload);
                self.unmask_last(payload.len());
            }
        }
        self.added(payload.len(), out, found);
    }

    /// Undoes the mask of the last so many bytes that are collected.
    fn unmask_last(&mut self, bytes: usize) {
        if let Kind::Collected { head, before } = &self.kind {
            let mask = head.mask.unwrap_or_default();
            let collected = self.collected.as_mut();
            let start = collected.len() - bytes;
            unmask(&mut collected[start..], mask, start - before);
        }
    }

    /// So many bytes of payload were added to the current frame.
    fn added(&mut self, bytes: usize, out: &mut Vec<u8>, found: &mut impl FnMut(Part)) {
        self.left -= bytes as u64;
        if !self.is_text_valid() {
            self.refuse_text(out);
            return;
        }
        if !matches!(self.kind, Kind::Control) {
            found(Part::Payload(bytes));
        }
        if self.left == 0 {
            self.end(out, found);
        }
    }

    /// Whether no byte so far makes a text invalid; a character may be incomplete.
    fn is_text_valid(&mut self) -> bool {
        let (Kind::Collected { .. }, Some(valid)) = (&self.kind, &mut self.text) else {
            return true;
        };
        let rest = self.collected.as_ref().get(*valid..).unwrap_or_default();
        match str::from_utf8(rest) {
            Ok(text) => {
                *valid += text.len();
                true
            }
            Err(error) => {
                *valid += error.valid_up_to();
                error.error_len().is_none()
            }
        }
    }

    /// Lets the library refuse the text, without waiting for its end.
    fn refuse_text(&mut self, out: &mut Vec<u8>) {
        const INVALID: u8 = 0xff;
        if let Kind::Collected { head, .. } = &self.kind {
            write_head(head, 1, out);
            let [mask, ..] = head.mask.unwrap_or_default();
            out.push(INVALID ^ mask);
        }
        self.refused = true;
    }

    fn end(&mut self, out: &mut Vec<u8>, found: &mut impl FnMut(Part)) {
        match &self.kind {
            Kind::Control => {}
            Kind::Message => found(Part::End(None)),
            Kind::Collected { head, .. } => {
                write_head(head, 0, out);
                if self.last {
                    found(Part::End(Some(std::mem::take(&mut self.collected))));
                }
            }
        }
    }
}

/// Undoes the mask of bytes that are at this place of their frame (RFC 6455, section 5.3).
fn unmask(bytes: &mut [u8], mut mask: [u8; 4], place: usize) {
    mask.rotate_left(place % 4);
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// Whether a frame of a message may have this head.
fn is_good(head: &FrameHeader) -> bool {
    let is_known = !matches!(head.opcode, OpCode::Data(Data::Reserved(_)));
    is_known && head.mask.is_some() && !(head.rsv1 || head.rsv2 || head.rsv3)
}

fn write_head(head: &FrameHeader, length: u64, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    _ = head.format(length, out);
}

#[cfg(test)]
pub mod tests;

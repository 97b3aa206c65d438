//! Cuts a message into WebSocket frames.
//!
//! A point cloud can be hundreds of megabytes as base64. Its message is cut into fragments that
//! are made only when the socket takes them, and ping and pong frames can be sent in between. The GLB
//! stays on disk, and is read piece by piece: a result costs a few fragments of memory while it is sent,
//! and nothing while it waits.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pointstream_actors::{BlobView, Pieces};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Payload of one frame in bytes; a multiple of 4, so that base64 fills it.
pub const FRAGMENT: usize = 64 << 10;

/// One message, whose frames are made one after another.
#[derive(Debug)]
pub struct Fragments {
    opcode: Data,
    /// Text before the GLB, or the header of a binary message.
    head: Bytes,
    glb: Glb,
    /// Text after the GLB.
    tail: Bytes,
    position: Position,
}

/// The GLB of a message.
#[derive(Debug)]
enum Glb {
    None,
    /// None of it has been read.
    Whole(BlobView),
    Rest(Pieces),
}

impl Glb {
    fn is_empty(&self) -> bool {
        match self {
            Self::None => true,
            Self::Whole(view) => view.is_empty(),
            Self::Rest(pieces) => pieces.is_empty(),
        }
    }
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
        Self::new(Data::Text, json.into(), Glb::None, Bytes::new())
    }

    /// A text message with a GLB as base64 between two parts of its text.
    pub fn text_with_glb(head: Bytes, glb: BlobView, tail: Bytes) -> Self {
        Self::new(Data::Text, head, Glb::Whole(glb), tail)
    }

    /// A binary message: a header, with all that belongs around it, and a GLB.
    pub fn binary(header: Bytes, glb: BlobView) -> Self {
        Self::new(Data::Binary, header, Glb::Whole(glb), Bytes::new())
    }

    fn new(opcode: Data, head: Bytes, glb: Glb, tail: Bytes) -> Self {
        Self {
            opcode,
            head,
            glb,
            tail,
            position: Position::Start,
        }
    }

    /// Fails if the GLB cannot be read any more. Afterwards it may still change.
    ///
    /// # Errors
    /// As [`BlobView::check`].
    pub async fn check(&self) -> io::Result<()> {
        match &self.glb {
            Glb::Whole(view) => view.check().await,
            Glb::None | Glb::Rest(_) => Ok(()),
        }
    }

    /// The next frame; `None` after the last one.
    ///
    /// # Errors
    /// If the GLB cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        let opcode = match self.position {
            Position::Start => self.opcode,
            Position::Middle => Data::Continue,
            Position::End => return Ok(None),
        };
        let payload = self.fragment().await?;
        let last = self.head.is_empty() && self.glb.is_empty() && self.tail.is_empty();
        self.position = if last {
            Position::End
        } else {
            Position::Middle
        };
        Ok(Some(Frame::message(payload, OpCode::Data(opcode), last)))
    }

    /// The next fragment of the head, the GLB or the tail.
    ///
    /// A fragment may end inside a character, as RFC 6455 allows.
    async fn fragment(&mut self) -> io::Result<Bytes> {
        if !self.head.is_empty() {
            return Ok(self.head.split_to(self.head.len().min(FRAGMENT)));
        }
        if let Some(piece) = self.piece().await? {
            return Ok(match self.opcode {
                Data::Binary => piece,
                _ => STANDARD.encode(piece).into(),
            });
        }
        Ok(self.tail.split_to(self.tail.len().min(FRAGMENT)))
    }

    /// The next piece of the GLB: as much as fits into a fragment.
    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let size = match self.opcode {
            Data::Binary => FRAGMENT,
            // A multiple of 3 bytes, so that only the last part is padded.
            _ => FRAGMENT / 4 * 3,
        };
        if let Glb::Whole(view) = &self.glb {
            self.glb = Glb::Rest(view.clone().into_pieces(size));
        }
        match &mut self.glb {
            Glb::Rest(pieces) => pieces.next().await,
            Glb::None | Glb::Whole(_) => Ok(None),
        }
    }
}

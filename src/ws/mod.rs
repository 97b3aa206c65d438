//! The WebSocket of a session: messages in, events out.

mod asyncapi;
mod binary;
mod close;
mod field;
mod fragments;
mod handshake;
mod image_data;
mod incoming;
pub mod outgoing;
mod reader;
mod receive_memory;
mod socket;
mod writer;

pub use asyncapi::document;
pub use handshake::{__path_accept, SocketRequest, accept};

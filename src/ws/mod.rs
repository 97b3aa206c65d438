//! The WebSocket: messages in, events out.

mod asyncapi;
mod binary;
mod close;
mod fields;
mod frames;
mod handshake;
mod image_data;
mod intake;
mod protocol;
mod schemas;
mod socket;

pub use asyncapi::document;
pub use handshake::{__path_accept, SocketRequest, accept};

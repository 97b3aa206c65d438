//! The WebSocket: messages in, events out.

mod binary;
mod close;
mod connection;
mod fields;
mod frames;
mod handshake;
mod image_data;
mod intake;
mod protocol;

pub use handshake::{Handshake, accept};

//! The WebSocket: messages in, events out.

mod close;
mod connection;
mod frames;
mod handshake;
mod protocol;

pub use handshake::{Handshake, accept};

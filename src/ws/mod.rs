//! The WebSocket: messages in, events out.

mod asyncapi;
mod binary;
mod close;
mod connection;
mod fields;
mod frames;
mod handshake;
mod image_data;
mod intake;
mod protocol;
mod schemas;

pub use asyncapi::document;
pub use handshake::{Handshake, accept};

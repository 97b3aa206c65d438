//! The WebSocket of a session: messages in, events out.

mod admission;
mod asyncapi;
mod binary;
mod close;
mod deliveries;
mod field;
mod fragments;
mod frame_split;
#[cfg(test)]
mod fuzz;
mod handshake;
mod image_data;
mod incoming;
mod notes;
pub mod outgoing;
mod pings;
mod presence;
mod reader;
mod receive_memory;
mod socket;
mod writer;

pub use asyncapi::document;
pub use handshake::{__path_accept, SocketRequest, accept};
pub use presence::Presences;

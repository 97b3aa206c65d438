//! Requests, query parameters and errors, shared by REST and the WebSocket.

mod client_slot;
mod error;
#[cfg(test)]
mod fuzz;
pub mod headers;
mod query;
mod receive_time;
mod request;
pub mod schemas;

pub use client_slot::ClientSlot;
pub use error::{ApiError, ErrorBody, SESSION_NOT_FOUND};
pub use query::{Query, SESSION_PARAMETERS, STRICT};
pub use receive_time::{LEAST_SPEED, memory_wait, receive_time};
pub use request::Request;

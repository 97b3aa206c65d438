//! Requests, query parameters and errors, shared by REST and the WebSocket.

mod client_slot;
mod error;
pub mod headers;
mod query;
mod request;
pub mod schemas;

pub use client_slot::ClientSlot;
pub use error::{ApiError, ErrorBody, SESSION_NOT_FOUND};
pub use query::Query;
pub use request::Request;

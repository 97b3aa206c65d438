//! Requests, query parameters and errors, shared by REST and the WebSocket.

mod client_slot;
mod error;
mod query;
mod request;
pub mod schemas;
mod word_list;

pub use client_slot::ClientSlot;
pub use error::{ApiError, ErrorBody};
pub use query::Query;
pub use request::Request;
pub use word_list::word_list;

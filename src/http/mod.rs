//! The service over HTTP: the network server, routes and their handlers.

mod connection;
mod docs;
mod download;
#[cfg(test)]
mod fuzz;
mod images;
mod multipart;
mod openapi;
mod operators;
mod pages;
mod reconstruct;
mod refused_body;
mod request_body;
mod resource;
mod results;
mod routes;
mod sample;
mod scene_page;
mod server;
mod session_replies;
mod sessions;
mod stall;
mod stats;
mod templates;
mod time;
mod videos;
mod webhooks;

pub use routes::Door;
pub use server::Server;
pub use templates::template_of;

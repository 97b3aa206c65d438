//! The service over HTTP: the network server, routes and their handlers.

mod docs;
mod download;
mod images;
mod multipart;
mod openapi;
mod operators;
mod pages;
mod reconstruct;
mod resource;
mod results;
mod routes;
mod server;
mod sessions;
mod stats;
mod templates;
mod time;

pub use server::Server;

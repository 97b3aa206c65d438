//! Who may do what: tokens, scopes, owners of sessions, and the audit log.

mod audit;
mod commands;
mod exposure;
mod jwt;
mod lifetime;
mod owners;
mod routes;
mod sockets;
mod watching;

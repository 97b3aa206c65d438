//! End-to-end tests: they start the real program and connect over real sockets, with another
//! WebSocket library than the service.
//!
//! Protocol tests use synthetic models that are quick, slow or faulty on purpose. The workflow
//! tests run the embedded model on the sample scene.

mod support;

mod aligned;
mod asyncapi;
mod auth;
mod binary;
mod cancel;
mod command;
mod cutouts;
mod data_commands;
mod degenerate;
mod delivery;
mod disks;
mod downloads;
mod drain;
mod error_codes;
mod errors;
mod example_client;
mod fetch;
mod formats;
mod framing;
mod hints;
mod hosts;
mod http2;
mod ids;
mod images;
mod intake;
mod known_cameras;
mod limits;
mod map;
mod map_adjusted;
mod map_append;
mod map_formats;
mod map_stream;
mod memory;
mod memory_limits;
mod metrics;
mod models;
mod names;
mod one_shot;
mod open_files;
mod openapi;
mod origins;
mod out_of_reach;
mod pings;
mod places;
mod point_options;
mod prefix;
mod progress;
mod proxies;
mod quality;
mod rates;
mod requests;
mod rerun;
mod rest;
mod restarts;
mod result_file_turns;
mod resume;
mod reverse_proxies;
mod scripts;
mod sessions;
mod slow_reader;
mod startup;
mod strictness;
mod timeouts;
mod tls;
mod truncated;
mod turns;
mod webhooks;
mod windows;
mod workers;
mod workflows;

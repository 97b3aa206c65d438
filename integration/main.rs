//! End-to-end tests: they start the real program and connect over real sockets, with another
//! WebSocket library than the service.
//!
//! Protocol tests use synthetic models that are quick, slow or faulty on purpose. The workflow
//! tests run the embedded model on the sample scene.

mod support;

mod aligned;
mod asyncapi;
mod binary;
mod command;
mod downloads;
mod drain;
mod errors;
mod example_client;
mod fetch;
mod formats;
mod hints;
mod ids;
mod images;
mod intake;
mod known_cameras;
mod limits;
mod map;
mod map_formats;
mod memory;
mod metrics;
mod models;
mod names;
mod one_shot;
mod openapi;
mod origins;
mod out_of_reach;
mod point_options;
mod progress;
mod quality;
mod requests;
mod rest;
mod result_file_turns;
mod resume;
mod scripts;
mod sessions;
mod slow_reader;
mod startup;
mod timeouts;
mod workers;
mod workflows;

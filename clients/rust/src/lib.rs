//! Client of [pointstream](https://github.com/pointstream/pointstream), which turns photos into a 3D
//! point cloud while they are sent.
//!
//! ```no_run
//! use pointstream_client::{Client, Error, Parameters};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::new("http://127.0.0.1:8000")?;
//! let parameters = Parameters { process_res: Some(336), ..Parameters::default() };
//! let session = client.create(parameters).await?;
//! for pair in [["a.jpg", "b.jpg"], ["c.jpg", "d.jpg"]] {
//!     for answer in session.upload_many(pair.map(std::path::Path::new)).await? {
//!         println!("{} is stored", answer?.image_path);
//!     }
//!     let update = session.generate().await?;
//!     println!("{} points, {}", session.cloud().len(), update.quality()?.verdict);
//! }
//! session.finalize().await?;
//! session.download("scene.ply", None).await?;
//! session.delete().await
//! # }
//! ```
//!
//! It needs a runtime of tokio, and no PyTorch: the server computes. A lost connection is restored by
//! itself; images in flight are then not lost. [`reconstruct`] does all of this for
//! photos that are there already.
//!
//! The README has more, and docs/protocol.md of pointstream describes the protocol.

// The examples of the README are compiled, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod answers;
mod attach;
mod camera;
mod client;
mod cloud;
mod connection;
mod engine;
mod error;
mod event;
mod events;
mod format;
mod glb;
mod image;
mod info;
mod lock;
mod matrix;
mod outbox;
mod parameters;
mod poses;
mod pulse;
mod reconstruct;
mod recovery;
mod refusal;
mod remote;
mod rest;
mod retry;
mod serve;
mod session;
#[cfg(test)]
mod tiny_glb;
mod transport;
mod upload;
pub mod webhooks;
mod wire;

pub use bytes::Bytes;
pub use hyper::HeaderMap;
pub use tokio_rustls::rustls;

pub use crate::attach::Attach;
pub use crate::camera::Camera;
pub use crate::client::{Client, ClientOptions};
pub use crate::cloud::{Chunk, Cloud};
pub use crate::error::Error;
pub use crate::event::{Ack, Event, Poses, Progress, Quality, Scene, SceneKind};
pub use crate::events::Events;
pub use crate::format::Format;
pub use crate::image::{Image, KnownCamera};
pub use crate::info::{Info, Sessions};
pub use crate::matrix::{Matrix3, Matrix4};
pub use crate::parameters::{
    Deltas, FinalizeMode, GlbCompression, Parameters, ResizeMethod, SessionOptions, SocketOptions,
    Webhook,
};
pub use crate::poses::FramePose;
pub use crate::reconstruct::{OnEvent, ReconstructOptions, Reconstruction, reconstruct};
pub use crate::refusal::Refusal;
pub use crate::remote::{SessionState, StoredImage};
pub use crate::retry::Retry;
pub use crate::session::Session;
pub use crate::upload::Upload;

/// The version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of the protocol that this crate speaks. A server with the same first number
/// understands it.
pub const PROTOCOL_VERSION: &str = "1.0.0";

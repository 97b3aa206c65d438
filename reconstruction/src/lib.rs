//! Pure computation of pointstream: images in, point clouds out.
//!
//! This crate has no actors, no HTTP and no libtorch. The path of a reconstruction:
//!
//! 1. [`image`] decodes the bytes of a photo and resizes the pixels to what the model takes;
//! 2. [`model`] defines the interface of a model and its metadata; the crate
//!    `pointstream-inference` implements it, and the result is a [`prediction`];
//! 3. [`cloud`] unprojects confident pixels, aligns them with the session's world and samples them;
//!    a [`map`] does that for a stream of frames, a few at a time; [`anchors`] bring either into the
//!    world of cameras that the client knows;
//! 4. [`quality`] says whether the result can be relied on, and removes what is impossible;
//! 5. [`surface`] makes triangles of depth maps;
//! 6. [`formats`] writes files: GLB, PLY, COLMAP, NPZ, nerfstudio and others.
//!
//! A *frame* is an image of a reconstruction. A coordinate system is called a *world* or
//! *coordinates*.

#![warn(clippy::unwrap_used)]

pub mod anchors;
pub mod cloud;
pub mod formats;
pub mod geometry;
pub mod image;
pub mod map;
pub mod model;
pub mod prediction;
pub mod quality;
pub mod stored;
pub mod surface;
mod word_list;

pub use word_list::word_list;

//! Pure computation of pointstream: images in, point clouds out.
//!
//! No actors and no HTTP here. The path of a reconstruction:
//!
//! 1. [`image`]: bytes are decoded and resized to what the model takes;
//! 2. [`model`]: what a model is and says about itself; the crate `pointstream-inference` runs it;
//! 3. [`cloud`]: confident pixels are unprojected, aligned with the session's world and sampled;
//! 4. [`formats`]: the cloud is written as GLB.

pub mod cloud;
pub mod formats;
pub mod geometry;
pub mod image;
pub mod model;
pub mod prediction;

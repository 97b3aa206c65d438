//! Files made of a scene.

pub mod glb;

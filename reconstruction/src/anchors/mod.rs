//! Cameras that clients know, as anchors of results.
//!
//! A model that takes known cameras is given them if all are known. For all other results they say where
//! the result lies in the client's world: a [`WorldFit`] brings it there, and a [report](AnchorReport)
//! says how well the cameras agree. Known cameras are noisy, some may be plainly wrong, and their world
//! may follow another convention; so a fit is made of what most of them agree about, or refused.

mod fit;
mod pair;
mod report;
mod world;

pub use fit::{Misfit, WorldFit};
pub use pair::AnchorPair;
pub(crate) use pair::reach;
pub use report::AnchorReport;
pub use world::{KnownWorld, adopt_known_world};

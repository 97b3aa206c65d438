//! Chooses the model: the embedded one, an archive that the operator names, or one of the store.

mod commands;
mod error;
mod fetch;
mod files;
#[cfg(test)]
mod fuzz;
mod licenses;
mod lock;
mod options;
mod record;
mod registry;
mod resolve;
mod store;
mod tools;

pub use commands::{ModelsOptions, run};
pub use error::ModelsError;
pub use fetch::{FetchRequest, needs_tools};
pub use options::{ModelOptions, StoreOptions};
pub use resolve::resolve;

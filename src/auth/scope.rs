//! What a caller may do.

use std::collections::BTreeSet;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use strum::{Display, VariantArray};

/// A part of the service that a token gives access to.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Display,
    VariantArray,
    ValueEnum,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Scope {
    /// Create sessions.
    Create,
    /// Use the sessions that were created under the caller's name.
    Use,
    /// See the sessions that were created under the caller's name, without changing them.
    Watch,
    /// Use the routes of operators; list, show and delete all sessions.
    Operate,
}

/// The scopes of a caller.
pub type Scopes = BTreeSet<Scope>;

/// All scopes.
pub fn all() -> Scopes {
    Scope::VARIANTS.iter().copied().collect()
}

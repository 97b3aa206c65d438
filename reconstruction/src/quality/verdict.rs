//! The verdict on a result.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

/// The verdict on a result.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Display,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Verdict {
    /// All images contribute, and nothing speaks against the result.
    Good,
    /// There are points, but images are missing or doubtful, or much is uncertain.
    Partial,
    /// There is no point cloud.
    Failed,
}

impl Verdict {
    /// The name in the protocol.
    pub fn wire_name(self) -> &'static str {
        self.into()
    }
}

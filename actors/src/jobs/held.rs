//! Memory that stays promised after a job.

use std::any::Any;
use std::sync::Arc;

/// What a dispatcher has promised for that which is made of a job's result on this machine. Given back when
/// the last clone is dropped. Nothing if the job ran on another machine: it is no part of the job's data.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// Only dropped.
    _promise: Option<Arc<dyn Any + Send + Sync>>,
}

impl Held {
    pub fn new(promise: impl Any + Send + Sync) -> Self {
        Self {
            _promise: Some(Arc::new(promise)),
        }
    }
}

/// Events are compared by what they say.
impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

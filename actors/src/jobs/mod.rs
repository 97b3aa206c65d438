//! Jobs of the model as data, and the interface that runs them.
//!
//! A [`JobSpec`] describes a computation by the keys of blobs; [`JobEvent`]s report its progress
//! and its end. Both can be sent over a network. A [`Dispatcher`] accepts specs; the only
//! implementation is the local pool of workers ([`crate::pool`]).

#[cfg(test)]
pub(crate) mod contract;
mod dispatcher;
mod event;
mod failure;
mod handle;
mod held;
mod spec;

pub use dispatcher::{CloudTooLarge, ComparisonTooLarge, HoldFailed, MeshTooLarge};
pub(crate) use dispatcher::{Dispatcher, DispatcherStatus, Holding};
pub(crate) use event::{JobDone, JobEvent, JobProgress, JobTimings};
pub(crate) use failure::JobFailure;
pub(crate) use handle::{JobHandle, JobReporter, JobSender};
pub(crate) use held::Held;
pub(crate) use spec::{Client, JobFrame, JobKind, JobPriority, JobSpec, LinkedRun};

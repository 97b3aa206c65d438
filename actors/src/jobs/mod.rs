//! Jobs of the model as data, and who does them.
//!
//! A [`JobSpec`] says what to compute, by the keys of blobs; [`JobEvent`]s say how far it is and
//! how it ends. Both can cross a network. A [`Dispatcher`] takes specs; today's is the local pool
//! of workers ([`crate::pool`]).

#[cfg(test)]
pub(crate) mod contract;
mod dispatcher;
mod event;
mod failure;
mod handle;
mod spec;

pub(crate) use dispatcher::{Dispatcher, DispatcherStatus};
pub(crate) use event::{JobDone, JobEvent, JobProgress, JobTimings};
pub(crate) use failure::JobFailure;
pub(crate) use handle::{JobHandle, JobReporter, JobSender};
pub(crate) use spec::{JobFrame, JobKind, JobSpec};

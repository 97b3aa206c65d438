//! Journals of sessions: each has the records of one session, from which a later process restores its ledger.
//! They are files of the data directory, or shared with other servers.
//!
//! A journal belongs to its session alone, so a damaged one costs no other session anything.

mod answered;
mod error;
mod file;
mod folder;
mod journals;
mod place;
mod told;
mod writer;

pub(crate) use answered::{Answered, request as request_of};
pub(crate) use error::JournalError;
pub use file::Durability;
#[cfg(test)]
pub(crate) use file::JournalFile;
pub(crate) use file::{Recorded, Records};
pub(crate) use folder::JOURNAL;
pub(crate) use journals::Journals;
pub(crate) use place::{JournalPlace, OpenJournal};
pub(crate) use told::Told;
pub(crate) use writer::Journal;

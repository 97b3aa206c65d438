//! Journals of sessions: each is a file with the records of one session, from which a later process
//! restores its ledger.
//!
//! A journal belongs to its session alone, so a damaged one costs no other session anything.

mod answered;
mod error;
mod file;
mod folder;
mod told;
mod writer;

pub(crate) use error::JournalError;
pub use file::Durability;
pub(crate) use file::{JournalFile, Recorded, Records};
pub(crate) use folder::{JOURNAL, Journals};
pub(crate) use told::Told;
pub(crate) use writer::Journal;

//! Fuzzing as ordinary tests: properties of parsers, tried with many inputs.
//!
//! A test gives a property and where its inputs come from. `cargo test` tries each for a moment: the inputs of
//! its corpus, those in `corpus/`, and random changes of both. `make fuzz` tries each for as long as is asked for,
//! guided by the code that inputs reach (`--cfg fuzzing`).
//!
//! An input that breaks a property is written to a file, whose path is printed. Once the parser is
//! repaired, the file belongs into `corpus/`: all of a corpus is tried first in every run.

mod corpus;
#[cfg(fuzzing)]
mod guided;
#[cfg(any(test, not(fuzzing)))]
mod mutate;
#[cfg(any(test, not(fuzzing)))]
mod run;

pub use arbtest::arbitrary::{self, Unstructured};

pub use corpus::Corpus;
#[cfg(fuzzing)]
pub use guided::{fuzz, fuzz_values};
#[cfg(not(fuzzing))]
pub use run::{fuzz, fuzz_values};

//! Fuzzing as ordinary tests: properties of parsers, tried with many inputs.
//!
//! A test gives a property and where its inputs come from. `cargo test` tries each for a moment, `make fuzz`
//! for as long as is asked for. Inputs are random, so two runs try different ones.
//!
//! An input that breaks a property is written to a file, whose path is printed. Once the parser is
//! repaired, the file belongs into the corpus: all of a corpus is tried first in every run.

mod corpus;
mod mutate;
mod run;

pub use arbtest::arbitrary::{self, Unstructured};

pub use corpus::Corpus;
pub use run::{fuzz, fuzz_values};

//! Runs that are guided by the code that inputs reach, with the engine libFuzzer of bolero. They go on until the
//! engine ends the process.
//!
//! `scripts/fuzz.sh` starts each in a process of its own, with a folder for it and the arguments of the engine.

use std::fmt::{Debug, Write as _};
use std::fs;
use std::ops::RangeInclusive;
use std::panic::RefUnwindSafe;
use std::path::{Path, PathBuf};

use arbtest::arbitrary::{Result, Unstructured};

use crate::corpus::Corpus;

/// The environment variable with the folder of the run.
const FOLDER: &str = "POINTSTREAM_FUZZ_FOLDER";

/// Lengths of the words that the engine takes, in bytes.
const LENGTHS: RangeInclusive<usize> = 1..=64;

/// Tries a property with the inputs of a corpus, and with what the engine makes of them.
///
/// # Panics
/// Without a folder for the run.
pub fn fuzz(name: &str, corpus: &Corpus, property: impl FnMut(&[u8])) {
    lay_out(name, corpus);
    let mut property = Property(property);
    bolero::check!().for_each(|input: &[u8]| property.holds_for(input));
}

/// Tries a property with values that are made from the bytes of the engine.
///
/// # Panics
/// Without a folder for the run.
pub fn fuzz_values<T: Debug>(
    name: &str,
    make: impl Fn(&mut Unstructured<'_>) -> Result<T>,
    mut property: impl FnMut(&T),
) {
    fuzz(name, &Corpus::default(), |input| {
        if let Ok(value) = make(&mut Unstructured::new(input)) {
            property(&value);
        }
    });
}

/// A property. A run ends with its first panic, so nobody sees what it leaves behind.
struct Property<F>(F);

impl<F> RefUnwindSafe for Property<F> {}

impl<F: FnMut(&[u8])> Property<F> {
    fn holds_for(&mut self, input: &[u8]) {
        (self.0)(input);
    }
}

/// Writes what the engine and the script need to know: the inputs, the words, and where further inputs
/// belong.
fn lay_out(name: &str, corpus: &Corpus) {
    let folder = std::env::var_os(FOLDER);
    let folder = PathBuf::from(folder.unwrap_or_else(|| panic!("{FOLDER} names no folder")));
    let write = |path: &Path, content: &[u8]| {
        fs::write(path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    };
    let inputs = corpus.inputs.iter().cloned().chain(Corpus::found(name));
    for (index, input) in inputs.enumerate() {
        write(&folder.join("inputs").join(index.to_string()), &input);
    }
    // The engine takes no empty file.
    let mut words = "# words\n".to_owned();
    let words_of_engine = corpus
        .words
        .iter()
        .filter(|word| LENGTHS.contains(&word.len()));
    for word in words_of_engine {
        words.push('"');
        for byte in word {
            write!(words, "\\x{byte:02x}").expect("memory is writable");
        }
        words.push_str("\"\n");
    }
    write(&folder.join("words"), words.as_bytes());
    let kept = Corpus::folder_of(name);
    let kept = kept.to_str().expect("a path without odd characters");
    write(&folder.join("corpus"), kept.as_bytes());
}

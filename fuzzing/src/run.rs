//! Runs of properties.

use std::cell::RefCell;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;

use crate::corpus::Corpus;
use crate::mutate::mutated;

/// Bytes from which an input is made.
const RANDOM_BYTES: u32 = 4096;

/// Tries a property with the inputs of a corpus, with all that they begin with if they are short, with those
/// that earlier runs have found, and with mutations of all until the time is over. `ARBTEST_BUDGET_MS` sets the time; 100 ms without it.
///
/// # Panics
/// If the property does. The input is then in a file.
pub fn fuzz(name: &str, corpus: &Corpus, mut property: impl FnMut(&[u8])) {
    let count = Count::new(name);
    let found = Corpus::found(name);
    let mut attempt = |input: &[u8]| {
        let _kept = Kept { name, input };
        count.timed(|| property(input));
    };
    for input in &corpus.inputs {
        attempt(input);
        if input.len() <= 300 {
            (0..input.len()).for_each(|end| attempt(&input[..end]));
        }
    }
    found.iter().for_each(|input| attempt(input));
    let corpus = corpus.clone().and(found);
    arbtest(|random| {
        attempt(&mutated(&corpus, random)?);
        Ok(())
    })
    .size_max(RANDOM_BYTES)
    .run();
    count.say();
}

/// Tries a property with values that are made from random bytes, until the time is over.
///
/// # Panics
/// If the property does. The value and the seed that makes it again are then printed.
pub fn fuzz_values<T: Debug>(
    name: &str,
    make: impl Fn(&mut Unstructured<'_>) -> Result<T>,
    mut property: impl FnMut(&T),
) {
    let count = Count::new(name);
    for bytes in Corpus::found(name) {
        if let Ok(value) = make(&mut Unstructured::new(&bytes)) {
            let value = Shown(value);
            count.timed(|| property(&value.0));
        }
    }
    arbtest(|random| {
        let value = Shown(make(random)?);
        count.timed(|| property(&value.0));
        Ok(())
    })
    .size_max(RANDOM_BYTES)
    .run();
    count.say();
}

/// How often a property was tried, and how long it took.
struct Count {
    name: String,
    began: Instant,
    tried: RefCell<(u64, Duration)>,
}

impl Count {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            began: Instant::now(),
            tried: RefCell::default(),
        }
    }

    fn timed(&self, work: impl FnOnce()) {
        let began = Instant::now();
        work();
        let mut tried = self.tried.borrow_mut();
        tried.0 += 1;
        tried.1 = tried.1.max(began.elapsed());
    }

    fn say(&self) {
        let (count, slowest) = *self.tried.borrow();
        let seconds = self.began.elapsed().as_secs_f64();
        println!(
            "fuzzed {}: {count} executions in {seconds:.1} s, the slowest took {:.1} ms",
            self.name,
            slowest.as_secs_f64() * 1000.0
        );
    }
}

/// An input that is written to a file if the property panics.
struct Kept<'a> {
    name: &'a str,
    input: &'a [u8],
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let path = PathBuf::from(format!(
            "{}/pointstream-fuzz-{}-{}",
            std::env::temp_dir().display(),
            self.name.replace(' ', "-"),
            std::process::id()
        ));
        match std::fs::write(&path, self.input) {
            Ok(()) => eprintln!("{} failed with the input in {}", self.name, path.display()),
            Err(error) => eprintln!("{} failed; its input is lost: {error}", self.name),
        }
    }
}

/// A value that is printed if the property panics.
struct Shown<T: Debug>(T);

impl<T: Debug> Drop for Shown<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the value was {:?}", self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_property_that_fails_fails_the_run() {
        let corpus = Corpus::of(["good input"]);
        let run = |broken: &'static [u8]| {
            catch_unwind(AssertUnwindSafe(|| {
                fuzz("self-test", &corpus, |input| assert_ne!(input, broken));
            }))
        };
        assert!(run(b"never").is_ok());
        // What the corpus has is tried, and what it begins with.
        assert!(run(b"good input").is_err());
        assert!(run(b"good i").is_err());
        let path =
            std::env::temp_dir().join(format!("pointstream-fuzz-self-test-{}", std::process::id()));
        assert_eq!(std::fs::read(&path).expect("the input is kept"), b"good i");
        std::fs::remove_file(path).expect("there");
    }

    #[test]
    fn mutations_find_what_is_one_byte_away() {
        let corpus = Corpus::of(["good input"]);
        let found = catch_unwind(AssertUnwindSafe(|| {
            fuzz("self-test-near", &corpus, |input| {
                assert!(input.len() < 10 || input.starts_with(b"go"));
            });
        }));
        assert!(found.is_err());
        let path = std::env::temp_dir().join(format!(
            "pointstream-fuzz-self-test-near-{}",
            std::process::id()
        ));
        std::fs::remove_file(path).expect("the input is kept");
    }
}

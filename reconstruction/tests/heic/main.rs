//! HEIC files: those that `golden/make_heic.py` has made, and those that attack.

#[path = "../fuzz/counting.rs"]
mod counting;

mod attacks;
mod container;
mod photos;

use std::path::Path;

/// A file that `make_heic.py` has made.
fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/heic");
    let path = folder.join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn position(bytes: &[u8], pattern: &[u8]) -> usize {
    bytes
        .windows(pattern.len())
        .position(|window| window == pattern)
        .unwrap()
}

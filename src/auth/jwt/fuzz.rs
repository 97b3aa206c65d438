//! Fuzzing of the keys of an issuer.

use pointstream_fuzzing::{Corpus, fuzz};

use super::key_set::KeySet;

const KEYS: &str = include_str!("fuzz/keys.json");

#[test]
fn sets_of_keys() {
    let words = [
        "\"kty\"",
        "\"oct\"",
        "\"RSA\"",
        "\"EC\"",
        "\"OKP\"",
        "\"kid\"",
        "\"alg\"",
        "\"use\"",
        "\"enc\"",
        "\"HS256\"",
        "\"ES256\"",
        "\"crv\"",
        "\"P-521\"",
        "\"n\"",
        "\"e\"",
        "\"x\"",
        "\"k\"",
        "\"AA\"",
        "null",
        "[]",
        "{}",
        ",",
        ":",
    ];
    let corpus = Corpus::of([KEYS, "{\"keys\": []}"]).with_words(words);
    fuzz("sets of keys", &corpus, |input| {
        if let Ok(keys) = KeySet::parse(input) {
            assert!(keys.len() > 0);
            if let Some(key) = keys.find(None) {
                // Whoever checks must not be able to sign.
                let named: Vec<_> = key
                    .algorithms
                    .iter()
                    .map(|name| format!("{name:?}"))
                    .collect();
                assert!(!named.is_empty() && named.iter().all(|name| !name.starts_with("HS")));
            }
        }
    });
}

//! Fuzzing of the store's records.

use pointstream_fuzzing::{Corpus, fuzz};

use super::record::Record;
use super::registry::ModelId;

const RECORD: &str = r#"{"format": 1, "name": "da3-small", "precision": "fp16", "license": "Apache-2.0",
 "source": {"repository": "a/b", "revision": "c", "folder": null, "digest": "sha256:0"}, "exporter": "1",
 "archive": {"file": "da3-small.pt", "bytes": 3, "sha256": "00"}, "stored_at": "2026-01-01T00:00:00Z"}"#;

#[test]
fn records() {
    let id: ModelId = "da3-small-fp16".parse().expect("a known model");
    assert!(Record::parse(RECORD.as_bytes(), id).is_ok());
    let words = [
        "\"format\":",
        "\"file\":",
        "\"..\"",
        "\"/etc/passwd\"",
        "\"a/b\"",
        "\".\"",
        "\"\"",
        "null",
        "1e400",
        "18446744073709551616",
        "-1",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"\\u0000\"",
        "\\\\",
    ];
    fuzz(
        "records of models",
        &Corpus::of([RECORD]).with_words(words),
        |input| {
            if let Ok(record) = Record::parse(input, id) {
                // The file is in the record's folder.
                let path = std::path::Path::new("/store/record").join(&record.archive.file);
                assert_eq!(path.parent(), Some("/store/record".as_ref()), "{path:?}");
                assert!(path.file_name().is_some());
                let written = serde_json::to_vec(&record).expect("it can be written");
                assert_eq!(Record::parse(&written, id), Ok(record));
            }
        },
    );
}

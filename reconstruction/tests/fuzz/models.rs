//! Archives of models.

use std::io::{Cursor, Write as _};

use pointstream_fuzzing::{Corpus, fuzz};
use pointstream_reconstruction::model::Metadata;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::counting::measured;

const METADATA: &str = r#"{"contract_version": 1, "name": "mvs", "version": "1", "license": "Apache-2.0",
 "patch_size": 14, "default_process_res": 504, "max_process_res": 1008, "scale": "relative",
 "precision": "fp32", "fuse": true, "align": true, "digest": "sha256:0",
 "normalisation": {"mean": [0.4, 0.4, 0.4], "deviation": [0.2, 0.2, 0.2]}}"#;
/// Most that reading the metadata of a small archive takes, in bytes: they are 64 KiB at most, but there is a
/// list of as many entries as a zip file may have.
const MOST: u64 = 16 << 20;

fn archive(metadata: &[u8], method: CompressionMethod) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, content) in [
        ("mvs/data.pkl", &b"content"[..]),
        ("mvs/extra/pointstream.json", metadata),
    ] {
        archive.start_file(name, options).expect("begun");
        archive.write_all(content).expect("written");
    }
    archive.finish().expect("finished").into_inner()
}

#[test]
fn archives() {
    let stored = archive(METADATA.as_bytes(), CompressionMethod::Stored);
    let packed = archive(METADATA.as_bytes(), CompressionMethod::Deflated);
    assert!(Metadata::read(Cursor::new(&stored), "it").is_ok());
    // Far more than metadata may have.
    let bomb = archive(&vec![b' '; 8 << 20], CompressionMethod::Deflated);
    let corpus = Corpus::of([stored, packed, bomb]).with_words([
        &b"PK\x03\x04"[..],
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"PK\x06\x06",
        b"PK\x06\x07",
        b"extra/pointstream.json",
        b"\xff\xff\xff\xff",
        b"\x01\x00\x10\x00",
        b"\"patch_size\": 0",
        b"1e999",
        b"-1",
        b"null",
    ]);
    fuzz("archives of models", &corpus, |bytes| {
        let (read, most) = measured(|| Metadata::read(Cursor::new(bytes), "it"));
        assert!(most <= MOST, "{most} bytes");
        match read {
            Ok(metadata) => {
                let res = metadata.patch_size..=metadata.max_process_res;
                assert!((1..=256).contains(&metadata.patch_size));
                assert!(res.contains(&metadata.default_process_res));
                assert!(
                    metadata.verify(Cursor::new(bytes), "it").is_err(),
                    "the digest is another"
                );
                let written = serde_json::to_vec(&metadata).expect("it can be written");
                let again: Metadata = serde_json::from_slice(&written).expect("it can be read");
                assert_eq!(again, metadata);
            }
            Err(error) => assert!(error.to_string().len() < 3000, "{error}"),
        }
    });
}

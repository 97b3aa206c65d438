//! Image files and their metadata.

use std::path::Path;

use pointstream_fuzzing::{Corpus, fuzz};
use pointstream_reconstruction::image::{
    CameraTags, DecodeError, DecodeLimits, DecodingNeed, decode,
};
use pointstream_reconstruction::model::CameraHint;

use crate::counting::measured;
use crate::tiff::{ByteOrder, Value, exif};

/// Small, so that each file takes little time.
const LIMITS: DecodeLimits = DecodeLimits {
    max_bytes: 64 << 10,
    max_pixels: 1 << 18,
};
/// What reading a header may take, in bytes: an error with what it names, and the codes of a lossless WebP
/// stream.
const REFUSAL: u64 = 128 << 10;
/// That of a HEIC file: the entries of its container.
const HEIC_REFUSAL: u64 = 4 << 20;

/// Most that a WebP decoder takes for a part that the file does not have.
const PARTITION: u64 = 1 << 24;

/// Markers and names of chunks.
const WORDS: [&[u8]; 56] = [
    b"\xff\xd8\xff",
    b"\xff\xd9",
    b"\xff\xda",
    b"\xff\xc0",
    b"\xff\xc1",
    b"\xff\xc2",
    b"\xff\xc4",
    b"\xff\xcc",
    b"\xff\xdb",
    b"\xff\xdd",
    b"\xff\xd0",
    b"\xff\xe1",
    b"\xff\xe2",
    b"\xff\xee",
    b"\xff\xff\xff",
    b"\xff\x00",
    b"Exif\0\0",
    b"ICC_PROFILE\0\x01\x01",
    b"http://ns.adobe.com/xmp/extension/\0",
    b"\x89PNG\r\n\x1a\n",
    b"IHDR",
    b"IDAT",
    b"IEND",
    b"PLTE",
    b"tRNS",
    b"iCCP",
    b"eXIf",
    b"acTL",
    b"fcTL",
    b"RIFF",
    b"WEBP",
    b"VP8 ",
    b"VP8L",
    b"VP8X",
    b"ANIM",
    b"ANMF",
    b"ALPH",
    b"EXIF",
    b"ICCP",
    b"\x9d\x01\x2a",
    b"ftyp",
    b"meta",
    b"iinf",
    b"iloc",
    b"iref",
    b"iprp",
    b"ipco",
    b"ipma",
    b"hvcC",
    b"ispe",
    b"colr",
    b"irot",
    b"clap",
    b"grid",
    b"auxC",
    b"idat",
];

/// Files of all kinds, and those that have found something.
fn corpus() -> Corpus {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let found = Corpus::read(&tests.join("fuzz/corpus/images"));
    let golden = Corpus::read(&tests.join("golden/decoded"));
    let heic = Corpus::read(&tests.join("golden/heic"));
    golden.and(found.inputs()).and(heic.inputs())
}

/// The most that reading the header of this file may take.
fn refusal(file: &[u8]) -> u64 {
    match file.get(4..8) {
        Some(b"ftyp") => HEIC_REFUSAL,
        _ => REFUSAL,
    }
}

fn check(file: &[u8]) {
    let (need, most) = measured(|| DecodingNeed::of(file, &LIMITS));
    assert!(
        most <= refusal(file),
        "reading the header took {most} bytes"
    );
    let (decoded, most) = measured(|| decode(file, &LIMITS));
    match need {
        Ok(need) => {
            let unused = if decoded.is_err() && file.starts_with(b"RIFF") {
                PARTITION
            } else {
                0
            };
            assert!(
                most <= need.bytes + unused,
                "{most} bytes instead of {}",
                need.bytes
            );
        }
        Err(refused) => {
            assert!(decoded.is_err(), "decoded in spite of {refused}");
            assert!(
                !matches!(refused, DecodeError::Header(_))
                    || most <= file.len() as u64 * 3 + (5 << 20)
            );
        }
    }
    if let (Ok(need), Ok(photo)) = (DecodingNeed::of(file, &LIMITS), &decoded) {
        let (width, height) = photo.image.dimensions();
        let turned = (need.size.height, need.size.width);
        assert!([(need.size.width, need.size.height), turned].contains(&(width, height)));
        assert!(u64::from(width) * u64::from(height) <= LIMITS.max_pixels);
        check_tags(&photo.camera);
    }
}

#[test]
fn files() {
    fuzz("image files", &corpus().with_words(WORDS), check);
}

/// Headers alone: what follows them decides about no memory.
#[test]
fn headers() {
    let corpus = corpus();
    let heads = corpus
        .inputs()
        .map(|file| file[..file.len().min(700)].to_vec());
    fuzz(
        "headers of images",
        &Corpus::of(heads).with_words(WORDS),
        |file| {
            let (need, most) = measured(|| DecodingNeed::of(file, &LIMITS));
            assert!(
                most <= refusal(file),
                "reading the header took {most} bytes"
            );
            if let Ok(need) = need {
                assert!(need.size.pixels() <= LIMITS.max_pixels);
                assert!(need.bytes >= 3 * need.size.pixels());
                // A bound that grows with the limit of pixels, not with what a file says. A lossless WebP
                // stream may have 65536 groups of codes, and is refused if there is no memory for them.
                let codes = if file.starts_with(b"RIFF") {
                    65536 * (128 << 10)
                } else {
                    0
                };
                let most = 40 * (LIMITS.max_pixels + (1 << 21)) + (64 << 20) + codes;
                assert!(need.bytes <= most, "{}", need.bytes);
            }
        },
    );
}

fn check_tags(tags: &CameraTags) {
    for text in [&tags.make, &tags.model, &tags.lens].into_iter().flatten() {
        // Bytes that are no UTF-8 become characters of three bytes.
        assert!(!text.is_empty() && text.len() <= 3 * 64);
    }
    let numbers = [
        tags.focal_length,
        tags.focal_length_35mm,
        tags.focal_plane_resolution,
        tags.digital_zoom,
    ];
    assert!(
        numbers
            .into_iter()
            .flatten()
            .all(|number| number.is_finite() && number > 0.0)
    );
    assert!(
        tags.size
            .is_none_or(|size| size.width > 0 && size.height > 0)
    );
    if let Some(size) = tags.size {
        CameraHint::of_photo(tags, size);
    }
}

#[test]
fn metadata() {
    let main = [
        (0x010f, Value::Text("Maker")),
        (0x0110, Value::Text("M1")),
        (0x0112, Value::Short(6)),
    ];
    let camera = [
        (0x920a, Value::Rational(42, 10)),
        (0xa002, Value::Long(4032)),
        (0xa003, Value::Short(3024)),
        (0xa20e, Value::Rational(7200, 1)),
        (0xa210, Value::Short(3)),
        (0xa404, Value::Rational(3, 2)),
        (0xa405, Value::Short(26)),
        (0xa434, Value::Text("Back lens 4.2 mm f/1.6")),
    ];
    let orders = [ByteOrder::Big, ByteOrder::Little];
    let corpus = Corpus::of(orders.map(|order| exif(order, &main, &camera)));
    let words = [
        &b"Exif\0\0"[..],
        b"MM\0*",
        b"II*\0",
        b"\x87\x69\0\x04",
        b"\x69\x87\x04\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x08",
    ];
    fuzz("metadata of images", &corpus.with_words(words), |bytes| {
        let (tags, most) = measured(|| CameraTags::read(bytes));
        assert!(most < 2048, "{most} bytes");
        check_tags(&tags);
    });
}

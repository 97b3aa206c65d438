//! Files that announce little and would take much. All are refused by their headers, soon.

use pointstream_reconstruction::image::{DecodeError, DecodeLimits, DecodingNeed, Format, decode};

use crate::container::{Container, boxed, config, full, sequence, size, units};
use crate::counting::measured;

/// The most memory that a refusal may take beside the file, in bytes.
const REFUSAL: u64 = 1 << 20;
/// The header of a slice that is the first of a picture.
const SLICE: [u8; 4] = [20 << 1, 1, 0xa0, 0];

/// The error of a file that is refused by its header.
fn refused(container: &Container) -> DecodeError {
    let file = container.file();
    let limits = DecodeLimits::default();
    let (need, most) = measured(|| DecodingNeed::of(&file, &limits));
    let error = need.unwrap_err();
    assert!(
        most <= REFUSAL + 3 * file.len() as u64,
        "{error}: {most} bytes"
    );
    let (photo, most) = measured(|| decode(&file, &limits));
    assert_eq!(photo.unwrap_err().to_string(), error.to_string());
    assert!(
        most <= REFUSAL + 3 * file.len() as u64,
        "{error}: {most} bytes"
    );
    error
}

/// A picture of 64 pixels along each side, as far as its header goes.
fn small() -> Container {
    Container {
        properties: vec![config(&[sequence(64, 64, 0, 0)]), size(64, 64)],
        data: units(&[SLICE.to_vec()]),
        ..Container::default()
    }
}

fn is_damaged(error: &DecodeError, reason: &str) -> bool {
    let is_damaged = matches!(
        error,
        DecodeError::Damaged {
            format: Format::Heic,
            ..
        }
    );
    is_damaged && error.to_string().contains(reason)
}

fn is_feature(error: &DecodeError, reason: &str) -> bool {
    matches!(error, DecodeError::HeicFeature(_)) && error.to_string().contains(reason)
}

/// The file as such is good: what is changed in it is what is refused.
#[test]
fn the_header_of_a_small_picture_is_good() {
    let file = small().file();
    let need = DecodingNeed::of(&file, &DecodeLimits::default()).unwrap();
    assert_eq!((need.size.width, need.size.height), (64, 64));
    let (photo, most) = measured(|| decode(&file, &DecodeLimits::default()));
    assert!(photo.is_err());
    assert!(most <= need.bytes, "{most} of {}", need.bytes);
}

#[test]
fn coded_pictures_larger_than_they_state_are_refused() {
    let with = |sets: &[Vec<u8>]| Container {
        properties: vec![config(sets), size(64, 64)],
        ..small()
    };
    let huge = refused(&with(&[sequence(16384, 16384, 0, 0)]));
    assert!(is_damaged(&huge, "two sizes"), "{huge}");
    let cropped = refused(&with(&[sequence(16384, 16384, 16320, 16320)]));
    assert!(
        matches!(cropped, DecodeError::TooManyPixels { size, .. } if size.width == 16384),
        "{cropped}"
    );
    let second = refused(&with(&[
        sequence(64, 64, 0, 0),
        sequence(16384, 16384, 0, 0),
    ]));
    assert!(
        is_damaged(&second, "not one sequence parameter set"),
        "{second}"
    );
    // One that is listed as a set of another kind.
    let hidden = config(&[sequence(64, 64, 0, 0)]);
    let mut two_lists = hidden[8..].to_vec();
    two_lists[22] = 2;
    let other = sequence(16384, 16384, 0, 0);
    two_lists.extend([32, 0, 1, 0, other.len() as u8]);
    two_lists.extend(other);
    let listed = refused(&Container {
        properties: vec![boxed(b"hvcC", &two_lists), size(64, 64)],
        ..small()
    });
    assert!(
        is_damaged(&listed, "not one sequence parameter set"),
        "{listed}"
    );
}

#[test]
fn grids_are_bounded() {
    let of = |grid, side| Container {
        grid: Some(grid),
        properties: vec![config(&[sequence(side, side, 0, 0)]), size(side, side)],
        ..small()
    };
    let is_limit = |error: &DecodeError| matches!(error, DecodeError::TooManyPixels { .. });
    let huge = refused(&of((1, 1, u32::MAX, u32::MAX), 64));
    assert!(is_damaged(&huge, "do not fit"), "{huge}");
    let many = refused(&of((64, 64, 16384, 16384), 256));
    assert!(is_limit(&many), "{many}");
    let few = refused(&of((1, 1, 64, 64), 16384));
    assert!(is_limit(&few), "{few}");
    let unneeded = refused(&of((100, 100, 64, 64), 64));
    assert!(is_damaged(&unneeded, "do not fit"), "{unneeded}");
    let uncovered = refused(&of((2, 2, 129, 128), 64));
    assert!(is_damaged(&uncovered, "do not fit"), "{uncovered}");
    // Tiles that stick out as those of phones do: 61 megapixels, of 67 that are coded.
    let sticking_out = of((20, 13, 9729, 6272), 512).file();
    assert!(DecodingNeed::of(&sticking_out, &DecodeLimits::default()).is_ok());
}

/// Each use of a tile reads its data again.
#[test]
fn data_that_are_used_again_count_each_time() {
    let again = refused(&Container {
        grid: Some((100, 100, 6400, 6400)),
        data: units(&[[&SLICE[..], &vec![0xab; 1 << 20]].concat()]),
        ..small()
    });
    assert!(is_feature(&again, "use the same data"), "{again}");
}

#[test]
fn slices_and_units_are_bounded() {
    let of = |units| Container {
        properties: vec![config(&[sequence(8000, 8000, 0, 0)]), size(8000, 8000)],
        data: units,
        ..small()
    };
    let slices = refused(&of(units(&vec![SLICE.to_vec(); 100])));
    assert!(is_feature(&slices, "slices"), "{slices}");
    let many = refused(&of(units(&vec![vec![39 << 1, 1]; 100_000])));
    assert!(is_feature(&many, "units"), "{many}");
    let escapes = refused(&of(units(&[
        [&SLICE[..], &[0, 0, 3].repeat(1 << 20)].concat()
    ])));
    assert!(is_feature(&escapes, "escapes"), "{escapes}");
}

#[test]
fn lists_of_the_container_are_bounded() {
    // A place of no bytes takes memory, however many there are.
    let mut places = vec![0, 0, 0, 200];
    for item in 0..200_u16 {
        places.extend(item.to_be_bytes());
        places.extend([0, 0, 0, 0, 0xff, 0xff]);
    }
    // A part of another item, which is read again for each part.
    let inside = [
        0x44, 0, 0, 1, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let owners = |count: u32, item: fn(u32) -> u16| {
        let mut owners = count.to_be_bytes().to_vec();
        for at in 0..count {
            owners.extend(item(at).to_be_bytes());
            owners.push(0);
        }
        owners
    };
    for (container, reason) in [
        (
            Container {
                places: Some(places),
                ..small()
            },
            "so many items",
        ),
        (
            Container {
                places: Some(inside.to_vec()),
                ..small()
            },
            "parts of other items",
        ),
        (
            Container {
                owners: Some(owners(60_000, |at| at as u16)),
                ..small()
            },
            "so many items",
        ),
        (
            Container {
                owners: Some(owners(10_000_000, |_| 1)),
                ..small()
            },
            "so many items",
        ),
        (
            Container {
                properties: vec![boxed(b"free", b""); 100_000],
                owners: Some(owners(1, |_| 1)),
                ..small()
            },
            "so many items",
        ),
        (
            Container {
                properties: vec![full(b"auxC", 0, &vec![b'a'; 1 << 20]), size(64, 64)],
                ..small()
            },
            "so many bytes",
        ),
    ] {
        let error = refused(&container);
        assert!(is_feature(&error, reason), "{reason}: {error}");
    }
    let repeated = refused(&Container {
        repeated: 1,
        ..small()
    });
    assert!(is_damaged(&repeated, "too many properties"), "{repeated}");
}

/// Parts are put together, which takes memory for several times their length.
#[test]
fn a_grid_is_stored_in_one_part() {
    let mut places = vec![0x44, 0, 0, 2];
    for (item, parts) in [(1_u16, 1_u16), (2, 3)] {
        let numbers = [item, 0, 0, parts];
        places.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        places.extend(
            [0_u32.to_be_bytes(), 400_000_u32.to_be_bytes()]
                .concat()
                .repeat(parts.into()),
        );
    }
    let container = Container {
        grid: Some((2, 2, 128, 128)),
        places: Some(places),
        data: vec![0; 1 << 20],
        ..small()
    };
    let error = refused(&container);
    assert!(is_feature(&error, "several parts"), "{error}");
}

/// Each turn takes time for all pixels.
#[test]
fn a_picture_is_turned_once() {
    let turned = |times: usize| {
        let mut container = small();
        container.properties.insert(0, boxed(b"irot", &[1]));
        container.repeated = times - 1;
        container
    };
    assert!(DecodingNeed::of(&turned(1).file(), &DecodeLimits::default()).is_ok());
    let twice = refused(&turned(2));
    assert!(is_damaged(&twice, "turned twice"), "{twice}");
}

//! Changes of inputs.

use arbtest::arbitrary::{Result, Unstructured};

use crate::corpus::Corpus;

/// Most changes of one input.
const MOST_CHANGES: usize = 8;
/// Longest range that one change inserts or repeats, in bytes.
const LONGEST: usize = 64;
/// One change inserts no more than this, in bytes.
const MOST_GROWTH: usize = 1 << 16;
/// Numbers at which parsers fail: limits of types, and what is beside them.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    u64::MAX,
];

/// An input of the corpus after a few changes.
pub(crate) fn mutated(corpus: &Corpus, random: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut input = random.choose(&corpus.inputs)?.clone();
    for _ in 0..random.int_in_range(1..=MOST_CHANGES)? {
        change(&mut input, corpus, random)?;
    }
    Ok(input)
}

fn change(input: &mut Vec<u8>, corpus: &Corpus, random: &mut Unstructured<'_>) -> Result<()> {
    let at = random.int_in_range(0..=input.len())?;
    match random.int_in_range(0..=8)? {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.int_in_range(0..=7)?;
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.arbitrary()?;
            }
        }
        2 => number(input, at, random)?,
        3 => input.truncate(at),
        4 => {
            let end = input.len().min(at + random.int_in_range(1..=LONGEST)?);
            input.drain(at..end);
        }
        5 => {
            let count = random.int_in_range(1..=LONGEST)?;
            let bytes = random.bytes(count)?.to_vec();
            insert(input, at, &bytes);
        }
        6 => {
            let end = input.len().min(at + random.int_in_range(1..=LONGEST)?);
            let times = random.int_in_range(1..=8)?;
            let repeated = input[at..end].repeat(times);
            insert(input, at, &repeated);
        }
        7 if !corpus.words.is_empty() => {
            let word = random.choose(&corpus.words)?;
            // In place of what is there, or before it.
            if random.arbitrary()? {
                let end = input.len().min(at + word.len());
                input.drain(at..end);
            }
            insert(input, at, word);
        }
        // The rest is that of another input.
        _ => {
            let other = random.choose(&corpus.inputs)?;
            let from = random.int_in_range(0..=other.len())?;
            input.truncate(at);
            insert(input, at, &other[from..]);
        }
    }
    Ok(())
}

/// Writes a number over what is there.
fn number(input: &mut [u8], at: usize, random: &mut Unstructured<'_>) -> Result<()> {
    let number = *random.choose(&NUMBERS)?;
    let width = *random.choose(&[1, 2, 4, 8])?;
    let bytes = match random.arbitrary()? {
        true => number.to_le_bytes()[..width].to_vec(),
        false => number.to_be_bytes()[8 - width..].to_vec(),
    };
    if let Some(place) = input.get_mut(at..at + width) {
        place.copy_from_slice(&bytes);
    }
    Ok(())
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MOST_GROWTH)];
    input.splice(at..at, bytes.iter().copied());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn changes_differ_and_use_all_of_the_corpus() {
        let corpus = Corpus::of(["abcdefgh", "12345678"]).with_words(["WORD"]);
        let mut seen = HashSet::new();
        let mut words = 0;
        let mut mixed = 0;
        for seed in 0_u64..2000 {
            let random: Vec<u8> = (0..200_u64)
                .map(|index| {
                    ((seed + 1) * (2 * index + 7))
                        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                        .to_be_bytes()[0]
                })
                .collect();
            let input = mutated(&corpus, &mut Unstructured::new(&random)).expect("enough bytes");
            let has = |part: &[u8]| input.windows(part.len()).any(|window| window == part);
            words += usize::from(has(b"WORD"));
            mixed += usize::from(has(b"ab") && has(b"78"));
            seen.insert(input);
        }
        assert!(seen.len() > 1000, "{}", seen.len());
        assert!(words > 20 && mixed > 20, "{words} {mixed}");
    }
}

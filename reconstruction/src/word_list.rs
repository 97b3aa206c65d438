//! Lists of words in the texts of errors and of the help.

use std::borrow::Borrow;

/// Words with commas and a conjunction before the last: `a, b and c`.
pub fn word_list<W: Borrow<str>>(words: impl Iterator<Item = W>, conjunction: &str) -> String {
    let mut words: Vec<W> = words.collect();
    match (words.pop(), words.join(", ")) {
        (None, _) => String::new(),
        (Some(only), others) if others.is_empty() => only.borrow().to_owned(),
        (Some(last), others) => format!("{others} {conjunction} {}", last.borrow()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_follows_a_conjunction() {
        for (words, expected) in [
            (&[][..], ""),
            (&["a"], "a"),
            (&["a", "b"], "a or b"),
            (&["a", "b", "c"], "a, b or c"),
        ] {
            assert_eq!(word_list(words.iter().copied(), "or"), expected);
        }
    }
}

//! Finds the name that a client may have meant.

/// Least similarity of a name that is suggested, 0 to 1.
const SIMILAR: f64 = 0.5;

/// The known name that is most like this one, if any is.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let similarity = |known: &str| strsim::normalized_damerau_levenshtein(&name, known);
    known
        .into_iter()
        .map(|known| (similarity(known), known))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KNOWN: [&str; 3] = ["max_images", "process_res", "window"];

    #[test]
    fn slips_are_understood() {
        for (slip, meant) in [
            ("max_image", "max_images"),
            ("maxImages", "max_images"),
            ("process_resolution", "process_res"),
            ("WINDOW", "window"),
        ] {
            assert_eq!(nearest(slip, KNOWN), Some(meant), "{slip}");
        }
    }

    #[test]
    fn other_words_are_not() {
        assert_eq!(nearest("colour", KNOWN), None);
        assert_eq!(nearest("", KNOWN), None);
    }
}

//! Node names made from the client's names of images.

use std::collections::HashSet;

/// Longest name in characters, without an appended number.
const MAX_CHARACTERS: usize = 120;

/// Name of the node with the points.
pub const POINTS: &str = "points";
/// Name of the node with the drawn cameras.
pub const FRUSTUMS: &str = "frustums";
/// Name of the node of a mesh.
pub const MESH: &str = "mesh";

/// One name for each label: without control characters and marks that change the direction of text,
/// of limited length, not empty, and unique (`name`, `name (2)`, `name (3)`, ...).
pub fn safe_names<'a>(labels: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut taken: HashSet<String> = [POINTS, FRUSTUMS].map(String::from).into();
    let mut next_number = std::collections::HashMap::new();
    labels
        .into_iter()
        .enumerate()
        .map(|(index, label)| {
            let name = printable(label).unwrap_or_else(|| format!("image {}", index + 1));
            let number = next_number.entry(name.clone()).or_insert(2_usize);
            let mut unique = name.clone();
            while !taken.insert(unique.clone()) {
                unique = format!("{name} ({number})");
                *number += 1;
            }
            unique
        })
        .collect()
}

/// The label without unprintable characters, `None` if it is empty.
fn printable(label: &str) -> Option<String> {
    let kept: String = label
        .chars()
        .filter(|&character| !is_unprintable(character))
        .take(MAX_CHARACTERS)
        .collect();
    let trimmed = kept.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Line and paragraph separators, bidirectional marks, byte order mark, non-characters.
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}'..='\u{ffff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay() {
        let labels = ["IMG_0001.jpg", "été 📷.png", "../../etc/x", "a\"b\\c"];
        assert_eq!(safe_names(labels), labels);
    }

    #[test]
    fn unusual_names_become_unique_and_printable() {
        let long = "x".repeat(4096);
        let labels = [
            "",
            "\0\n\u{202e}",
            "a",
            "a",
            "a (2)",
            "a",
            "points",
            &long,
            &long,
            "  b ",
        ];
        let names = safe_names(labels);
        assert_eq!(
            names[..7],
            [
                "image 1",
                "image 2",
                "a",
                "a (2)",
                "a (2) (2)",
                "a (3)",
                "points (2)"
            ]
        );
        assert_eq!(names[7].len(), MAX_CHARACTERS);
        assert_eq!(names[9], "b");
        let unique: HashSet<_> = names.iter().collect();
        assert_eq!(unique.len(), labels.len());
    }
}

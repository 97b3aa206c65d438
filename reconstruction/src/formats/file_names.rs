//! File names made from the client's names of images.

use std::collections::HashSet;

/// Longest name in characters, without number and extension.
const MAX_CHARACTERS: usize = 100;

/// A file name with the extension for each label, of ASCII letters, digits, `.`, `_` and `-`:
/// COLMAP's text files end a name at a space, and some file systems refuse other characters. Names
/// are unique even if case is ignored.
pub fn file_names<'a>(labels: impl IntoIterator<Item = &'a str>, extension: &str) -> Vec<String> {
    let mut taken = HashSet::new();
    labels
        .into_iter()
        .enumerate()
        .map(|(index, label)| {
            let stem = stem(label).unwrap_or_else(|| format!("image_{:04}", index + 1));
            let mut unique = stem.clone();
            let mut number = 2;
            while !taken.insert(unique.to_ascii_lowercase()) {
                unique = format!("{stem}_{number}");
                number += 1;
            }
            format!("{unique}.{extension}")
        })
        .collect()
}

/// The last part of a path without its extension; `None` without any letter or digit.
fn stem(label: &str) -> Option<String> {
    let name = label.rsplit(['/', '\\']).next()?;
    let name = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= 4 => stem,
        _ => name,
    };
    let kept: String = name
        .chars()
        .take(MAX_CHARACTERS)
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => character,
            _ => '_',
        })
        .collect();
    let trimmed = kept.trim_start_matches(['.', '-']);
    trimmed
        .contains(|character: char| character.is_ascii_alphanumeric())
        .then(|| trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_keep_their_stem() {
        assert_eq!(
            file_names(
                ["IMG_0001.jpg", "view 2.jpeg", "frame-3", "a.b.webp"],
                "png"
            ),
            ["IMG_0001.png", "view_2.png", "frame-3.png", "a.b.png"]
        );
    }

    #[test]
    fn unusual_names_stay_in_the_folder_and_unique() {
        let long = "x".repeat(5000);
        let labels = [
            "../../etc/passwd",
            "C:\\photos\\A.JPG",
            "a.png",
            "a.jpg",
            "",
            "..",
            "日本",
            "#1 \n.jpg",
            "-rf.png",
            &long,
        ];
        let names = file_names(labels, "png");
        assert_eq!(
            names[..9],
            [
                "passwd.png",
                "A.png",
                "a_2.png",
                "a_3.png",
                "image_0005.png",
                "image_0006.png",
                "image_0007.png",
                "_1__.png",
                "rf.png"
            ]
        );
        assert_eq!(names[9].len(), MAX_CHARACTERS + 4);
    }
}

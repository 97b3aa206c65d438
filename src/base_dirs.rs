//! The user's folders by the XDG Base Directory Specification.

use std::path::PathBuf;

/// The folder that an XDG variable names, or its default below the user's home.
///
/// None if neither is an absolute path; the specification says that relative paths are ignored.
pub fn base_dir(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}

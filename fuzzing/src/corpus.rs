//! Inputs that are known to matter, and what they are made of.

use std::fs;
use std::path::{Path, PathBuf};

/// Inputs of one parser.
#[derive(Debug, Clone, Default)]
pub struct Corpus {
    /// Whole inputs.
    pub(crate) inputs: Vec<Vec<u8>>,
    /// Parts of inputs that the parser knows.
    pub(crate) words: Vec<Vec<u8>>,
}

impl Corpus {
    /// The files of a folder.
    ///
    /// # Panics
    /// If there is no such folder, or it has no files: a test without inputs tests nothing.
    pub fn read(folder: &Path) -> Self {
        let entries = fs::read_dir(folder);
        let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let paths = entries.map(|entry| entry.expect("a folder can be listed").path());
        let mut files: Vec<_> = paths.filter(|path| path.is_file()).collect();
        files.sort();
        assert!(!files.is_empty(), "{} has no files", folder.display());
        let inputs = files.iter().map(|path| {
            fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        });
        Self::of(inputs)
    }

    /// The folder for what earlier runs have found, by the name of a property.
    pub(crate) fn folder_of(name: &str) -> PathBuf {
        let folder = name.to_lowercase().replace(' ', "-");
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(folder)
    }

    /// What earlier runs have found; nothing if there is no folder for it.
    pub(crate) fn found(name: &str) -> Vec<Vec<u8>> {
        let folder = Self::folder_of(name);
        match folder.is_dir() {
            true => Self::read(&folder).inputs,
            false => Vec::new(),
        }
    }

    /// These inputs.
    pub fn of<T: AsRef<[u8]>>(inputs: impl IntoIterator<Item = T>) -> Self {
        let inputs = inputs.into_iter();
        Self {
            inputs: inputs.map(|input| input.as_ref().to_vec()).collect(),
            words: Vec::new(),
        }
    }

    /// The inputs.
    pub fn inputs(&self) -> impl Iterator<Item = &[u8]> {
        self.inputs.iter().map(Vec::as_slice)
    }

    /// The same with more inputs.
    #[must_use]
    pub fn and<T: AsRef<[u8]>>(mut self, inputs: impl IntoIterator<Item = T>) -> Self {
        self.inputs.extend(Self::of(inputs).inputs);
        self
    }

    /// The same with parts that the parser knows, which mutations insert.
    #[must_use]
    pub fn with_words<T: AsRef<[u8]>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.words.extend(Self::of(words).inputs);
        self
    }
}

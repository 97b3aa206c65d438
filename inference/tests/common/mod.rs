//! The embedded model and the photos of the sample scene.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use image::RgbImage;
use pointstream_inference::{ResolvedModel, TorchScriptModel};
use pointstream_reconstruction::image::{DecodeLimits, ProcessResMethod, decode, preprocess};
use pointstream_reconstruction::model::{Device, Features, FramesPerCall, Model};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn embedded() -> TorchScriptModel {
    embedded_with(1)
}

pub fn embedded_with(frames_per_call: usize) -> TorchScriptModel {
    let archive = ResolvedModel::embedded().expect("the embedded archive is valid");
    TorchScriptModel::load(&archive, Device::Cpu, FramesPerCall::Fixed(frames_per_call))
        .expect("the embedded archive loads")
}

/// The first photos of the sample scene, small.
pub fn photos(count: usize) -> Vec<RgbImage> {
    let folder = repository().join("examples/sample_scene");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the sample scene is there")
        .map(|entry| entry.expect("its folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jpg"))
        .collect();
    paths.sort();
    paths
        .iter()
        .take(count)
        .map(|path| {
            let bytes = std::fs::read(path).expect("a photo can be read");
            let photo = decode(&bytes, &DecodeLimits::default()).expect("a photo can be decoded");
            preprocess(&photo.image, 224, ProcessResMethod::UpperBoundResize, 14).expect("it fits")
        })
        .collect()
}

pub fn encode(model: &dyn Model, frames: &[RgbImage]) -> Vec<Features> {
    frames
        .iter()
        .flat_map(|frame| {
            let one = std::slice::from_ref(frame);
            model.encode(one).expect("a frame is encoded")
        })
        .collect()
}

/// Copies an archive entry by entry, changed or left out.
pub fn rewrite(archive: &[u8], change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut source = ZipArchive::new(Cursor::new(archive)).expect("it is a zip file");
    let mut target = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for index in 0..source.len() {
        let mut entry = source.by_index(index).expect("an entry");
        let name = entry.name().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("its content");
        if let Some(content) = change(&name, content) {
            target.start_file(name, options).expect("a new entry");
            target.write_all(&content).expect("its new content");
        }
    }
    target.finish().expect("a new archive").into_inner()
}

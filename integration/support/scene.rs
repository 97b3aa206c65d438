//! The sample scene: photos and ground truth.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use half::f16;
use nalgebra::{Matrix3, Matrix3x4, Matrix4};
use serde_json::Value;

use super::geometry::numbers;
use super::paths::repository;

/// The photos of `examples/sample_scene` with their true cameras and depth.
pub struct Scene {
    /// Size of the photos in pixels.
    pub width: usize,
    pub height: usize,
    pub names: Vec<String>,
    /// World to camera, in metres.
    pub extrinsics: Vec<Matrix4<f64>>,
    /// Camera coordinates to pixel indices, the same for every photo.
    pub intrinsics: Matrix3<f64>,
    /// z in the camera frame in metres, photo by photo, row-major.
    depth: Vec<f16>,
}

impl Scene {
    pub fn load() -> Self {
        let text = std::fs::read_to_string(folder().join("cameras.json"))
            .expect("the sample scene has cameras");
        let cameras: Value = serde_json::from_str(&text).expect("JSON");
        let size = |name: &str| cameras[name].as_u64().expect("a size") as usize;
        let frames = cameras["frames"].as_array().expect("a list of frames");
        let scene = Self {
            width: size("width"),
            height: size("height"),
            names: frames
                .iter()
                .map(|frame| frame["file"].as_str().expect("a name").to_owned())
                .collect(),
            extrinsics: frames
                .iter()
                .map(|frame| pose(&frame["extrinsics"]))
                .collect(),
            intrinsics: Matrix3::from_row_slice(&numbers(&cameras["intrinsics"])),
            depth: read_depth(),
        };
        let pixels = scene.names.len() * scene.width * scene.height;
        assert_eq!(scene.depth.len(), pixels, "depth of every pixel");
        scene
    }

    /// The bytes of a photo's file.
    pub fn photo(&self, view: usize) -> Vec<u8> {
        std::fs::read(self.path(view)).expect("the sample scene has this photo")
    }

    /// The path of a photo's file.
    pub fn path(&self, view: usize) -> PathBuf {
        folder().join(&self.names[view])
    }

    /// The index of the photo with this name.
    pub fn view(&self, name: &str) -> usize {
        self.names
            .iter()
            .position(|known| known == name)
            .unwrap_or_else(|| panic!("no photo of the scene is called {name:?}"))
    }

    /// The true depth at a pixel, if it is inside the photo.
    pub fn depth_at(&self, view: usize, [x, y]: [f64; 2]) -> Option<f64> {
        let (x, y) = (x.round(), y.round());
        let inside = |value: f64, size: usize| value >= 0.0 && value < size as f64;
        if !inside(x, self.width) || !inside(y, self.height) {
            return None;
        }
        let index = (view * self.height + y as usize) * self.width + x as usize;
        Some(self.depth[index].to_f64())
    }
}

/// Reads a pose given as its upper three rows.
fn pose(rows: &Value) -> Matrix4<f64> {
    let mut pose = Matrix4::identity();
    pose.fixed_view_mut::<3, 4>(0, 0)
        .copy_from(&Matrix3x4::from_row_slice(&numbers(rows)));
    pose
}

fn folder() -> PathBuf {
    repository().join("examples/sample_scene")
}

/// Reads the one array of `depth.npz`: a zip file with one NumPy array of 16-bit floats.
fn read_depth() -> Vec<f16> {
    let file = File::open(folder().join("depth.npz")).expect("the sample scene has depth");
    let mut zip = zip::ZipArchive::new(file).expect("npz is a zip file");
    let mut npy = Vec::new();
    zip.by_name("depth.npy")
        .expect("the array is called depth")
        .read_to_end(&mut npy)
        .expect("the array is whole");
    // Six bytes of magic, two of version, two of header length, the header, the values.
    assert_eq!(&npy[..8], b"\x93NUMPY\x01\x00", "NumPy's format 1.0");
    let (header, values) = npy[10..].split_at(usize::from(npy[8]) + 256 * usize::from(npy[9]));
    let header = String::from_utf8_lossy(header);
    assert!(header.contains("'descr': '<f2'"), "not half: {header}");
    assert!(header.contains("'fortran_order': False"), "{header}");
    values
        .chunks_exact(2)
        .map(|bytes| f16::from_le_bytes([bytes[0], bytes[1]]))
        .collect()
}

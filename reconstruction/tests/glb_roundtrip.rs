//! GLB files, read back with the independent crate `gltf`.

mod common;

use common::{SIZE, predict};
use gltf::camera::Projection;
use gltf::mesh::Mode;
use gltf::{Glb, Gltf, Node};
use nalgebra::{Matrix4, Point3, SMatrix, Similarity3, Vector3};
use pointstream_reconstruction::cloud::{CloudOptions, PointFilters, Scene, build_scene};
use pointstream_reconstruction::formats::glb::{GlbCompression, GlbError, write_glb};
use pointstream_reconstruction::geometry::Distortion;
use serde_json::{Value, json};

fn scene(show_cameras: bool) -> Scene {
    let angles = Vector3::new(0.2, 0.1, -0.4);
    let model_world = Similarity3::new(Vector3::new(1.0, 2.0, -3.0), angles, 0.31);
    let mut synthetic = predict(&[3, 1, 2], SIZE, &model_world);
    synthetic.names = ["a.jpg", "日本 \"\\\u{1}\u{202e}.png", "a.jpg"]
        .map(Into::into)
        .to_vec();
    synthetic.prediction.cameras[1].distortion = Distortion { k1: -1e-9, k2: 0.0 };
    synthetic.prediction.cameras[2].registered = false;
    let options = CloudOptions {
        conf_thresh_percentile: 10.0,
        num_max_points: 5000,
        show_cameras,
        filters: PointFilters::OFF,
    };
    let (scene, _) =
        build_scene(&synthetic.prediction, &synthetic.frames(), None, &options).unwrap();
    scene
}

fn read(bytes: &[u8]) -> Gltf {
    Gltf::from_slice(bytes).expect("a valid glTF")
}

fn node<'a>(gltf: &'a Gltf, name: &str) -> Node<'a> {
    let mut nodes = gltf.nodes();
    nodes.find(|node| node.name() == Some(name)).expect(name)
}

fn assert_matrix<const R: usize, const C: usize>(json: &Value, expected: &SMatrix<f64, R, C>) {
    let found: Vec<Vec<f64>> = serde_json::from_value(json.clone()).unwrap();
    assert_eq!((found.len(), found[0].len()), (R, C));
    for (row, column) in (0..R).flat_map(|row| (0..C).map(move |column| (row, column))) {
        assert!((found[row][column] - expected[(row, column)]).abs() < 1e-9);
    }
}

#[test]
fn points_and_colors_are_exact() {
    let scene = scene(true);
    let bytes = write_glb(&scene, GlbCompression::None).unwrap();
    let gltf = read(&bytes);
    let mesh = node(&gltf, "points").mesh().unwrap();
    let primitive = mesh.primitives().next().unwrap();
    assert_eq!(primitive.mode(), Mode::Points);
    assert!(primitive.material().unlit());
    let reader = primitive.reader(|_| gltf.blob.as_deref());
    let positions: Vec<_> = reader.read_positions().unwrap().collect();
    assert_eq!(positions, scene.points);
    let colors: Vec<_> = reader.read_colors(0).unwrap().into_rgba_u8().collect();
    let expected: Vec<_> = scene
        .colors
        .iter()
        .map(|&[r, g, b]| [r, g, b, 255])
        .collect();
    assert_eq!(colors, expected);

    let bounds = primitive.bounding_box();
    for axis in 0..3 {
        let values = || positions.iter().map(|position| position[axis]);
        assert_eq!(bounds.min[axis], values().fold(f32::INFINITY, f32::min));
        assert_eq!(bounds.max[axis], values().fold(f32::NEG_INFINITY, f32::max));
    }
}

#[test]
fn camera_nodes_project_like_the_cameras() {
    let scene = scene(false);
    let gltf = read(&write_glb(&scene, GlbCompression::None).unwrap());
    // The third frame is not registered, and frustums are off.
    let names: Vec<_> = gltf
        .nodes()
        .map(|node| node.name().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["points", "a.jpg", "日本 \"\\.png"]);
    for (camera, name) in scene.cameras.iter().zip(&names[1..]) {
        let node = node(&gltf, name);
        let matrix = Matrix4::from(node.transform().matrix()).cast::<f64>();
        let rotation = matrix.fixed_view::<3, 3>(0, 0).into_owned();
        assert!((rotation.determinant() - 1.0).abs() < 1e-5, "no scale");
        let gltf_camera = node.camera().unwrap();
        let Projection::Perspective(perspective) = gltf_camera.projection() else {
            panic!("a perspective camera");
        };
        assert!(perspective.znear() > 0.0);
        let tangent = (f64::from(perspective.yfov()) / 2.0).tan();
        let aspect = f64::from(perspective.aspect_ratio().unwrap());
        for (u, v) in [(10.0, 20.0), (70.0, 3.0)] {
            // A point on the pixel's ray, from intrinsics and extrinsics ...
            let ray = camera.intrinsics.try_inverse().unwrap() * Vector3::new(u, v, 1.0);
            let to_world = camera.extrinsics.try_inverse().unwrap();
            let world = Point3::from_homogeneous(to_world * (ray * 2.0).push(1.0)).unwrap();
            let glb = scene.world_to_glb * world;
            // ... projected by the glTF camera to normalised device coordinates (centre 0, y up).
            let seen = matrix.try_inverse().unwrap() * glb.to_homogeneous();
            assert!(seen.z < 0.0, "in front of a camera that looks along -z");
            let ndc = (
                seen.x / -seen.z / tangent / aspect,
                seen.y / -seen.z / tangent,
            );
            let pixel = (
                (ndc.0 + 1.0) / 2.0 * f64::from(SIZE.width) - 0.5,
                (1.0 - ndc.1) / 2.0 * f64::from(SIZE.height) - 0.5,
            );
            assert!(
                (pixel.0 - u).abs() < 1e-2 && (pixel.1 - v).abs() < 1e-2,
                "{pixel:?}"
            );
        }
        let extras: Value = serde_json::from_str(node.extras().as_ref().unwrap().get()).unwrap();
        assert_eq!(extras["id"], camera.id);
        assert_matrix(&extras["extrinsics"], &camera.extrinsics);
        assert_matrix(&extras["intrinsics"], &camera.intrinsics);
        assert_eq!(
            extras["distortion"],
            json!(camera.distortion.coefficients())
        );
    }
}

#[test]
fn frustums_are_colored_lines_from_the_cameras() {
    let scene = scene(true);
    let gltf = read(&write_glb(&scene, GlbCompression::None).unwrap());
    let mesh = node(&gltf, "frustums").mesh().unwrap();
    let primitive = mesh.primitives().next().unwrap();
    assert_eq!(primitive.mode(), Mode::Lines);
    let reader = primitive.reader(|_| gltf.blob.as_deref());
    let positions: Vec<_> = reader.read_positions().unwrap().collect();
    let indices: Vec<_> = reader.read_indices().unwrap().into_u32().collect();
    assert_eq!((positions.len(), indices.len()), (2 * 5, 2 * 16));
    assert!(
        indices
            .iter()
            .all(|&index| (index as usize) < positions.len())
    );
    for (camera, corners) in scene.cameras.iter().zip(positions.chunks(5)) {
        let pose = camera.pose.unwrap();
        let in_camera = |corner: &[f32; 3]| pose.inverse() * Point3::from(corner.map(f64::from));
        assert!(in_camera(&corners[0]).coords.norm() < 1e-5);
        for corner in &corners[1..] {
            assert!((in_camera(corner).z / scene.camera_size - 1.0).abs() < 1e-3);
        }
    }
    let colors: Vec<_> = reader.read_colors(0).unwrap().into_rgba_u8().collect();
    assert_ne!(colors[0], colors[5]);
    assert_eq!(colors[0], colors[4]);
}

#[test]
fn the_asset_has_generator_and_extras() {
    let scene = scene(true);
    let bytes = write_glb(&scene, GlbCompression::None).unwrap();
    let glb = Glb::from_slice(&bytes).unwrap();
    assert_eq!(glb.header.length as usize, bytes.len());
    let json: Value = serde_json::from_slice(&glb.json).unwrap();
    let generator = json["asset"]["generator"].as_str().unwrap();
    assert!(generator.starts_with("pointstream "));
    assert_eq!(json["asset"]["extras"]["color_space"], "srgb");
    let world_to_glb = scene.world_to_glb.to_homogeneous();
    assert_matrix(&json["asset"]["extras"]["world_to_glb"], &world_to_glb);
    assert_eq!(bytes, write_glb(&scene, GlbCompression::None).unwrap());
}

#[test]
fn empty_scenes_are_valid() {
    let mut without_points = scene(true);
    without_points.points.clear();
    without_points.colors.clear();
    let gltf = read(&write_glb(&without_points, GlbCompression::None).unwrap());
    assert_eq!(gltf.meshes().len(), 1);
    assert_eq!(gltf.cameras().len(), 2);

    let mut empty = without_points;
    empty.cameras.clear();
    let gltf = read(&write_glb(&empty, GlbCompression::None).unwrap());
    assert_eq!((gltf.nodes().len(), gltf.accessors().len()), (1, 0));
    assert!(node(&gltf, "points").mesh().is_none());
    assert!(gltf.blob.is_none());
}

#[test]
fn inconsistent_scenes_are_refused() {
    let mut missing_color = scene(true);
    missing_color.colors.pop();
    let error = write_glb(&missing_color, GlbCompression::None).unwrap_err();
    assert!(matches!(
        error,
        GlbError::ColorCount {
            points: 5000,
            colors: 4999
        }
    ));

    let mut not_finite = scene(true);
    not_finite.points[7][1] = f32::NAN;
    assert!(matches!(
        write_glb(&not_finite, GlbCompression::None).unwrap_err(),
        GlbError::NotFinite
    ));
}

use gltf::Gltf;
use gltf::mesh::Mode;
use nalgebra::Vector3;
use pointstream_reconstruction::cloud::PointFilters;
use pointstream_reconstruction::formats::WriteError;
use pointstream_reconstruction::formats::mesh::{DepthRules, MeshFile, mesh_of, write_mesh};
use pointstream_reconstruction::surface::{Mesh, SurfaceError};

use crate::sample::{Numbers, Sample};

fn rules(threshold: f32) -> DepthRules {
    DepthRules {
        thresholds: vec![Some(threshold); 3],
        filters: PointFilters::OFF,
    }
}

fn mesh(sample: &Sample) -> Mesh {
    mesh_of(&sample.reconstruction(), &rules(1.1)).unwrap()
}

fn written(sample: &Sample, form: MeshFile) -> Vec<u8> {
    let mut file = Vec::new();
    write_mesh(&sample.reconstruction(), &rules(1.1), form, &mut file).unwrap();
    file
}

/// Distances of vertices from the nearest point of a cloud with all pixels, in voxels.
fn apart(mesh: &Mesh, sample: &Sample) -> Vec<f64> {
    let points: Vec<_> = sample
        .points()
        .map(|(position, ..)| position.coords)
        .collect();
    let nearest = |vertex: &[f32; 3]| {
        let vertex = Vector3::from(vertex.map(f64::from));
        let distances = points.iter().map(|point| (point - vertex).norm());
        distances.fold(f64::INFINITY, f64::min) / mesh.voxel_size
    };
    mesh.positions.iter().step_by(7).map(nearest).collect()
}

#[test]
fn it_lies_where_the_points_are() {
    for sample in [Sample::new(usize::MAX), Sample::distorted(usize::MAX)] {
        let mesh = mesh(&sample);
        assert!(mesh.triangles.len() > 3000, "{}", mesh.triangles.len());
        let apart = apart(&mesh, &sample);
        // Points lie about a voxel apart themselves.
        assert!(apart.iter().all(|apart| *apart < 2.0), "{apart:?}");
    }
}

#[test]
fn it_does_not_depend_on_the_number_of_points() {
    let [few, all] = [Sample::new(10), Sample::new(usize::MAX)].map(|sample| mesh(&sample));
    assert!(few == all);
}

#[test]
fn only_confident_pixels_of_frames_that_count_are_in_it() {
    let sample = Sample::new(usize::MAX);
    let of = |rules: &DepthRules| mesh_of(&sample.reconstruction(), rules);
    let none = of(&rules(100.0)).unwrap_err();
    assert!(
        matches!(none, WriteError::Surface(SurfaceError::NoDepth)),
        "{none}"
    );
    let mut one = rules(1.1);
    one.thresholds[2] = None;
    let (one, both) = (of(&one).unwrap(), mesh(&sample));
    assert!(one.triangles.len() < both.triangles.len());
}

#[test]
fn the_background_is_not_in_it() {
    let mut sample = Sample::new(usize::MAX);
    for image in &mut sample.synthetic.images {
        for (u, _, pixel) in image.enumerate_pixels_mut() {
            if u < 40 {
                pixel.0 = [3; 3];
            }
        }
    }
    let filters = PointFilters {
        black_background: true,
        ..PointFilters::OFF
    };
    let with = mesh(&sample);
    let rules = DepthRules {
        filters,
        ..rules(1.1)
    };
    let without = mesh_of(&sample.reconstruction(), &rules).unwrap();
    let part = without.triangles.len() as f64 / with.triangles.len() as f64;
    assert!((0.3..0.8).contains(&part), "{part}");
    let dark = |mesh: &Mesh| mesh.colors.iter().filter(|color| color[0] < 10).count();
    assert!(dark(&with) > 1000 && dark(&without) == 0);
}

#[test]
fn the_glb_has_its_vertices_and_triangles() {
    let sample = Sample::new(5000);
    let (mesh, file) = (mesh(&sample), written(&sample, MeshFile::Glb));
    let Gltf { document, blob } = Gltf::from_slice(&file).unwrap();
    let mut nodes = document.nodes();
    let node = nodes.next().unwrap();
    assert!(nodes.next().is_none());
    assert_eq!(node.name(), Some("mesh"));
    assert_eq!(
        node.transform().matrix(),
        gltf::scene::Transform::Decomposed {
            translation: [0.0; 3],
            rotation: [0.0, 0.0, 0.0, 1.0],
            scale: [1.0; 3],
        }
        .matrix()
    );
    let primitive = node.mesh().unwrap().primitives().next().unwrap();
    assert_eq!(primitive.mode(), Mode::Triangles);
    assert!(primitive.material().double_sided() && primitive.material().unlit());
    let reader = primitive.reader(|_| blob.as_deref());
    let positions: Vec<_> = reader.read_positions().unwrap().collect();
    assert_eq!(positions, mesh.positions);
    let colors: Vec<_> = reader.read_colors(0).unwrap().into_rgb_u8().collect();
    assert_eq!(colors, mesh.colors);
    let indices: Vec<_> = reader.read_indices().unwrap().into_u32().collect();
    assert_eq!(indices, mesh.triangles.as_flattened());
}

#[test]
fn the_ply_has_its_vertices_and_triangles() {
    let sample = Sample::new(5000);
    let (mesh, file) = (mesh(&sample), written(&sample, MeshFile::Ply));
    let end = b"end_header\n";
    let end = file
        .windows(end.len())
        .position(|part| part == end)
        .unwrap()
        + end.len();
    let header = std::str::from_utf8(&file[..end]).unwrap();
    let vertices = format!("element vertex {}\n", mesh.positions.len());
    let faces = format!("element face {}\n", mesh.triangles.len());
    assert!(
        header.contains(&vertices) && header.contains(&faces),
        "{header}"
    );
    let mut numbers = Numbers(&file[end..]);
    for (position, color) in mesh.positions.iter().zip(&mesh.colors) {
        assert_eq!([0; 3].map(|_| numbers.f32()), *position);
        assert_eq!(numbers.take(), *color);
    }
    for triangle in &mesh.triangles {
        assert_eq!(numbers.take(), [3]);
        assert_eq!([0; 3].map(|_| numbers.u32()), *triangle);
    }
    assert!(numbers.0.is_empty());
}

#[test]
fn the_obj_has_its_vertices_and_triangles() {
    let sample = Sample::new(5000);
    let (mesh, file) = (mesh(&sample), written(&sample, MeshFile::Obj));
    let file = String::from_utf8(file).unwrap();
    let mut lines = file.lines().skip(1).map(|line| line.split(' '));
    let mut next = |kind: &str| -> Vec<f64> {
        let mut words = lines.next().unwrap();
        assert_eq!(words.next(), Some(kind));
        words.map(|word| word.parse().unwrap()).collect()
    };
    for (position, color) in mesh.positions.iter().zip(&mesh.colors) {
        let numbers = next("v");
        let (found, colors) = numbers.split_at(3);
        assert_eq!(
            found.iter().map(|value| *value as f32).collect::<Vec<_>>(),
            position
        );
        let bytes: Vec<_> = colors
            .iter()
            .map(|value| (value * 255.0).round() as u8)
            .collect();
        assert_eq!(bytes, color);
    }
    for triangle in &mesh.triangles {
        assert_eq!(next("f"), triangle.map(|vertex| f64::from(vertex) + 1.0));
    }
    assert!(lines.next().is_none());
}

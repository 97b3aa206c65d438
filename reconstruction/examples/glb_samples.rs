//! Writes GLB files of all kinds into a folder, for a validator and a viewer. Each scene is written
//! as `NAME.glb`, `NAME.quantized.glb` and `NAME.meshopt.glb`, a mesh as `mesh.glb`:
//!
//! `cargo run -p pointstream-reconstruction --example glb_samples -- FOLDER`

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::{env, fs};

use common::{SIZE, predict};
use nalgebra::{Affine3, Isometry3, Matrix3, Matrix4, Similarity3, Vector3};
use pointstream_reconstruction::cloud::{
    Alignment, CloudOptions, FrameCloud, Pixel, PointFilters, Scene, build_scene,
};
use pointstream_reconstruction::formats::glb::{
    FramesGlb, GlbCompression, write_frames_glb, write_glb, write_mesh_glb,
};
use pointstream_reconstruction::surface::Mesh;
use strum::VariantArray;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let folder = env::args_os().nth(1).ok_or("usage: glb_samples FOLDER")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    for (name, scene) in scenes()? {
        for &compression in GlbCompression::VARIANTS {
            let name = match compression {
                GlbCompression::None => format!("{name}.glb"),
                _ => format!("{name}.{compression}.glb"),
            };
            fs::write(folder.join(name), write_glb(&scene, compression)?)?;
        }
    }
    let scene = scene(6, true)?;
    let frames = frames(&scene);
    let glb = FramesGlb {
        frames: &frames,
        image_size: scene.image_size,
        show_cameras: true,
        world_to_glb: &scene.world_to_glb,
        alignment: &scene.alignment,
        confidence_threshold: scene.confidence_threshold,
    };
    for &compression in GlbCompression::VARIANTS {
        let name = match compression {
            GlbCompression::None => "frames.glb".to_owned(),
            _ => format!("frames.{compression}.glb"),
        };
        fs::write(folder.join(name), write_frames_glb(&glb, compression)?)?;
    }
    // A pyramid without its base.
    let mesh = Mesh {
        positions: vec![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0; 3]],
        colors: vec![[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 99, 199]],
        triangles: vec![[0, 1, 3], [1, 2, 3], [2, 0, 3]],
        voxel_size: 1.0,
    };
    fs::write(folder.join("mesh.glb"), write_mesh_glb(&mesh)?)?;
    Ok(())
}

fn scenes() -> Result<Vec<(&'static str, Scene)>, Error> {
    let cameras = scene(6, true)?;
    let no_frustums = scene(6, false)?;
    let one_camera = scene(1, true)?;

    let mut no_points = cameras.clone();
    no_points.points.clear();
    no_points.colors.clear();

    let mut no_points_no_frustums = no_points.clone();
    no_points_no_frustums.show_cameras = false;

    let mut nothing = no_points.clone();
    nothing.cameras.clear();

    let mut no_cameras = cameras.clone();
    no_cameras.cameras.clear();

    let mut one_point = cameras.clone();
    one_point.points.truncate(1);
    one_point.colors.truncate(1);

    let mut unusual_names = cameras.clone();
    let names = [
        String::new(),
        "\0\t\r\n\u{7f}\u{202e}\"\\</script>".to_owned(),
        "🦀 ünïcödé 写真.png".to_owned(),
        "x".repeat(4096),
        "../../etc/passwd".to_owned(),
        "../../etc/passwd".to_owned(),
    ];
    for (camera, name) in unusual_names.cameras.iter_mut().zip(names) {
        camera.name = name.into();
    }

    let mut extreme = cameras.clone();
    let focal = [1e-3, 1e9, 1.0, f64::NAN, f64::MIN_POSITIVE, 50.0];
    for (camera, focal) in extreme.cameras.iter_mut().zip(focal) {
        camera.intrinsics = Matrix3::new(focal, 0.0, 1e4, 0.0, focal, -1e4, 0.0, 0.0, 1.0);
    }
    extreme.cameras[5].pose = Some(Isometry3::translation(1e300, 0.0, 0.0));
    extreme.points[0] = [f32::MAX, f32::MIN, f32::MIN_POSITIVE];

    Ok(vec![
        ("cameras", cameras),
        ("no_frustums", no_frustums),
        ("one_camera", one_camera),
        ("no_points", no_points),
        ("no_points_no_frustums", no_points_no_frustums),
        ("nothing", nothing),
        ("no_cameras", no_cameras),
        ("one_point", one_point),
        ("unusual_names", unusual_names),
        ("extreme_numbers", extreme),
        ("two_million_points", two_million_points()),
    ])
}

/// The frames of a scene in two chunks, with stretched lenses. One has no points.
fn frames(scene: &Scene) -> Vec<FrameCloud> {
    let cameras = scene.cameras.iter().enumerate();
    let frames = cameras.filter_map(|(index, camera)| {
        let points = scene.pixels.iter().zip(&scene.points).zip(&scene.colors);
        let points = points.filter(|((pixel, _), _)| pixel.frame as usize == index && index != 2);
        let points = points.map(|((_, point), color)| (*point, *color));
        let frame = FrameCloud::of_points(camera, &scene.world_to_glb, points)?;
        let stretch = Matrix4::new_nonuniform_scaling(&Vector3::new(1.1, 1.2, 1.3));
        let matrix = frame.points_to_glb.matrix() * stretch;
        Some(FrameCloud {
            chunk: index / 3,
            points_to_glb: Affine3::from_matrix_unchecked(matrix),
            ..frame
        })
    });
    frames.collect()
}

fn scene(frames: u64, show_cameras: bool) -> Result<Scene, Error> {
    let ids: Vec<u64> = (0..frames).collect();
    let synthetic = predict(&ids, SIZE, &Similarity3::identity());
    let options = CloudOptions {
        conf_thresh_percentile: 10.0,
        num_max_points: 10_000,
        show_cameras,
        filters: PointFilters::OFF,
    };
    let (scene, _) = build_scene(&synthetic.prediction, &synthetic.frames(), None, &options)?;
    Ok(scene)
}

fn two_million_points() -> Scene {
    const SIDE: usize = 126;
    let coordinate = |index: usize| (index % SIDE) as f32 * 0.013 - 0.8;
    let points: Vec<_> = (0..SIDE * SIDE * SIDE)
        .map(|i| {
            [
                coordinate(i),
                coordinate(i / SIDE),
                coordinate(i / SIDE / SIDE),
            ]
        })
        .collect();
    Scene {
        colors: points
            .iter()
            .map(|point| point.map(|x| (x * 100.0) as u8))
            .collect(),
        pixels: (0..points.len() as u32)
            .map(|index| Pixel { frame: 0, index })
            .collect(),
        points,
        cameras: Vec::new(),
        image_size: SIZE,
        camera_size: 0.1,
        show_cameras: true,
        world_to_glb: Similarity3::new(Vector3::zeros(), Vector3::zeros(), 1.0),
        alignment: Alignment::Origin,
        confidence_threshold: 1.05,
    }
}

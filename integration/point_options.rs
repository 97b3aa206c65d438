//! Options of the point cloud, with photos of the sample scene. Tests that do not depend on the
//! model's result use a quick model.

use std::collections::HashSet;
use std::io::{Cursor, Read as _};

use nalgebra::Point3;
use serde_json::json;

use crate::support::client::{Answer, Client};
use crate::support::compressed::{self, StoredPoints};
use crate::support::geometry::Cameras;
use crate::support::glb::{self, Contents};
use crate::support::pictures::stripes;
use crate::support::scene::Scene;
use crate::support::server::{Server, new_data_dir};

const PHOTOS: usize = 4;

/// Creates a session with these options; returns its result.
async fn result(server: &Server, scene: &Scene, options: &str) -> Answer {
    let query = format!("process_res=336&{options}");
    let reply = server
        .post(&format!("/ws/session/create?{query}"))
        .await
        .json();
    let session = reply["session_id"].as_str().expect("an identifier");
    let mut client = Client::connect(server, session).await;
    for view in 0..PHOTOS {
        client.upload(&scene.names[view], &scene.photo(view)).await;
    }
    client.generate(false).await;
    client.result("complete").await
}

/// Checks that cameras and transforms are equal up to rounding.
fn assert_same_geometry(answer: &Answer, plain: &Answer) {
    let (found, expected) = (answer.metadata(), plain.metadata());
    for name in [
        "frames",
        "unregistered_frames",
        "processed_size",
        "intrinsics",
        "extrinsics",
        "world_to_glb",
        "confidence_threshold",
    ] {
        assert_eq!(found[name], expected[name], "{name}");
    }
}

fn read(answer: &Answer) -> Contents {
    let contents = glb::read(&answer.glb());
    assert_eq!(answer.metadata()["num_points"], contents.points.len());
    assert_eq!(contents.colours.len(), contents.points.len());
    contents
}

/// The bit patterns of the points, for comparison.
fn bits(contents: &Contents) -> HashSet<[u32; 3]> {
    let bits = |point: &Point3<f32>| [point.x, point.y, point.z].map(f32::to_bits);
    contents.points.iter().map(bits).collect()
}

#[tokio::test]
async fn edges_lose_their_flying_points() {
    let scene = Scene::load();
    let server = Server::start_in(new_data_dir(), &["--model", "mvs"]).await;
    let plain = result(&server, &scene, "").await;
    let filtered = result(&server, &scene, "filter_edges=true").await;
    assert_same_geometry(&filtered, &plain);
    assert_eq!(plain.metadata()["options"]["filter_edges"], false);
    assert_eq!(filtered.metadata()["options"]["filter_edges"], true);

    let (all, kept) = (read(&plain), read(&filtered));
    let kept_bits = bits(&kept);
    assert!(kept_bits.is_subset(&bits(&all)), "points moved");
    assert!(kept.points.len() < all.points.len());
    assert!(
        kept.points.len() > all.points.len() / 2,
        "too many points were removed"
    );
    let cut: Vec<_> = all
        .points
        .iter()
        .filter(|point| !kept_bits.contains(&[point.x, point.y, point.z].map(f32::to_bits)))
        .copied()
        .collect();
    let cameras = Cameras::read(plain.metadata(), &scene);
    let off = |points: &[Point3<f32>]| {
        let errors = cameras.best_depth_errors(points, &scene);
        errors.iter().filter(|error| **error > 0.05).count() as f64 / errors.len() as f64
    };
    let (off_cut, off_kept) = (off(&cut), off(&kept.points));
    println!(
        "{} of {} points at edges; off the surface: {:.1} % of them, {:.1} % of the others",
        cut.len(),
        all.points.len(),
        100.0 * off_cut,
        100.0 * off_kept
    );
    assert!(off_cut > 3.0 * off_kept, "{off_cut} {off_kept}");
}

#[tokio::test]
async fn a_voxel_keeps_one_point() {
    let scene = Scene::load();
    let server = Server::start(&[]).await;
    let plain = result(&server, &scene, "").await;
    let all = read(&plain);
    for size in [0.03, 0.2, 1e6] {
        let voxel = |point: &Point3<f32>| {
            [point.x, point.y, point.z].map(|x| (f64::from(x) / size).floor() as i64)
        };
        let option = format!("voxel_size={size}");
        let thinned = result(&server, &scene, &option).await;
        assert_same_geometry(&thinned, &plain);
        assert_eq!(thinned.metadata()["options"]["voxel_size"], size);
        let kept = read(&thinned);
        assert!(bits(&kept).is_subset(&bits(&all)), "points moved");
        let voxels: HashSet<_> = kept.points.iter().map(voxel).collect();
        assert_eq!(
            voxels.len(),
            kept.points.len(),
            "at most one point per voxel"
        );
        let occupied: HashSet<_> = all.points.iter().map(voxel).collect();
        assert_eq!(voxels, occupied, "each occupied voxel must keep a point");
        assert!(kept.points.len() < all.points.len() / 2, "{size}");

        let again = result(&server, &scene, &option).await;
        assert!(
            again.glb() == thinned.glb(),
            "the result must be deterministic"
        );
        if kept.points.len() > 100 {
            let limited = result(&server, &scene, &format!("{option}&num_max_points=100")).await;
            let limited = read(&limited);
            assert_eq!(limited.points.len(), 100);
            assert!(bits(&limited).is_subset(&bits(&kept)));
        }
    }
}

#[tokio::test]
async fn a_black_or_white_background_goes_when_asked() {
    let server = Server::start(&[]).await;
    let black = |[red, green, blue]: [u8; 3]| red.max(green).max(blue) < 16;
    let white = |[red, green, blue]: [u8; 3]| red.min(green).min(blue) >= 240;
    let mut counts = Vec::new();
    for (query, keeps_black, keeps_white) in [
        ("", true, true),
        ("filter_black_bg=true", false, true),
        ("filter_white_bg=true", true, false),
        ("filter_black_bg=true&filter_white_bg=true", false, false),
    ] {
        let mut client = server.client(query).await;
        client.upload("0.png", &stripes()).await;
        client.upload("1.png", &stripes()).await;
        client.generate(false).await;
        let contents = read(&client.result("complete").await);
        let has = |what: &dyn Fn([u8; 3]) -> bool| contents.colours.iter().any(|c| what(*c));
        assert_eq!(has(&black), keeps_black, "{query}");
        assert_eq!(has(&white), keeps_white, "{query}");
        assert!(has(&|color| !black(color) && !white(color)), "{query}");
        counts.push(contents.points.len());
    }
    let [all, no_black, no_white, neither] = counts[..] else {
        panic!("four results");
    };
    assert_eq!(all - neither, (all - no_black) + (all - no_white));
}

#[tokio::test]
async fn compressed_points_are_the_same_within_a_step() {
    let scene = Scene::load();
    let server = Server::start(&[]).await;
    let plain = result(&server, &scene, "glb_compression=none").await;
    let exact = compressed::read(&plain.glb());
    assert!(exact.required.is_empty(), "{:?}", exact.required);
    let default = result(&server, &scene, "").await;
    assert!(default.glb() == plain.glb(), "none is the default");

    let mut sizes = vec![plain.glb().len()];
    for (compression, required) in [
        ("quantized", &["KHR_mesh_quantization"][..]),
        (
            "meshopt",
            &["KHR_mesh_quantization", "EXT_meshopt_compression"],
        ),
    ] {
        let answer = result(&server, &scene, &format!("glb_compression={compression}")).await;
        assert_same_geometry(&answer, &plain);
        assert_eq!(answer.metadata()["options"]["glb_compression"], compression);
        let found = compressed::read(&answer.glb());
        assert_eq!(answer.metadata()["num_points"], found.positions.len());
        assert_eq!(found.required, required);
        assert_same_points(&found, &exact);
        sizes.push(answer.glb().len());
        assert_eq!(answer.metadata()["glb_size_bytes"], answer.glb().len());
    }
    println!("bytes: {sizes:?}");
    assert!(sizes[1] < sizes[0] * 8 / 10, "{sizes:?}");
    assert!(sizes[2] < sizes[1] * 8 / 10, "{sizes:?}");
}

/// Checks that colours are equal and positions differ by at most one 16-bit step.
fn assert_same_points(found: &StoredPoints, exact: &StoredPoints) {
    assert_eq!(found.colours, exact.colours);
    assert_eq!(found.positions.len(), exact.positions.len());
    for axis in 0..3 {
        let along = || exact.positions.iter().map(|position| position[axis]);
        let extent = along().fold(f64::MIN, f64::max) - along().fold(f64::MAX, f64::min);
        let step = found.step[axis];
        assert!(step <= extent / 65_000.0, "{step} for {extent}");
        for (here, there) in found.positions.iter().zip(&exact.positions) {
            assert!(
                (here[axis] - there[axis]).abs() <= step,
                "{here:?} {there:?}"
            );
        }
    }
}

/// Other formats contain the same points.
#[tokio::test]
async fn filters_hold_for_every_format() {
    let server = Server::start(&[]).await;
    let query = "voxel_size=0.1&filter_black_bg=true&glb_compression=meshopt";
    let mut client = server.client(query).await;
    client.upload("0.png", &stripes()).await;
    client.upload("1.png", &stripes()).await;
    client.generate(false).await;
    let answer = client.result("complete").await;
    let points = answer.metadata()["num_points"].as_u64().expect("a number");
    assert_eq!(
        answer.metadata()["options"],
        json!({
            "filter_edges": false,
            "voxel_size": 0.1,
            "filter_black_bg": true,
            "filter_white_bg": false,
            "glb_compression": "meshopt"
        })
    );
    let path = format!("/ws/session/{}/result", client.session);
    let glb = server.get(&path).await;
    assert!(
        glb.body == answer.glb(),
        "the file is the one in the message"
    );
    let ply = server.get(&format!("{path}?format=ply")).await;
    let head = String::from_utf8_lossy(&ply.body[..300]).into_owned();
    let count = format!("element vertex {points}\n");
    assert!(head.contains(&count), "{count} is missing: {head}");
    let vertices = vertices_of(&ply.body);
    assert_eq!(vertices.len() as u64, points);
    let black = |colour: &[u8; 3]| colour.iter().all(|&value| value < 16);
    assert!(!vertices.iter().any(black), "black points must be removed");

    let nerfstudio = server.get(&format!("{path}?format=nerfstudio")).await;
    let cloud = entry(&nerfstudio.body, "points.ply");
    assert!(vertices_of(&cloud) == vertices, "the same points");

    let colmap = server.get(&format!("{path}?format=colmap")).await;
    let text = String::from_utf8(entry(&colmap.body, "text/points3D.txt")).expect("text");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let colours: Vec<[u8; 3]> = lines
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            [4, 5, 6].map(|place| words[place].parse().expect("a colour"))
        })
        .collect();
    assert!(colours == vertices, "the same points");
    let model = entry(&colmap.body, "sparse/0/points3D.bin");
    let count = model[..8].try_into().expect("eight bytes");
    assert_eq!(u64::from_le_bytes(count), points);

    // In NPZ, points are pixel indices.
    let npz = server.get(&format!("{path}?format=npz")).await;
    let array = entry(&npz.body, "points.npy");
    let head = String::from_utf8_lossy(&array[..100]).into_owned();
    assert!(head.contains(&format!("({points}, 2")), "{head}");
}

/// The colours of the vertices of a PLY file with their confidence.
fn vertices_of(ply: &[u8]) -> Vec<[u8; 3]> {
    let end = b"end_header\n";
    let begin = ply.windows(end.len()).position(|window| window == end);
    let body = &ply[begin.expect("a head") + end.len()..];
    // A vertex has three floats, three bytes and a float.
    let vertices = body.chunks_exact(19);
    assert!(vertices.remainder().is_empty());
    vertices
        .map(|vertex| [vertex[12], vertex[13], vertex[14]])
        .collect()
}

/// A file in an archive.
fn entry(archive: &[u8], name: &str) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).expect("an archive");
    let mut bytes = Vec::new();
    archive
        .by_name(name)
        .expect("the archive has the file")
        .read_to_end(&mut bytes)
        .expect("the file is readable");
    bytes
}

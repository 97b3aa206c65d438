//! The formats of a result that was made window by window.

use std::collections::HashSet;

use serde_json::json;

use crate::formats::look_at;
use crate::support::client::{Answer, Client};
use crate::support::glb;
use crate::support::pictures::{at, blue};
use crate::support::server::Server;

/// Frames that can be placed, beside one that cannot.
const FRAMES: u8 = 11;

/// A session of several windows with these options, and its result.
async fn result(server: &Server, options: &str) -> (Client, Answer) {
    let mut client = server.client(&format!("window=6&{options}")).await;
    for level in 0..FRAMES {
        client.upload(&format!("{level}.png"), &at(level)).await;
        if level == 7 {
            client.upload("strange.png", &blue(99)).await;
        }
    }
    client.generate(true).await;
    let answer = client.result("delta").await;
    assert_eq!(
        answer.metadata()["unregistered_frames"],
        json!(["strange.png"])
    );
    (client, answer)
}

async fn points_of(server: &Server, options: &str) -> usize {
    let (_, answer) = result(server, options).await;
    glb::read(&answer.glb()).points.len()
}

#[tokio::test]
async fn formats_of_a_map_agree() {
    let server = Server::with_model("extending", &[]).await;
    // The surface that the model makes up is not that of the frames.
    let unfit = ["-k", "not fit_the_other_images"];
    for options in ["", "num_max_points=3000&filter_edges=true&voxel_size=0.01"] {
        let (client, _) = result(&server, options).await;
        look_at(&server, &client.session, &unfit).await;
    }
}

#[tokio::test]
async fn each_window_gives_its_share_of_a_limited_cloud() {
    let server = Server::with_model("extending", &[]).await;
    let (_, all) = result(&server, "").await;
    let all = glb::read(&all.glb());
    let (_, limited) = result(&server, "num_max_points=1000").await;
    let (mut client, again) = result(&server, "num_max_points=1000").await;
    assert!(
        limited.glb() == again.glb(),
        "the result must be deterministic"
    );
    client.generate(true).await;
    let later = client.result("delta").await;
    assert!(
        later.glb() == again.glb(),
        "the same request gives the same bytes"
    );

    let few = glb::read(&limited.glb());
    assert!(
        (990..=1000).contains(&few.points.len()),
        "{}",
        few.points.len()
    );
    assert_eq!(few.cameras, all.cameras);
    // Red is the level of a frame. All frames have as many points.
    let of_level = |level: u8| {
        let colours = few.colours.iter();
        colours.filter(|colour| colour[0] == level).count()
    };
    let counts: Vec<usize> = (0..FRAMES).map(of_level).collect();
    assert!(
        counts.iter().all(|count| (50..140).contains(count)),
        "{counts:?}"
    );
    let bits = |contents: &glb::Contents| -> HashSet<[u32; 3]> {
        let points = contents.points.iter();
        points
            .map(|point| [point.x, point.y, point.z].map(f32::to_bits))
            .collect()
    };
    assert!(bits(&few).is_subset(&bits(&all)), "points moved");
}

#[tokio::test]
async fn filters_hold_for_the_whole_map() {
    let server = Server::with_model("extending", &[]).await;
    let all = points_of(&server, "").await;
    let size = 0.05;
    let (_, thinned) = result(&server, &format!("voxel_size={size}")).await;
    let kept = glb::read(&thinned.glb());
    let voxel = |x: f32| (f64::from(x) / size).floor() as i64;
    let voxels = kept.points.iter();
    let voxels: HashSet<_> = voxels
        .map(|point| [point.x, point.y, point.z].map(voxel))
        .collect();
    // Windows see the same surface.
    assert_eq!(voxels.len(), kept.points.len(), "one point per voxel");
    assert!(kept.points.len() < all / 2);
    assert_eq!(points_of(&server, "filter_black_bg=true").await, all);
    assert!(points_of(&server, "filter_edges=true").await <= all);
}

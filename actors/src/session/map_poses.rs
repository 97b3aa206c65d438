//! The poses of frames, as clients get them.

use pointstream_reconstruction::cloud::{SceneCamera, rows};
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::map::Map;

use super::ledger::{Image, Ledger};
use crate::updates::{FramePose, MapPoses};

/// All poses of a session: of the final result, else of the map, else of the newest result.
pub(super) fn poses(ledger: &Ledger) -> MapPoses {
    let images = ledger.images();
    let map = ledger.map().filter(|_| !ledger.is_completed());
    if let Some(stored) = map {
        let frames = stored.map.frames();
        return MapPoses {
            processed_size: Some(processed_size(stored.map.size())),
            frames: frames
                .filter_map(|(number, _)| of_map(&stored.map, number, images))
                .collect(),
        };
    }
    let Some(result) = ledger.result() else {
        return MapPoses::default();
    };
    let cameras = &result.cameras;
    let frames = cameras.all().iter().filter_map(|camera| {
        let to_glb = camera.points_to_glb(cameras.world_to_glb());
        let to_glb = to_glb.map(|transform| rows(transform.matrix()));
        of_camera(camera, None, to_glb, images)
    });
    MapPoses {
        processed_size: Some(processed_size(result.size)),
        frames: frames.collect(),
    }
}

/// The pose of a frame of the map; `None` if the session has no such image.
pub(super) fn of_map(map: &Map, number: u64, images: &[Image]) -> Option<FramePose> {
    let frame = map.frame(number)?;
    let chunk = frame.place.map(|place| place.chunk);
    let to_glb = map.points_to_glb(frame);
    let to_glb = to_glb.map(|transform| rows(transform.matrix()));
    of_camera(&frame.camera, chunk, to_glb, images)
}

/// The pose of a frame; `None` if the session has no such image.
pub(super) fn of_camera(
    camera: &SceneCamera,
    chunk: Option<usize>,
    points_to_glb: Option<[[f64; 4]; 4]>,
    images: &[Image],
) -> Option<FramePose> {
    let number = camera.id;
    let image = images.binary_search_by_key(&number, |image| image.number);
    Some(FramePose {
        frame: number,
        image: image.ok()?,
        name: camera.name.clone(),
        chunk,
        placed: camera.pose.is_some(),
        camera_to_glb: camera.pose.map(|pose| rows(&pose.to_homogeneous())),
        points_to_glb,
        intrinsics: rows(&camera.intrinsics),
        distortion: camera.distortion.coefficients(),
    })
}

fn processed_size(size: FrameSize) -> [usize; 2] {
    [size.columns(), size.rows()]
}

//! A point cloud, which updates make grow.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use crate::camera::Camera;
use crate::error::Error;
use crate::glb::{Glb, Points};
use crate::matrix::{Matrix4, place};
use crate::poses::FramePose;

/// A point cloud at a moment.
///
/// Everything is in GLB coordinates: x right, y up, z backward as the session's first camera saw
/// it. The unit is arbitrary but the same in all results of the session. If `scale` of a scene's
/// metadata is `metric`, the scale of `world_to_glb` is units for each metre.
#[derive(Clone, Debug, Default)]
pub struct Cloud {
    number: Option<u64>,
    chunks: BTreeMap<u64, Chunk>,
    cameras: BTreeMap<u64, Camera>,
}

/// Points that came together: those of one image. They never change, but where they are may.
#[derive(Clone, Debug)]
pub struct Chunk {
    points: Arc<Points>,
    shown: usize,
    points_to_glb: Matrix4,
}

/// What an update changes: `append` of its metadata.
#[derive(Debug, Deserialize)]
pub(crate) struct Append {
    pub number: u64,
    reset: bool,
    kept: Vec<Kept>,
    corrections: Vec<FramePose>,
    frames: Vec<FramePose>,
}

#[derive(Debug, Deserialize)]
struct Kept {
    frame: u64,
    points: usize,
}

impl Chunk {
    fn new(points: Points, points_to_glb: Matrix4) -> Self {
        Self {
            shown: points.positions.len(),
            points: Arc::new(points),
            points_to_glb,
        }
    }

    /// x, y and z of the points, in coordinates of their own.
    #[must_use]
    pub fn positions(&self) -> &[[f32; 3]] {
        &self.points.positions[..self.shown]
    }

    /// Red, green and blue of the points, sRGB.
    #[must_use]
    pub fn colors(&self) -> &[[u8; 3]] {
        &self.points.colors[..self.shown]
    }

    /// From the coordinates of the points to GLB coordinates.
    #[must_use]
    pub fn points_to_glb(&self) -> &Matrix4 {
        &self.points_to_glb
    }

    fn keep(&mut self, count: usize) {
        self.shown = self.shown.min(count);
        // The others never come back. Copying each time would cost more than it saves.
        if 2 * self.shown < self.points.positions.len() {
            self.points = Arc::new(Points {
                positions: self.positions().to_vec(),
                colors: self.colors().to_vec(),
            });
        }
    }
}

impl Cloud {
    /// The cloud of a whole result: [`Scene::glb`](crate::Scene::glb), or a file of it.
    pub fn from_glb(data: &Bytes) -> Result<Self, Error> {
        let glb = Glb::parse(data)?;
        let mut cloud = Self::default();
        for node in glb.nodes() {
            if node.extras.contains_key("frame") {
                return Err(Error::Glb(
                    "this is the GLB of an update, which Session::cloud applies".to_owned(),
                ));
            }
            if let Some(points) = glb.points(node)? {
                // A quantised cloud has the transform of its integers in the node.
                let chunk = Chunk::new(points, node.transform());
                cloud.chunks.insert(cloud.chunks.len() as u64, chunk);
            }
            if node.camera.is_some() {
                let camera = Camera::of_node(node)?;
                cloud.cameras.insert(camera.number, camera);
            }
        }
        Ok(cloud)
    }

    /// The cloud after an update.
    pub(crate) fn after(&self, append: Append, data: &Bytes) -> Result<Self, Error> {
        let glb = Glb::parse(data)?;
        let mut new = BTreeMap::new();
        for node in glb.nodes() {
            if let Some(frame) = node.extras.get("frame").and_then(|frame| frame.as_u64()) {
                new.insert(frame, glb.points(node)?.unwrap_or_default());
            }
        }
        let mut cloud = match append.reset {
            true => Self::default(),
            false => self.clone(),
        };
        for kept in append.kept {
            cloud.chunk(kept.frame)?.keep(kept.points);
        }
        for pose in append.corrections {
            cloud.chunk(pose.frame)?.points_to_glb = points_to_glb(&pose)?;
            cloud.cameras.insert(pose.frame, Camera::of_pose(pose)?);
        }
        for pose in append.frames {
            let points = new.remove(&pose.frame).unwrap_or_default();
            let chunk = Chunk::new(points, points_to_glb(&pose)?);
            cloud.chunks.insert(pose.frame, chunk);
            cloud.cameras.insert(pose.frame, Camera::of_pose(pose)?);
        }
        cloud.number = Some(append.number);
        Ok(cloud)
    }

    fn chunk(&mut self, frame: u64) -> Result<&mut Chunk, Error> {
        self.chunks
            .get_mut(&frame)
            .ok_or_else(|| unfitting(frame, "is not in the cloud"))
    }

    /// The number of the newest update that is in here.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// Points by the numbers of their images. A whole result has one chunk, number 0.
    #[must_use]
    pub fn chunks(&self) -> &BTreeMap<u64, Chunk> {
        &self.chunks
    }

    /// The cameras of the placed images, by their numbers.
    pub fn cameras(&self) -> impl ExactSizeIterator<Item = &Camera> {
        self.cameras.values()
    }

    /// All points, in GLB coordinates.
    #[must_use]
    pub fn positions(&self) -> Vec<[f32; 3]> {
        let mut all = Vec::with_capacity(self.len());
        for chunk in self.chunks.values() {
            let positions = chunk.positions().iter();
            all.extend(positions.map(|position| place(&chunk.points_to_glb, *position)));
        }
        all
    }

    /// Red, green and blue of all points, sRGB, in the order of [`positions`](Self::positions).
    #[must_use]
    pub fn colors(&self) -> Vec<[u8; 3]> {
        let mut all = Vec::with_capacity(self.len());
        for chunk in self.chunks.values() {
            all.extend_from_slice(chunk.colors());
        }
        all
    }

    /// How many points there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.values().map(|chunk| chunk.shown).sum()
    }

    /// Whether there are no points.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn points_to_glb(pose: &FramePose) -> Result<Matrix4, Error> {
    pose.points_to_glb
        .ok_or_else(|| unfitting(pose.frame, "has no place"))
}

fn unfitting(frame: u64, reason: &str) -> Error {
    Error::InvalidResponse(format!("an update does not fit: frame {frame} {reason}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tiny_glb;

    fn pose(frame: u64, x: f64) -> Value {
        let place = [
            [1.0, 0.0, 0.0, x],
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ];
        json!({
            "frame": frame, "image": frame, "name": "a.jpg", "chunk": 0, "placed": true,
            "camera_to_glb": place, "points_to_glb": place,
            "intrinsics": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "distortion": [0, 0],
        })
    }

    fn append(fields: Value) -> Append {
        let mut all =
            json!({"number": 1, "reset": false, "kept": [], "corrections": [], "frames": []});
        for (name, value) in fields.as_object().unwrap() {
            all[name] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    fn two_frames() -> Cloud {
        let glb = tiny_glb::update(&[(0, &[[0.0; 3], [1.0; 3], [2.0; 3]]), (1, &[[9.0; 3]])]);
        let frames = append(json!({"reset": true, "frames": [pose(0, 0.0), pose(1, 100.0)]}));
        Cloud::default().after(frames, &glb).unwrap()
    }

    #[test]
    fn updates_move_and_thin_out_what_is_there() {
        let cloud = two_frames();
        assert_eq!((cloud.len(), cloud.cameras().len()), (4, 2));
        let change = append(json!({
            "number": 2, "kept": [{"frame": 0, "points": 1}], "corrections": [pose(0, 10.0)],
        }));
        let later = cloud.after(change, &tiny_glb::update(&[])).unwrap();
        assert_eq!(later.positions(), [[10.0, 0.0, 0.0], [109.0, 9.0, 9.0]]);
        assert_eq!(later.colors(), [[0; 3], [1; 3]]);
        assert_eq!(later.number(), Some(2));
        // What was thinned out takes no memory any more, and the earlier cloud has it still.
        assert_eq!(later.chunks()[&0].points.positions.len(), 1);
        assert_eq!(cloud.len(), 4);
    }

    #[test]
    fn an_update_that_does_not_fit_changes_nothing() {
        let cloud = two_frames();
        let nothing = tiny_glb::update(&[]);
        let unknown = append(json!({"corrections": [pose(7, 0.0)]}));
        let error = cloud.after(unknown, &nothing).unwrap_err();
        assert!(error.to_string().contains("frame 7"));
        let kept = append(json!({"kept": [{"frame": 8, "points": 1}]}));
        assert!(cloud.after(kept, &nothing).is_err());
        assert_eq!(cloud.len(), 4);
    }

    #[test]
    fn the_file_of_an_update_is_no_cloud() {
        let error = Cloud::from_glb(&tiny_glb::update(&[(0, &[])])).unwrap_err();
        assert!(error.to_string().contains("update"));
    }
}

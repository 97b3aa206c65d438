//! The points of one frame, apart from where the frame is.

use nalgebra::{Affine3, Matrix4, Point3, Similarity3};

use super::scene::SceneCamera;

/// The points of a placed frame in coordinates of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameCloud {
    pub camera: SceneCamera,
    /// Index of its chunk in the map; 0 without a map.
    pub chunk: usize,
    /// From the coordinates of the points to GLB coordinates: a rotation and a translation after a
    /// stretch along the axes of the points.
    pub points_to_glb: Affine3<f64>,
    /// In the axes of the camera: x right, y down, z forward.
    pub points: Vec<[f32; 3]>,
    /// sRGB.
    pub colors: Vec<[u8; 3]>,
}

impl SceneCamera {
    /// From the coordinates of its points, in the axes of the camera and the unit of the world, to GLB
    /// coordinates; `None` if the frame is not placed.
    pub fn points_to_glb(&self, world_to_glb: &Similarity3<f64>) -> Option<Affine3<f64>> {
        let scale = Matrix4::new_scaling(world_to_glb.scaling());
        let matrix = self.pose?.to_homogeneous() * scale;
        Some(Affine3::from_matrix_unchecked(matrix))
    }
}

impl FrameCloud {
    /// A frame whose points are known in GLB coordinates. `None` if it is not placed.
    pub fn of_points(
        camera: &SceneCamera,
        world_to_glb: &Similarity3<f64>,
        points: impl Iterator<Item = ([f32; 3], [u8; 3])>,
    ) -> Option<Self> {
        let points_to_glb = camera.points_to_glb(world_to_glb)?;
        let to_frame = points_to_glb.try_inverse()?;
        let (points, colors) = points
            .map(|(point, color)| {
                let point = to_frame * Point3::from(point.map(f64::from));
                ([point.x as f32, point.y as f32, point.z as f32], color)
            })
            .unzip();
        Some(Self {
            camera: camera.clone(),
            chunk: 0,
            points_to_glb,
            points,
            colors,
        })
    }
}

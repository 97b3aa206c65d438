//! Transforms: arrays of rows, as the protocol writes them.

/// A 3×3 matrix.
pub type Matrix3 = [[f64; 3]; 3];
/// A 4×4 transform.
pub type Matrix4 = [[f64; 4]; 4];

pub(crate) const IDENTITY: Matrix4 = [
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 1.0, 0.0, 0.0],
    [0.0, 0.0, 1.0, 0.0],
    [0.0, 0.0, 0.0, 1.0],
];

/// A point after a transform.
pub(crate) fn apply(by: &Matrix4, point: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|row| {
        let [a, b, c, d] = by[row];
        a * point[0] + b * point[1] + c * point[2] + d
    })
}

/// A stored point after a transform, computed with 64 bits.
pub(crate) fn place(by: &Matrix4, point: [f32; 3]) -> [f32; 3] {
    apply(by, point.map(f64::from)).map(|value| value as f32)
}

/// The inverse of a rotation and a translation.
pub(crate) fn inverse_of_pose(pose: &Matrix4) -> Matrix4 {
    let mut inverse = IDENTITY;
    for row in 0..3 {
        for column in 0..3 {
            inverse[row][column] = pose[column][row];
            inverse[row][3] -= pose[column][row] * pose[column][3];
        }
    }
    inverse
}

/// The axes of a glTF camera (x right, y up, z backward) as x right, y down, z forward.
pub(crate) fn with_axes_of_images(pose: &Matrix4) -> Matrix4 {
    pose.map(|[x, y, z, t]| [x, -y, -z, t])
}

/// The transform of a translation, a rotation (a quaternion) and a scale.
pub(crate) fn compose(translation: [f64; 3], rotation: [f64; 4], scale: [f64; 3]) -> Matrix4 {
    let [x, y, z, w] = rotation;
    let turn = [
        [
            1.0 - 2.0 * (y * y + z * z),
            2.0 * (x * y - z * w),
            2.0 * (x * z + y * w),
        ],
        [
            2.0 * (x * y + z * w),
            1.0 - 2.0 * (x * x + z * z),
            2.0 * (y * z - x * w),
        ],
        [
            2.0 * (x * z - y * w),
            2.0 * (y * z + x * w),
            1.0 - 2.0 * (x * x + y * y),
        ],
    ];
    let mut result = IDENTITY;
    for row in 0..3 {
        for column in 0..3 {
            result[row][column] = turn[row][column] * scale[column];
        }
        result[row][3] = translation[row];
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pose_and_its_inverse_cancel_out() {
        // A quarter turn about z: x becomes y.
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let pose = compose([1.0, 2.0, 3.0], [0.0, 0.0, half, half], [1.0; 3]);
        let there = apply(&pose, [5.0, 0.0, 0.0]);
        assert!((there[0] - 1.0).abs() < 1e-12 && (there[1] - 7.0).abs() < 1e-12);
        let back = apply(&inverse_of_pose(&pose), there);
        assert!((back[0] - 5.0).abs() < 1e-12 && back[1].abs() < 1e-12 && back[2].abs() < 1e-12);
    }

    #[test]
    fn a_scale_comes_before_the_rest() {
        let scaled = compose([1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [2.0, 3.0, 4.0]);
        assert_eq!(place(&scaled, [1.0, 1.0, 1.0]), [3.0, 3.0, 4.0]);
    }
}

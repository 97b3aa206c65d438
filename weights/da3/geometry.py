"""Conversion between the network's pose encoding and camera matrices.

A pose encoding has 9 numbers: the camera's position in the world (3), the rotation from camera to
world as a quaternion x, y, z, w, and the vertical and the horizontal field of view in radians.
Extrinsics map world to camera. The principal point is the middle of the image, (W / 2, H / 2).
"""

import torch
from torch import Tensor

SMALLEST_TANGENT = 1e-6
"""Lower bound of the tangent of half a field of view; bounds the focal length."""
SMALLEST_DISTANCE = 0.1
"""Lower bound of the distance by which camera positions are normalised."""


def cameras_from_pose_encoding(
    encoding: Tensor, height: int, width: int, smallest_tangent: float = SMALLEST_TANGENT
) -> Tensor:
    """Float32 rows `[N, 21]` of a pose encoding `[N, 9]`: extrinsics 3 x 4, intrinsics 3 x 3."""
    camera_to_world = rotation_from_quaternion(encoding[:, 3:7])
    rotation = camera_to_world.transpose(1, 2)
    translation = -rotation @ encoding[:, :3, None]
    tangents = torch.tan(encoding[:, 7:9] / 2).clamp(min=smallest_tangent)
    intrinsics = torch.zeros([encoding.size(0), 3, 3], device=encoding.device)
    intrinsics[:, 0, 0] = width / 2 / tangents[:, 1]
    intrinsics[:, 1, 1] = height / 2 / tangents[:, 0]
    intrinsics[:, 0, 2] = width / 2
    intrinsics[:, 1, 2] = height / 2
    intrinsics[:, 2, 2] = 1.0
    extrinsics = torch.cat([rotation, translation], 2)
    return torch.cat([extrinsics.flatten(1), intrinsics.flatten(1)], 1)


def pose_encoding(extrinsics: Tensor, intrinsics: Tensor, height: int, width: int) -> Tensor:
    """The pose encoding `[N, 9]` of extrinsics `[N, 3, 4]` and intrinsics `[N, 3, 3]`."""
    camera_to_world = extrinsics[:, :, :3].transpose(1, 2)
    position = -camera_to_world @ extrinsics[:, :, 3:]
    fov_y = 2 * torch.atan(height / 2 / intrinsics[:, 1, 1])
    fov_x = 2 * torch.atan(width / 2 / intrinsics[:, 0, 0])
    quaternion = quaternion_from_rotation(camera_to_world)
    return torch.cat([position[:, :, 0], quaternion, fov_y[:, None], fov_x[:, None]], 1)


def normalise_extrinsics(
    extrinsics: Tensor, smallest_distance: float = SMALLEST_DISTANCE
) -> Tensor:
    """Express extrinsics `[N, 3, 4]` in the first camera's frame, scaled to a median distance of 1.

    The network was trained on known poses in this form.
    """
    relative = relative_to_first(extrinsics)
    translations = relative[:, :, 3:]
    distances = torch.linalg.vector_norm(translations, dim=[1, 2])
    scale = distances.median().clamp(min=smallest_distance)
    return torch.cat([relative[:, :, :3], translations / scale], 2)


def relative_to_first(extrinsics: Tensor) -> Tensor:
    """Extrinsics `[N, 3, 4]` with the first camera's frame as the world."""
    first = extrinsics[:1, :, :3].transpose(1, 2)
    rotations = extrinsics[:, :, :3] @ first
    translations = extrinsics[:, :, 3:] - rotations @ extrinsics[:1, :, 3:]
    return torch.cat([rotations, translations], 2)


def rotation_from_quaternion(quaternion: Tensor) -> Tensor:
    """Rotation matrices `[N, 3, 3]` of quaternions `[N, 4]` = (x, y, z, w) of any length > 0."""
    x, y, z, w = quaternion.unbind(1)
    s = 2.0 / (quaternion * quaternion).sum(1).clamp(min=1e-30)
    entries = [
        1 - s * (y * y + z * z),
        s * (x * y - z * w),
        s * (x * z + y * w),
        s * (x * y + z * w),
        1 - s * (x * x + z * z),
        s * (y * z - x * w),
        s * (x * z - y * w),
        s * (y * z + x * w),
        1 - s * (x * x + y * y),
    ]
    return torch.stack(entries, 1).view(-1, 3, 3)


def quaternion_from_rotation(rotation: Tensor) -> Tensor:
    """Unit quaternions `[N, 4]` = (x, y, z, w), w >= 0, of rotation matrices `[N, 3, 3]`.

    Each row of the symmetric matrix below is the quaternion times four times one of its parts
    (Shepperd 1978); the row of the largest part is numerically most accurate.
    """
    m = rotation
    xx, yy, zz = m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]
    xy, xz, yz = m[:, 1, 0] + m[:, 0, 1], m[:, 0, 2] + m[:, 2, 0], m[:, 1, 2] + m[:, 2, 1]
    xw, yw, zw = m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]
    squares = torch.stack([1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz, 1 + xx + yy + zz])
    multiples = torch.stack(
        [
            torch.stack([squares[0], xy, xz, xw], 1),
            torch.stack([xy, squares[1], yz, yw], 1),
            torch.stack([xz, yz, squares[2], zw], 1),
            torch.stack([xw, yw, zw, squares[3]], 1),
        ],
        1,
    )
    largest = squares.argmax(0)[:, None, None].expand(-1, 1, 4)
    multiple = multiples.gather(1, largest)[:, 0]
    quaternion = multiple / torch.linalg.vector_norm(multiple, dim=[1], keepdim=True)
    return torch.where(quaternion[:, 3:] < 0, -quaternion, quaternion)

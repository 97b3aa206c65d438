"""Small geometric building blocks: rotations, projection, reproducible random numbers."""

import torch
from torch import Tensor


def cross_matrix(vectors: Tensor) -> Tensor:
    """[..., 3] -> [..., 3, 3], the matrix `M` with `M @ x == cross(vector, x)`."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    zero = torch.zeros_like(x)
    rows = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1)
    return rows.unflatten(-1, [3, 3])


def rotation_from_vector(vectors: Tensor) -> Tensor:
    """Rodrigues' formula, [..., 3] axis times angle in radians -> [..., 3, 3]."""
    angle2 = vectors.square().sum(-1)[..., None, None]
    angle = angle2.clamp(min=1e-24).sqrt()
    small = angle < 1e-4
    sine = torch.where(small, 1.0 - angle2 / 6.0, angle.sin() / angle)
    cosine = torch.where(small, 0.5 - angle2 / 24.0, (1.0 - angle.cos()) / angle.square())
    skew = cross_matrix(vectors)
    identity = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    return identity + sine * skew + cosine * (skew @ skew)


def rotation_angle(rotations: Tensor) -> Tensor:
    """Angle in radians of [..., 3, 3] rotations."""
    trace = rotations.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.acos(((trace - 1.0) / 2.0).clamp(-1.0, 1.0))


def nearest_rotation(matrices: Tensor) -> Tensor:
    """The nearest rotation [..., 3, 3] in the Frobenius norm (orthogonal Procrustes problem)."""
    left, _, right = torch.linalg.svd(matrices)
    sign = torch.det(left @ right)
    flip = torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], dim=-1)
    return (left * flip[..., None, :]) @ right


def rays_of(pixels: Tensor, focal: Tensor) -> Tensor:
    """Centred pixels [..., 2] -> viewing rays [..., 3] with z = 1."""
    return torch.cat([pixels / focal, torch.ones_like(pixels[..., :1])], dim=-1)


def transform(rotations: Tensor, translations: Tensor, points: Tensor) -> Tensor:
    """World points [T, 3] in the frames of N cameras: [T, N, 3]."""
    return torch.einsum("nij,tj->tni", rotations, points) + translations[None]


def project(camera_points: Tensor, focal: Tensor) -> Tensor:
    """Camera points [..., 3] -> centred pixels [..., 2]; far outside for points behind the
    camera."""
    return focal * camera_points[..., :2] / camera_points[..., 2:].clamp(min=1e-3)


def inverse_3x3(matrices: Tensor) -> Tensor:
    """Inverse of [..., 3, 3] by cofactors; large but finite for singular matrices."""
    first, second, third = matrices[..., 0], matrices[..., 1], matrices[..., 2]
    rows = torch.stack(
        [
            torch.linalg.cross(second, third, dim=-1),
            torch.linalg.cross(third, first, dim=-1),
            torch.linalg.cross(first, second, dim=-1),
        ],
        dim=-2,
    )
    determinant = (rows[..., 0, :] * first).sum(-1)
    safe = torch.where(determinant.abs() < 1e-30, torch.full_like(determinant, 1e-30), determinant)
    return rows / safe[..., None, None]


def uniform_hash(rows: int, columns: int, seed: int, device: torch.device) -> Tensor:
    """Reproducible pseudo-random numbers float64 [rows, columns] in (0, 1) by an integer hash
    (xorshift and multiply). The global generator would make results depend on the caller."""
    mask = 0xFFFFFFFF
    state = torch.arange(rows * columns, dtype=torch.int64, device=device)
    state = (state + (seed + 1) * 0x9E3779B9) & mask
    for _ in range(2):
        state = ((state >> 16) ^ state) & mask
        state = (state * 0x45D9F3B) & mask
    state = ((state >> 16) ^ state) & mask
    return ((state.to(torch.float64) + 0.5) / 4294967296.0).reshape(rows, columns)


def nearest_registered(registered: Tensor) -> Tensor:
    """For each frame, the nearest registered frame in the sequence (itself if registered)."""
    index = torch.arange(registered.size(0), device=registered.device)
    apart = (index[:, None] - index[None, :]).abs()
    far = torch.full_like(apart, registered.size(0) + 1)
    return torch.where(registered[None, :], apart, far).argmin(dim=1)

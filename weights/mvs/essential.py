"""Essential matrices: five-point solver, scoring, and decomposition into poses.

An essential matrix `E` relates rays by `x2^T E x1 = 0`, `E = [t]x R`, `z2 x2 = z1 R x1 + t`.
"""

import torch
from torch import Tensor

from weights.mvs.geometry import cross_matrix


def monomials(device: torch.device) -> Tensor:
    """[64, 20]: maps products of three of the unknowns x, y, z, 1 to sums by monomial.

    Order: the ten cubic ones, then xx, xy, yy, xz, yz, zz, x, y, z, 1.
    """
    order = [
        0,  # xxx
        1,  # xxy
        2,  # xxz
        5,  # xyy
        6,  # xyz
        10,  # xzz
        21,  # yyy
        22,  # yyz
        26,  # yzz
        42,  # zzz
        3,  # xx
        7,  # xy
        23,  # yy
        11,  # xz
        27,  # yz
        43,  # zz
        15,  # x
        31,  # y
        47,  # z
        63,  # 1
    ]
    column_of = [0 for _ in range(64)]
    for column in range(20):
        column_of[order[column]] = column
    columns: list[int] = []
    for a in range(4):
        for b in range(4):
            for c in range(4):
                low, high = min(a, min(b, c)), max(a, max(b, c))
                columns.append(column_of[low * 16 + (a + b + c - low - high) * 4 + high])
    table = torch.zeros(64, 20, dtype=torch.float64, device=device)
    table[torch.arange(64, device=device), torch.tensor(columns, device=device)] = 1.0
    return table


def five_point(rays1: Tensor, rays2: Tensor) -> tuple[Tensor, Tensor]:
    """All essential matrices through five correspondences, for a batch of samples.

    Stewenius, Engels and Nister, "Recent developments on direct relative orientation", 2006: the
    null space of the epipolar constraints, the cubic constraints on it by elimination, and the
    eigenvectors of the action matrix.

    Takes float64 [B, 5, 3] twice; returns [B, 10, 3, 3] of unit norm and bool [B, 10] (real
    solutions; the others are arbitrary).
    """
    batch = rays1.size(0)
    device = rays1.device
    constraints = (rays2[:, :, :, None] * rays1[:, :, None, :]).reshape(batch, 5, 9)
    orthogonal, _ = torch.linalg.qr(constraints.transpose(1, 2), mode="complete")
    basis = orthogonal[:, :, 5:].transpose(1, 2).reshape(batch, 4, 3, 3)
    products = torch.einsum("naij,nbkj->nabik", basis, basis)
    traces = products.diagonal(dim1=-2, dim2=-1).sum(-1)
    cubic = 2.0 * torch.einsum("nabik,nckl->nabcil", products, basis)
    cubic = cubic - traces[:, :, :, None, None, None] * basis[:, None, None]
    crossed = torch.linalg.cross(
        basis[:, :, None, 1].expand(batch, 4, 4, 3),
        basis[:, None, :, 2].expand(batch, 4, 4, 3),
        dim=-1,
    )
    determinant = torch.einsum("nai,nbci->nabc", basis[:, :, 0], crossed)
    equations = torch.cat(
        [determinant.reshape(batch, 64, 1), cubic.reshape(batch, 64, 9)], dim=2
    ).transpose(1, 2) @ monomials(device)
    reduced, failed = torch.linalg.solve_ex(equations[:, :, :10], equations[:, :, 10:])
    good = (failed == 0) & torch.isfinite(reduced).flatten(1).all(dim=1)
    reduced = torch.where(good[:, None, None], reduced, torch.zeros_like(reduced))
    action = torch.zeros(batch, 10, 10, dtype=rays1.dtype, device=device)
    # Multiplied by x, the monomials xx xy yy xz yz zz become xxx xxy xyy xxz xyz xzz.
    action[:, :6] = -reduced[:, [0, 1, 3, 2, 4, 5]]
    action[:, 6, 0] = 1.0
    action[:, 7, 1] = 1.0
    action[:, 8, 3] = 1.0
    action[:, 9, 6] = 1.0
    values, vectors = torch.linalg.eig(action)
    real = (torch.imag(values).abs() < 1e-7) & good[:, None]
    solution = torch.real(vectors)
    last = solution[:, 9]
    real = real & (last.abs() > 1e-10)
    weights = solution[:, 6:9] / torch.where(real, last, torch.ones_like(last))[:, None]
    weights = torch.cat([weights, torch.ones_like(weights[:, :1])], dim=1)
    matrices = torch.einsum("nak,naij->nkij", weights, basis)
    norm = matrices.flatten(2).square().sum(-1).sqrt().clamp(min=1e-12)
    matrices = matrices / norm[:, :, None, None]
    return matrices, real & torch.isfinite(matrices).flatten(2).all(dim=-1)


def sampson_squared(matrices: Tensor, points1: Tensor, points2: Tensor) -> Tensor:
    """Squared first-order distance to the epipolar constraint (Sampson error).

    Matrices [G, 3, 3] and homogeneous points [M, 3] -> [G, M] in squared units of the points.
    """
    count = matrices.size(0)
    product = (points2[:, :, None] * points1[:, None, :]).flatten(1)
    algebraic = matrices.flatten(1) @ product.t()
    lines2 = (matrices[:, :2].reshape(count * 2, 3) @ points1.t()).reshape(count, 2, -1)
    lines1 = matrices[:, :, :2].transpose(1, 2).reshape(count * 2, 3) @ points2.t()
    length = lines2.square().sum(1) + lines1.reshape(count, 2, -1).square().sum(1)
    return algebraic.square() / (length + 1e-12)


def two_view_depths(
    rotation: Tensor, translation: Tensor, rays1: Tensor, rays2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Depths along both rays of the midpoint triangulation.

    Rotation [..., 3, 3], translation [..., 3], rays [..., M, 3] -> depths in the first and the
    second frame and the cosine of the angle between the rays, each [..., M].
    """
    turned = rays1 @ rotation.transpose(-1, -2)
    baseline = translation[..., None, :]
    a = turned.square().sum(-1)
    b = rays2.square().sum(-1)
    c = (turned * rays2).sum(-1)
    d = (turned * baseline).sum(-1)
    e = (rays2 * baseline).sum(-1)
    gap = (a * b - c * c).clamp(min=1e-12)
    return (c * e - b * d) / gap, (a * e - c * d) / gap, c / (a * b).sqrt()


def decompose(
    matrices: Tensor, rays1: Tensor, rays2: Tensor, inliers: Tensor
) -> tuple[Tensor, Tensor]:
    """Rotation and unit translation of each essential matrix, by the cheirality check: most inliers
    in front of both cameras (Hartley and Zisserman 2003, section 9.6.2).

    Matrices [P, 3, 3], rays [P, M, 3], inliers bool [P, M] -> [P, 3, 3], [P, 3].
    """
    left, _, right = torch.linalg.svd(matrices)
    left = left * torch.det(left).sign()[:, None, None]
    right = right * torch.det(right).sign()[:, None, None]
    turn = torch.zeros(3, 3, dtype=matrices.dtype, device=matrices.device)
    turn[0, 1] = -1.0
    turn[1, 0] = 1.0
    turn[2, 2] = 1.0
    one, two, along = left @ turn @ right, left @ turn.t() @ right, left[:, :, 2]
    rotations = torch.stack([one, one, two, two], dim=1)
    translations = torch.stack([along, -along, along, -along], dim=1)
    depth1, depth2, _ = two_view_depths(rotations, translations, rays1[:, None], rays2[:, None])
    front = (depth1 > 0) & (depth2 > 0) & (depth1 < 200) & (depth2 < 200) & inliers[:, None]
    choice = front.sum(-1).argmax(dim=1)
    pick = torch.arange(matrices.size(0), device=matrices.device)
    return rotations[pick, choice], translations[pick, choice]


def essential_of(rotation: Tensor, translation: Tensor) -> Tensor:
    """[t]x R."""
    return cross_matrix(translation) @ rotation

"""Loops: places that the camera has come back to, where frames that were placed long apart
contradict each other.

The points of both sides are intersected apart and aligned by a similarity (Horn, "Closed-form
solution of absolute orientation using unit quaternions", 1987; here by Umeyama's method), whose
correction a pose graph spreads over the frames in between (Strasdat et al., "Scale drift-aware
large scale monocular SLAM", 2010).
"""

import math

import torch
from torch import Tensor

from weights.mvs.bundle import Observations, Scene
from weights.mvs.geometry import nearest_rotation, uniform_hash
from weights.mvs.intersection import centres_of, residual_lengths, with_points
from weights.mvs.pair_agreement import agreement_of_pairs, contradicting, holding, strongest
from weights.mvs.pose_graph import Edges, solve

LEAST_ALIGNED: int = 12
"""Points that must agree with a similarity."""
LEAST_FRAMES: int = 3
"""Frames that a loop must have at either end."""
LEAST_ANGLE: float = math.radians(0.5)
"""Least angle in radians between the rays to a point of one side."""
OF_LOOP: float = 10.0
"""Weight of a pair of frames that closes a loop, relative to a step from frame to frame."""
EXACT: float = 0.1
"""Distance of aligned points, as a share of their depth."""


def similarity_of(source: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The similarities from points [..., P, 3] to others, by least squares with weights [..., P]:
    scale [...], rotation [..., 3, 3], translation [..., 3] of `scale * rotation @ x +
    translation`."""
    share = weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)
    middle = (source * share[..., None]).sum(-2, keepdim=True)
    other = (target * share[..., None]).sum(-2, keepdim=True)
    one, two = source - middle, target - other
    covariance = (two * share[..., None]).transpose(-2, -1) @ one
    rotation = nearest_rotation(covariance)
    size = (one.square().sum(-1) * share).sum(-1).clamp(min=1e-18)
    scale = (rotation * covariance).sum([-2, -1]) / size
    moved = (rotation @ middle.transpose(-2, -1))[..., 0] * scale[..., None]
    return scale, rotation, other[..., 0, :] - moved


def align(
    source: Tensor, target: Tensor, depths: Tensor, exact: float = EXACT, draws: int = 100
) -> tuple[float, Tensor, Tensor, int]:
    """The similarity that brings most points [P, 3] to others [P, 3], whose depths [P] say how
    exactly they are known, and how many it brings there (RANSAC over three points)."""
    count = source.size(0)
    samples = (uniform_hash(draws, 3, count, source.device) * count).long().clamp(max=count - 1)
    ones = torch.ones(draws, 3, dtype=source.dtype, device=source.device)
    scale, rotation, moved = similarity_of(source[samples], target[samples], ones)
    placed = (rotation @ source.t()).transpose(1, 2) * scale[:, None, None] + moved[:, None]
    off = (placed - target).square().sum(-1).sqrt() / (exact * depths)
    best = int((1.0 - off.square()).clamp(min=0.0).sum(1).argmax())
    off = off[best]
    scale, rotation, moved = scale[best], rotation[best], moved[best]
    for _pass in range(4):
        weights = (1.0 + off.square()).pow(-2)
        scale, rotation, moved = similarity_of(source, target, weights)
        placed = (source @ rotation.t()) * scale + moved
        off = (placed - target).square().sum(-1).sqrt() / (exact * depths)
    return float(scale), rotation, moved, int((off < 1.0).sum())


def points_of_side(
    scene: Scene,
    observations: Observations,
    side: Tensor,
    threshold: float,
    least_angle: float = LEAST_ANGLE,
) -> tuple[Tensor, Tensor]:
    """The points [T, 3] as the frames of one side (bool [N]) see them, and whether they are known
    [T]."""
    kept = side[observations.camera]
    part = Observations(
        observations.camera[kept], observations.point[kept], observations.pixels[kept]
    )
    count = int(observations.point[-1]) + 1
    placed, wide = with_points(scene, part, threshold, count, least_angle)
    good = residual_lengths(placed, part) < 3.0 * threshold
    agree = torch.bincount(part.point[good], minlength=count)
    return placed.points, wide & (agree >= 2)


def spanning_tree(shared: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of frames, two int64 [N - 1], that join all of them and share as many points as
    possible, int64 [N, N] (Prim's algorithm). Frames that share none with the others are joined to
    those beside them.

    Drift comes from every step, so a loop must be spread evenly over the steps of such a tree: with
    all pairs as edges it would gather where few frames share points."""
    frames = shared.size(0)
    order = torch.arange(frames, device=shared.device)
    apart = (order[:, None] - order[None]).abs()
    strength = shared.to(torch.float64) + 0.5 / apart.clamp(min=1).to(torch.float64)
    joined = torch.zeros(frames, dtype=torch.bool, device=shared.device)
    joined[0] = True
    best, partner = strength[0].clone(), torch.zeros_like(order)
    left: list[int] = []
    right: list[int] = []
    for _step in range(frames - 1):
        near = int(torch.where(joined, torch.full_like(best, -1.0), best).argmax())
        left.append(int(partner[near]))
        right.append(near)
        joined[near] = True
        closer = strength[near] > best
        best = torch.where(closer, strength[near], best)
        partner = torch.where(closer, torch.full_like(partner, near), partner)
    device = shared.device
    return (
        torch.tensor(left, dtype=torch.int64, device=device),
        torch.tensor(right, dtype=torch.int64, device=device),
    )


def close_loops(
    scene: Scene,
    observations: Observations,
    threshold: float,
    first: int,
    least_aligned: int = LEAST_ALIGNED,
    least_frames: int = LEAST_FRAMES,
    of_loop: float = OF_LOOP,
) -> tuple[Scene, bool]:
    """The scene with cameras that agree where frames contradicted each other, and whether that was
    possible. The camera of the frame `first` stays."""
    frames = scene.rotations.size(0)
    pairs = agreement_of_pairs(scene, observations, 2.0 * threshold)
    agree = holding(pairs)
    identity = torch.eye(frames, dtype=torch.bool, device=agree.device)
    centres = centres_of(scene)
    one: list[int] = []
    two: list[int] = []
    rotations: list[Tensor] = []
    baselines: list[Tensor] = []
    scales: list[float] = []
    for i, j in strongest(pairs, contradicting(pairs)):
        side_i, side_j = agree[i] | identity[i], agree[j] | identity[j]
        neither = side_i & side_j
        side_i, side_j = side_i & ~neither, side_j & ~neither
        points_i, known_i = points_of_side(scene, observations, side_i, 2.0 * threshold)
        points_j, known_j = points_of_side(scene, observations, side_j, 2.0 * threshold)
        both = known_i & known_j
        if int(both.sum()) < least_aligned:
            continue
        depths = (points_i - centres[i]).square().sum(1).sqrt()
        scale, turn, moved, count = align(points_j[both], points_i[both], depths[both])
        if count < least_aligned or 2 * count < int(both.sum()) or scale <= 0.0:
            continue
        centre = scale * (turn @ centres[j]) + moved
        one.append(i)
        two.append(j)
        rotations.append(scene.rotations[j] @ turn.t() @ scene.rotations[i].t())
        baselines.append(scene.rotations[i] @ (centre - centres[i]))
        scales.append(scale)
    if len(one) == 0:
        return scene, False
    ends = [torch.unique(torch.tensor(end)).size(0) for end in [one, two]]
    if min(ends) < least_frames:
        return scene, False
    left, right = spanning_tree(torch.where(agree, pairs.shared, torch.zeros_like(pairs.shared)))
    relative = scene.rotations[right] @ scene.rotations[left].transpose(1, 2)
    apart = (scene.rotations[left] @ (centres[right] - centres[left])[:, :, None])[:, :, 0]
    device = centres.device
    exact = torch.ones(left.size(0) + len(one), dtype=torch.float64, device=device)
    exact[left.size(0) :] = of_loop
    edges = Edges(
        first=torch.cat([left, torch.tensor(one, device=device)]),
        second=torch.cat([right, torch.tensor(two, device=device)]),
        rotations=torch.cat([relative, torch.stack(rotations)]),
        baselines=torch.cat([apart, torch.stack(baselines)]),
        log_scales=torch.cat(
            [
                torch.zeros(left.size(0), dtype=torch.float64, device=device),
                torch.tensor(scales, dtype=torch.float64, device=device).log(),
            ]
        ),
        weights=exact,
    )
    turned, centres = solve(edges, scene.rotations, centres, first)
    translations = -(turned @ centres[:, :, None])[:, :, 0]
    return Scene(turned, translations, scene.lenses, scene.points), True

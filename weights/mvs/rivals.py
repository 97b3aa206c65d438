"""Ambiguity: other solutions that fit nearly as well, caused by repeated or mirrored texture or by
a plane seen by two cameras."""

import torch
from torch import Tensor

from weights.mvs.calibration import FocalPrior
from weights.mvs.correspondences import Correspondences, select_pairs
from weights.mvs.epipolar import RelativePoses, draw_samples, hypotheses, refine_relative
from weights.mvs.essential import decompose
from weights.mvs.geometry import rays_of, rotation_angle
from weights.mvs.growth import Reconstruction
from weights.mvs.view_graph import truncated_score


def differs(rotations: Tensor, directions: Tensor, others: Tensor, along: Tensor) -> Tensor:
    """bool [P], whether relative poses (rotations [P, 3, 3], unit translations [P, 3]) differ by
    more than the noise of a good estimate: 2 degrees of rotation or 20 of direction."""
    apart = rotation_angle(others.transpose(1, 2) @ rotations)
    angle = torch.acos((directions * along).sum(1).clamp(-1.0, 1.0))
    return (apart > 0.035) | (angle > 0.35)


def two_view_rival(
    table: Correspondences, row: int, model: Reconstruction, prior: FocalPrior, threshold: float
) -> Tensor:
    """Score of the best other relative pose of a pair relative to the model's, float64 []. The
    points of `table` are those of the lens of group 0 without distortion."""
    device = table.points1.device
    pair = select_pairs(table, torch.tensor([row], device=device))
    scene = model.scene
    first, second = int(pair.first[0]), int(pair.second[0])
    rotation = scene.rotations[second] @ scene.rotations[first].t()
    baseline = scene.translations[second] - rotation @ scene.translations[first]
    baseline = baseline / baseline.square().sum().sqrt().clamp(min=1e-9)
    log_focal = scene.lenses.log_focal[0]
    information = torch.zeros_like(log_focal)
    chosen = RelativePoses(rotation[None], baseline[None], log_focal, information)
    reference = truncated_score(chosen, pair, threshold)[0]

    used = int(pair.valid[0].sum())
    samples = draw_samples(pair.ratio[0], pair.valid[0], 200, 7)
    focal = float(log_focal.exp())
    matrices, _ = hypotheses(
        pair.points1[0, :used], pair.points2[0, :used], samples, focal, threshold
    )
    count = matrices.size(0)
    if count == 0:
        return torch.zeros_like(reference)
    copies = select_pairs(pair, torch.zeros(count, dtype=torch.int64, device=device))
    scale = log_focal.exp()
    rays1, rays2 = rays_of(copies.points1, scale), rays_of(copies.points2, scale)
    rotations, directions = decompose(matrices, rays1, rays2, copies.valid)
    start = RelativePoses(rotations, directions, log_focal, information)
    found = refine_relative(start, copies, prior, 0.6 * threshold, 8, False)
    scores = truncated_score(found, copies, threshold)
    other = differs(
        found.rotations,
        found.translations,
        rotation[None].expand(count, 3, 3),
        baseline[None].expand(count, 3),
    )
    return (scores * other).max() / reference.clamp(min=1.0)


def disputed(model: Reconstruction, other: Reconstruction) -> Tensor:
    """bool [N], frames whose poses relative to most others differ between two reconstructions.

    One wrong frame must not put the others in doubt, so the frame that disagrees with most of the
    others is taken out first, and so on.
    """
    both = model.registered & other.registered
    index = torch.nonzero(both)[:, 0]
    count = index.size(0)
    result = model.registered.clone()
    if count < 2:
        return result
    first = index[:, None].expand(count, count).reshape(-1)
    second = index[None].expand(count, count).reshape(-1)
    turns: list[Tensor] = []
    directions: list[Tensor] = []
    for scene in [model.scene, other.scene]:
        turn = scene.rotations[second] @ scene.rotations[first].transpose(1, 2)
        moved = (turn @ scene.translations[first][:, :, None])[:, :, 0]
        baseline = scene.translations[second] - moved
        length = baseline.square().sum(1, keepdim=True).sqrt().clamp(min=1e-9)
        turns.append(turn)
        directions.append(baseline / length)
    apart = differs(turns[0], directions[0], turns[1], directions[1]).reshape(count, count)
    apart = apart & ~torch.eye(count, dtype=torch.bool, device=apart.device)
    same = torch.ones(count, dtype=torch.bool, device=apart.device)
    while int(same.sum()) > 1:
        against = (apart & same[None]).sum(1) * same
        worst = int(against.argmax())
        if 2 * int(against[worst]) < int(same.sum()) - 1:
            break
        same[worst] = False
    # Two reconstructions without a common majority contradict each other as a whole.
    if int(same.sum()) < 2 or 2 * int(same.sum()) < count:
        return result
    result[index[same]] = False
    return result & both

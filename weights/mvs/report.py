"""The contract's report: what is known about each frame's geometry, and what is wrong with it."""

import torch
from torch import Tensor

from weights.mvs.correspondences import Correspondences
from weights.mvs.growth import Reconstruction, reprojection_errors
from weights.mvs.lenses import focal_lengths, straightened
from weights.mvs.reliability import AMBIGUOUS, NO_PARALLAX, TOO_FEW_MATCHES, Reliability
from weights.mvs.tracks import Tracks, connected_components
from weights.mvs.triangulation import triangulate
from weights.mvs.view_graph import ViewGraph

NOT_CONNECTED: int = 2
ROTATION_ONLY: int = 4
LEAST_MATCHES: int = 20
"""Inliers with which a pair of frames counts as connected."""
DOUBTFUL: float = 0.2
"""Reliability below which a frame has a reason."""


def unknown_report(frames: int, device: torch.device, reason: int = TOO_FEW_MATCHES) -> Tensor:
    """The report of frames that nothing connects, float32 [N, 8]."""
    report = torch.full([frames, 8], -1.0, device=device)
    report[:, 0] = float(reason)
    report[:, 2] = 0.0
    report[:, 7] = 0.0
    return report


def connected(graph: ViewGraph, least: int = LEAST_MATCHES) -> Tensor:
    """bool [P], pairs that show the same."""
    return graph.inliers.sum(1) >= least


def pieces(table: Correspondences, graph: ViewGraph, registered: Tensor) -> Tensor:
    """Piece of each frame, int64 [N]: the registered frames are piece 0, the others follow by
    size; -1 for frames that are connected with no other."""
    frames = registered.size(0)
    both = connected(graph) & ~registered[table.first] & ~registered[table.second]
    labels = connected_components(frames, table.first[both], table.second[both])
    sizes = torch.bincount(labels[~registered], minlength=frames)
    order = torch.argsort(sizes, descending=True, stable=True)
    large = order[sizes[order] >= 2]
    number = torch.full_like(labels, -1)
    begin = 1 if bool(registered.any()) else 0
    number[large] = torch.arange(large.size(0), device=labels.device) + begin
    return torch.where(registered, torch.zeros_like(labels), number[labels])


def missing_reasons(
    table: Correspondences,
    graph: ViewGraph,
    registered: Tensor,
    extent: float,
    few: int = TOO_FEW_MATCHES,
    apart: int = NOT_CONNECTED,
    still: int = NO_PARALLAX,
    turned: int = ROTATION_ONLY,
    unclear: int = AMBIGUOUS,
) -> Tensor:
    """For each frame int64 [N], why it is not registered, if it is not."""
    frames = registered.size(0)
    inliers = graph.inliers.sum(1).to(torch.float64).clamp(min=1.0)
    joined = connected(graph)
    alone = joined & (graph.parallax < 0.2 * inliers)
    motion = (table.points2 - table.points1).square().sum(-1).sqrt()
    moved = (motion * graph.inliers).sum(1) / inliers > 0.02 * extent
    counts = torch.zeros(4, frames, dtype=torch.float64, device=registered.device)
    sides = [table.first, table.second]
    for own, other in zip(sides, [sides[1], sides[0]]):  # noqa: B905 (TorchScript)
        counts[0].index_add_(0, own, joined.to(torch.float64))
        counts[1].index_add_(0, own, (joined & registered[other]).to(torch.float64))
        counts[2].index_add_(0, own, alone.to(torch.float64))
        counts[3].index_add_(0, own, (alone & moved).to(torch.float64))
    reasons = torch.full([frames], few, dtype=torch.int64, device=registered.device)
    reasons[counts[1] > 0] = unclear
    if bool(registered.any()):
        reasons[(counts[0] > 0) & (counts[1] == 0)] = apart
    most = 2.0 * counts[2] > counts[0]
    reasons[most] = still
    reasons[most & (2.0 * counts[3] > counts[2])] = turned
    return reasons


def unsolved_report(table: Correspondences, graph: ViewGraph, frames: int, extent: float) -> Tensor:
    """The report if no frame could be registered, float32 [N, 8]."""
    none = torch.zeros(frames, dtype=torch.bool, device=table.first.device)
    report = unknown_report(frames, none.device)
    report[:, 0] = missing_reasons(table, graph, none, extent).to(torch.float32)
    report[:, 1] = pieces(table, graph, none).to(torch.float32)
    return report


def median_by_frame(values: Tensor, counted: Tensor) -> Tensor:
    """Median [N] of values [T, N] where `counted`; -1 without values."""
    gaps = torch.full_like(values, float("nan"))
    middle = torch.where(counted, values, gaps).nanmedian(dim=0).values
    return torch.nan_to_num(middle, -1.0)


def frame_report(
    model: Reconstruction,
    tracks: Tracks,
    visible: Tensor,
    table: Correspondences,
    graph: ViewGraph,
    reliability: Reliability,
    extent: float,
    doubtful: float = DOUBTFUL,
    shallow: int = NO_PARALLAX,
    turned: int = ROTATION_ONLY,
) -> Tensor:
    """Rows float32 [N, 8]; `visible` bool [T, N] are the inlier observations."""
    scene = model.scene
    registered = model.registered
    errors, _ = reprojection_errors(model, tracks)
    _, angles = triangulate(
        scene.rotations,
        scene.translations,
        focal_lengths(scene.lenses)[:, None],
        straightened(tracks.pixels, scene.lenses),
        visible,
    )
    parallax = torch.rad2deg(angles)[:, None].expand_as(errors)
    missing = missing_reasons(table, graph, registered, extent)
    sure = torch.zeros_like(missing)
    # Without parallax nothing else can be told.
    flat = (missing == shallow) | (missing == turned)
    doubt = torch.where(flat, missing, reliability.doubt)
    reasons = torch.where(reliability.value < doubtful, doubt, sure)
    reasons = torch.where(registered, reasons, missing)
    unknown = torch.full_like(reliability.focal, -1.0)
    columns = [
        reasons.to(torch.float64),
        pieces(table, graph, registered).to(torch.float64),
        visible.sum(0).to(torch.float64),
        median_by_frame(errors, visible),
        median_by_frame(parallax, visible),
        torch.where(registered, reliability.focal, unknown),
        torch.where(registered, reliability.depth, unknown),
        reliability.value.to(torch.float64),
    ]
    return torch.stack(columns, dim=1).to(torch.float32)

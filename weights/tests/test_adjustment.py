"""Joint adjustment of frames that several runs have placed, on observations with ground truth."""

import math

import pytest
import torch
from torch import Tensor

from weights.mvs import adjustment, merging
from weights.mvs.geometry import rotation_angle, rotation_from_vector
from weights.mvs.pose_graph import rotation_vector

SIZE = torch.tensor([252, 336])
FOCAL = 320.0
THRESHOLD = 1.3
RADIUS = 3.0


@pytest.fixture(scope="module")
def adjust():
    return torch.jit.script(adjustment.adjust_frames)


def walk(frames: int, turns: float) -> tuple[Tensor, Tensor]:
    """Cameras that walk on a circle and look outwards, with so many rounds."""
    angles = torch.linspace(0.0, 2.0 * math.pi * turns, frames, dtype=torch.float64)
    zero = torch.zeros_like(angles)
    rotations = rotation_from_vector(torch.stack([zero, -angles, zero], 1))
    # The optical axis is the third row: outwards in the plane of x and z.
    centres = rotations[:, 2] * RADIUS
    centres[:, 1] = 0.1 * (3.0 * angles).sin()
    return rotations, centres


def surroundings(count: int, seed: int = 0) -> Tensor:
    """Points [T, 3] around the walk, at distances of 2 to 4 from it."""
    random = torch.Generator().manual_seed(seed)
    values = torch.rand(count, 3, generator=random, dtype=torch.float64)
    angles, distances = values[:, 0] * 2.0 * math.pi, RADIUS + 2.0 + 2.0 * values[:, 1]
    return torch.stack(
        [distances * angles.sin(), 3.0 * values[:, 2] - 1.5, distances * angles.cos()], 1
    )


def pixels_of(rotations: Tensor, centres: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Centred pixels [N, T, 2] with the noise of a detector, and which of them are seen [N, T]."""
    placed = torch.einsum("nij,ntj->nti", rotations, points[None] - centres[:, None])
    pixels = FOCAL * placed[..., :2] / placed[..., 2:].clamp(min=1e-3)
    random = torch.Generator().manual_seed(1)
    pixels = pixels + 0.3 * torch.randn(pixels.shape, generator=random, dtype=torch.float64)
    half = torch.tensor([SIZE[1], SIZE[0]]) / 2.0
    return pixels, (pixels.abs() < half).all(-1) & (placed[..., 2] > 0.5)


def links_of(
    pixels: Tensor, seen: Tensor, windows: list[list[int]], seed: int = 2, most: int = 150
) -> Tensor:
    """Rows [O, 4] of links: each window is a run that numbers its tracks in an order of its own."""
    random = torch.Generator().manual_seed(seed)
    rows, base = [], 0
    for window in windows:
        track = torch.randperm(pixels.size(1), generator=random)
        common = seen[window].sum(0) >= 2
        for frame in window:
            index = torch.nonzero(seen[frame] & common)[:most, 0]
            first = torch.full([index.size(0), 1], float(frame), dtype=torch.float64)
            numbers = (track[index] + base)[:, None].to(torch.float64)
            rows.append(torch.cat([first, pixels[frame, index], numbers], 1))
        base += pixels.size(1)
    return torch.cat(rows)


def rows_of(rotations: Tensor, centres: Tensor, focal: float = FOCAL) -> Tensor:
    """Rows [N, 24] of placed cameras."""
    rows = torch.zeros(rotations.size(0), 24, dtype=torch.float64)
    translations = -(rotations @ centres[:, :, None])
    rows[:, :12] = torch.cat([rotations, translations], 2).flatten(1)
    rows[:, 12] = rows[:, 16] = focal
    rows[:, 20] = rows[:, 21] = 1.0
    return rows


def drifted(
    rotations: Tensor, centres: Tensor, turn: float, shrink: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The walk as it looks if each step turns too far by `turn` radians and is too short by the
    factor `shrink`, relative to the one before; and the unit of length of each frame."""
    moved_rotations, moved = [rotations[0]], [centres[0]]
    units = [1.0]
    for i in range(1, rotations.size(0)):
        relative = rotations[i] @ rotations[i - 1].t()
        error = rotation_from_vector(torch.tensor([0.2 * turn, turn, 0.0], dtype=torch.float64))
        step = rotations[i - 1] @ (centres[i] - centres[i - 1])
        moved.append(moved[-1] + moved_rotations[-1].t() @ step * units[-1])
        moved_rotations.append(error @ relative @ moved_rotations[-1])
        units.append(units[-1] * shrink)
    return torch.stack(moved_rotations), torch.stack(moved), torch.tensor(units)


def errors(found: Tensor, truth: Tensor) -> Tensor:
    """Distances of centres [N, 3] from the true ones after a similarity."""
    return differences(found, truth).norm(dim=1)


def differences(found: Tensor, truth: Tensor) -> Tensor:
    """The same as vectors [N, 3]."""
    one, two = found - found.mean(0), truth - truth.mean(0)
    left, values, right = torch.linalg.svd(two.t() @ one)
    sign = torch.ones(3, dtype=torch.float64)
    sign[2] = torch.det(left @ right)
    turned = one @ ((left * sign) @ right).t() * (values * sign).sum() / one.square().sum()
    return turned - two


def centres_of(scene) -> Tensor:
    return -(scene.rotations.transpose(1, 2) @ scene.translations[:, :, None])[:, :, 0]


def windows(frames: int) -> list[list[int]]:
    """Windows of six frames, of which three are new."""
    starts = range(0, frames - 3, 3)
    return [list(range(start, min(start + 6, frames))) for start in starts]


def no_hints(frames: int) -> Tensor:
    return torch.zeros(frames, 3)


def test_tracks_of_runs_that_have_a_feature_in_common_are_one_point():
    rows = [
        # The first run sees one point in frames 0 and 1, the second one in 1 and 2.
        [0, 5.0, 1.0, 0],
        [1, 6.0, 1.0, 0],
        [1, 6.0, 1.0, 7],
        [2, 7.0, 1.0, 7],
        # A point that frame 1 would see at two places.
        [0, 50.0, 1.0, 1],
        [1, 51.0, 1.0, 1],
        [2, 52.0, 1.0, 1],
        [1, 61.0, 1.0, 1],
        # One that a single frame sees.
        [2, 80.0, 1.0, 9],
    ]
    merged = merging.merge_links(torch.tensor(rows), 3)
    found = [
        sorted(
            (int(camera), float(pixels[0]))
            for camera, pixels in zip(
                merged.camera[merged.point == point],
                merged.pixels[merged.point == point],
                strict=True,
            )
        )
        for point in range(int(merged.point.max()) + 1)
    ]
    assert sorted(found) == [[(0, 5.0), (1, 6.0), (2, 7.0)], [(0, 50.0), (2, 52.0)]]
    assert merging.merge_links(torch.zeros(0, 4), 3).point.size(0) == 0


def test_rotation_vectors_are_the_inverse_of_rotations():
    vectors = torch.tensor([[0.0, 0.0, 0.0], [0.3, -1.0, 2.0], [1e-5, 0.0, 0.0]]).double()
    torch.testing.assert_close(rotation_vector(rotation_from_vector(vectors)), vectors)


def test_drift_is_removed(adjust):
    frames = 18
    rotations, centres = walk(frames, 0.5)
    pixels, seen = pixels_of(rotations, centres, surroundings(4000))
    links = links_of(pixels, seen, windows(frames))
    turned, moved, units = drifted(rotations, centres, 0.012, 0.97)
    rows = rows_of(turned, moved, 1.1 * FOCAL)
    before = errors(moved, centres)
    found = adjust(links, rows, no_hints(frames), SIZE, THRESHOLD)
    assert found.adjusted.all()
    after = errors(centres_of(found.scene), centres)
    assert before.max() > 0.3
    assert after.max() < 0.4 * before.max()
    focal = found.scene.lenses.log_focal.exp()
    assert (focal / FOCAL - 1.0).abs().max() < 0.06
    # Depths grow where the unit of length had shrunk, and by nothing on the whole.
    growth = found.factor / found.factor[0] * units
    assert (growth / growth.mean() - 1.0).abs().max() < 0.05
    assert abs(float(found.factor.median()) - 1.0) < 0.01
    # The first frame stays.
    assert rotation_angle(found.scene.rotations[0] @ turned[0].t()) < 1e-6
    assert (centres_of(found.scene)[0] - moved[0]).norm() < 1e-6


def round_trip() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A walk of one round and a bit, whose last frames were placed beside the first ones while the
    others have drifted: links, cameras, true centres, drifted rotations and centres."""
    frames = 48
    rotations, centres = walk(frames, 1.12)
    pixels, seen = pixels_of(rotations, centres, surroundings(6000))
    returned = [index for index in range(frames) if index >= 44]
    links = links_of(pixels, seen, [*windows(frames), [0, 1, 2, 3, 4, 5, *returned]])
    turned, moved, _ = drifted(rotations, centres, 0.006, 0.99)
    turned[returned], moved[returned] = rotations[returned], centres[returned]
    return links, rows_of(turned, moved), centres, turned, moved


def test_a_loop_is_closed(adjust):
    links, rows, centres, _, moved = round_trip()
    before = errors(moved, centres)
    found = adjust(links, rows, no_hints(rows.size(0)), SIZE, THRESHOLD)
    after = errors(centres_of(found.scene), centres)
    assert found.adjusted.all()
    assert before.max() > 0.5
    assert after.max() < 0.05


def test_places_that_only_look_alike_bend_nothing(adjust):
    frames = 30
    rotations, centres = walk(frames, 0.6)
    pixels, seen = pixels_of(rotations, centres, surroundings(6000))
    links = links_of(pixels, seen, windows(frames))
    truth = adjust(links, rows_of(rotations, centres), no_hints(frames), SIZE, THRESHOLD)
    # The last frames seem to see what the first ones see.
    alike = links_of(pixels, seen, [[0, 1, 2, 3, 4, 5]], seed=5)
    copies = alike.clone()
    copies[:, 0] += float(frames - 6)
    copies[:, 1:3] += 0.4
    false = torch.cat([alike, copies])
    false[:, 3] += float(links[:, 3].max()) + 1.0
    found = adjust(
        torch.cat([links, false]),
        rows_of(rotations, centres),
        no_hints(frames),
        SIZE,
        THRESHOLD,
    )
    wanted = errors(centres_of(truth.scene), centres).max()
    bent = errors(centres_of(found.scene)[found.adjusted], centres[found.adjusted])
    assert found.adjusted.sum() > 0.8 * frames
    assert bent.max() < max(0.02, 2.0 * float(wanted))


@pytest.mark.parametrize("at_once", [5, 96])
def test_frames_between_those_that_are_adjusted_together_follow(adjust, at_once):
    frames = 36
    rotations, centres = walk(frames, 0.5)
    pixels, seen = pixels_of(rotations, centres, surroundings(4000))
    links = links_of(pixels, seen, windows(frames))
    # The others have jumped aside, each pair of neighbours to another side.
    together = adjustment.spread_out(torch.ones(frames, dtype=torch.bool), 12)
    jumped = ~torch.isin(torch.arange(frames), together)
    side = torch.where(torch.arange(frames) % 4 < 2, 0.05, -0.05).double()[:, None]
    moved = centres + torch.where(jumped[:, None], side, torch.zeros_like(side))
    rows = rows_of(rotations, moved)
    found = adjust(links, rows, no_hints(frames), SIZE, THRESHOLD, most=12, at_once=at_once)
    assert found.adjusted.all()
    # From frame to frame: a walk that does not close bends as a whole.
    before = differences(moved, centres).diff(dim=0).norm(dim=1)
    after = differences(centres_of(found.scene), centres).diff(dim=0).norm(dim=1)
    assert before.max() > 0.15
    assert after.max() < 0.06
    assert (found.factor - 1.0).abs().median() < 0.05


def test_frames_that_nothing_holds_keep_their_cameras(adjust):
    frames = 24
    rotations, centres = walk(frames, 0.5)
    pixels, seen = pixels_of(rotations, centres, surroundings(4000))
    links = links_of(pixels, seen, windows(frames))
    turned, moved, _ = drifted(rotations, centres, 0.012, 0.97)
    rows = rows_of(turned, moved)
    # One that is adjusted with others if it has links, and one between.
    lost = [11, 12]
    links = links[~torch.isin(links[:, 0], torch.tensor(lost).double())]
    found = adjust(links, rows, no_hints(frames), SIZE, THRESHOLD, most=12)
    assert torch.nonzero(~found.adjusted)[:, 0].tolist() == lost
    kept = rows_of(found.scene.rotations, centres_of(found.scene))[lost, :12]
    torch.testing.assert_close(kept, rows[lost, :12])
    assert (found.factor[lost] == 1.0).all()


@pytest.mark.parametrize("placed", [0, 2])
def test_without_links_or_frames_nothing_is_adjusted(adjust, placed):
    rotations, centres = walk(4, 0.1)
    rows = rows_of(rotations, centres)
    rows[placed:, 21] = 0.0
    found = adjust(torch.zeros(0, 4), rows, no_hints(4), SIZE, THRESHOLD)
    assert not found.adjusted.any()
    rows = adjustment.adjusted_rows(torch.zeros(0, 4), rows, no_hints(4), SIZE, THRESHOLD)
    assert torch.isfinite(rows).all() and rows.shape == (4, 25)
    assert not rows[:, 21].any()

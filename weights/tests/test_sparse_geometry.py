"""The parts of the sparse reconstruction against ground truth."""

import math

import pytest
import torch

from weights.mvs.bundle import LensPrior, Observations, Scene, adjust, observation_pairs
from weights.mvs.correspondences import Correspondences
from weights.mvs.essential import decompose, essential_of, five_point, two_view_depths
from weights.mvs.geometry import (
    inverse_3x3,
    rays_of,
    rotation_angle,
    rotation_from_vector,
    uniform_hash,
)
from weights.mvs.lenses import Lenses, radial_terms, recorded, straight
from weights.mvs.parallax import homography_residuals, rotation_residuals
from weights.mvs.resection import locate, refine_pose
from weights.mvs.tracks import build_tracks, connected_components
from weights.mvs.triangulation import triangulate
from weights.mvs.uncertainty import depth_deviations
from weights.tests.sparse_scene import generator, pixels_of, scene


def observations_of(truth) -> Observations:
    pixels, _ = pixels_of(truth)
    count, frames = pixels.size(0), pixels.size(1)
    point = torch.arange(count).repeat_interleave(frames)
    camera = torch.arange(frames).repeat(count)
    return Observations(camera=camera, point=point, pixels=pixels.reshape(-1, 2))


def lenses_of(frames: int, focal: float, bend: float = 0.0, groups: int = 1) -> Lenses:
    """Equal lenses; the frames belong to the groups in turn."""
    return Lenses(
        log_focal=torch.full([groups], math.log(focal), dtype=torch.float64),
        bend=torch.full([groups], bend, dtype=torch.float64),
        group=torch.arange(frames) % groups,
        extent=336.0,
    )


def prior_of(log_focal, focal_weight: float, bend_weight: float = 0.0) -> LensPrior:
    def each(value: float):
        return torch.full_like(log_focal, value)

    return LensPrior(log_focal, each(focal_weight), each(bend_weight))


def bent(pixels, bend: float, extent: float):
    """Where a lens with this bend records pixels, by bisection along the ray."""
    distance = pixels.norm(dim=-1)
    low, high = torch.zeros_like(distance), 4.0 * distance
    for _ in range(80):
        middle = (low + high) / 2
        far = middle * (1 + bend * (middle / extent).square()) > distance
        low, high = torch.where(far, low, middle), torch.where(far, middle, high)
    return pixels * (low / distance.clamp(min=1e-12))[..., None]


def pair_of(truth):
    pixels, _ = pixels_of(truth)
    focal = torch.tensor(truth.focal, dtype=torch.float64)
    return rays_of(pixels[:, 0], focal), rays_of(pixels[:, 1], focal)


def test_rotation_from_vector_is_exact_for_small_and_large_angles():
    for angle in [0.0, 1e-9, 1e-5, 0.3, 3.0]:
        vector = torch.tensor([[0.6, 0.0, 0.8]], dtype=torch.float64) * angle
        rotation = rotation_from_vector(vector)
        identity = torch.eye(3, dtype=torch.float64)
        assert torch.allclose(rotation @ rotation.transpose(1, 2), identity, atol=1e-12)
        expected = torch.matrix_exp(
            torch.tensor([[0, -0.8, 0], [0.8, 0, -0.6], [0, 0.6, 0]], dtype=torch.float64) * angle
        )
        assert torch.allclose(rotation[0], expected, atol=1e-12)


def test_inverse_3x3():
    matrices = torch.randn(20, 3, 3, generator=generator(0), dtype=torch.float64)
    assert torch.allclose(inverse_3x3(matrices), torch.linalg.inv(matrices), rtol=1e-8)
    assert torch.isfinite(inverse_3x3(torch.zeros(1, 3, 3, dtype=torch.float64))).all()


def test_uniform_hash_is_uniform_and_differs_by_seed():
    first, second = (uniform_hash(200, 50, seed, torch.device("cpu")) for seed in (0, 1))
    assert first.min() > 0 and first.max() < 1
    assert abs(float(first.mean()) - 0.5) < 0.01
    assert abs(float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])) < 0.05


def test_five_point_finds_the_true_essential_matrix():
    truth = scene(2, count=200)
    rays1, rays2 = pair_of(truth)
    found, real = five_point(rays1.reshape(40, 5, 3), rays2.reshape(40, 5, 3))
    expected = essential_of(truth.rotations[1], truth.translations[1])
    expected = expected / expected.norm()
    errors = torch.minimum((found - expected).norm(dim=(2, 3)), (found + expected).norm(dim=(2, 3)))
    errors[~real] = torch.inf
    assert (errors.amin(1) < 1e-5).float().mean() > 0.95


def test_decompose_puts_points_in_front():
    truth = scene(2)
    rays1, rays2 = pair_of(truth)
    essential = essential_of(truth.rotations[1], truth.translations[1])[None]
    everything = torch.ones(1, rays1.size(0), dtype=torch.bool)
    for sign in (1.0, -1.0):
        rotation, translation = decompose(sign * essential, rays1[None], rays2[None], everything)
        assert float(rotation_angle(rotation[0].t() @ truth.rotations[1])) < 1e-6
        direction = truth.translations[1] / truth.translations[1].norm()
        assert torch.allclose(translation[0], direction, atol=1e-6)
    depth, _, _ = two_view_depths(truth.rotations[1], truth.translations[1], rays1, rays2)
    assert torch.allclose(depth, truth.points[:, 2])


def test_triangulate_ignores_unobserved_pixels():
    truth = scene(4)
    pixels, _ = pixels_of(truth)
    seen = torch.ones(pixels.shape[:2], dtype=torch.bool)
    seen[:, 3] = False
    pixels[:, 3] += 50.0
    focal = torch.tensor(truth.focal, dtype=torch.float64)
    points, angles = triangulate(truth.rotations, truth.translations, focal, pixels, seen)
    assert torch.allclose(points, truth.points, atol=1e-6)
    assert (angles > math.radians(5)).all() and (angles < math.radians(25)).all()


def shaken(truth, lenses: Lenses, seed: int = 3) -> Scene:
    """The scene with wrong poses and points; the first camera is right."""
    count = truth.points.size(0)
    random = generator(seed)
    frames = truth.rotations.size(0)
    wobble = 0.02 * torch.randn(frames, 3, generator=random, dtype=torch.float64)
    wobble[0] = 0.0
    return Scene(
        rotations=rotation_from_vector(wobble) @ truth.rotations,
        translations=truth.translations + 2 * wobble,
        lenses=lenses,
        points=truth.points + 0.05 * torch.randn(count, 3, generator=random, dtype=torch.float64),
    )


def first_fixed(frames: int):
    return torch.arange(frames) == 0


def test_bundle_adjustment_recovers_cameras_points_and_focal_length():
    truth = scene(4, count=120)
    start = shaken(truth, lenses_of(4, truth.focal * 1.1))
    prior = prior_of(torch.tensor([math.log(truth.focal)], dtype=torch.float64), 1e-9)
    found = adjust(start, observations_of(truth), first_fixed(4), prior, 1.0, 60, 1e-4)
    assert float(found.lenses.log_focal.exp()) == pytest.approx(truth.focal, rel=2e-3)
    apart = rotation_angle(found.rotations.transpose(1, 2) @ truth.rotations)
    assert math.degrees(float(apart.max())) < 0.05
    scale = found.translations[3].norm() / truth.translations[3].norm()
    assert torch.allclose(found.points / scale, truth.points, rtol=0.01, atol=0.01)


def test_bundle_adjustment_recovers_two_lenses_and_their_distortion():
    truth = scene(6, count=200, baseline=2.0)
    observations = observations_of(truth)
    bends = torch.tensor([0.15, -0.1], dtype=torch.float64)
    zooms = torch.tensor([1.0, 1.5], dtype=torch.float64)
    group = observations.camera % 2
    pixels = observations.pixels * zooms[group][:, None]
    pixels = torch.where(
        (group == 0)[:, None], bent(pixels, 0.15, 336.0), bent(pixels, -0.1, 336.0)
    )
    start = shaken(truth, lenses_of(6, truth.focal * 1.2, groups=2))
    prior = prior_of(start.lenses.log_focal, 1e-9, 1e-9)
    observations = observations._replace(pixels=pixels)
    found = adjust(start, observations, first_fixed(6), prior, 1.0, 100, 1e-6)
    expected = truth.focal * zooms
    assert torch.allclose(found.lenses.log_focal.exp(), expected, rtol=0.01)
    assert torch.allclose(found.lenses.bend, bends, atol=0.01)


def test_bundle_adjustment_keeps_a_fixed_focal_length():
    truth = scene(3, count=60)
    start = Scene(truth.rotations, truth.translations, lenses_of(3, 300.0), truth.points)
    prior = prior_of(start.lenses.log_focal, 0.0)
    found = adjust(start, observations_of(truth), first_fixed(3), prior, 1.0, 5, 1e-4)
    assert torch.equal(found.lenses.log_focal, start.lenses.log_focal)
    assert torch.equal(found.lenses.bend, start.lenses.bend)


def test_observation_pairs_are_all_pairs_of_each_point_once():
    camera, point = torch.tensor([0, 1, 2, 1, 0, 2]), torch.tensor([0, 0, 0, 2, 5, 5])
    observations = Observations(camera, point, torch.zeros(6, 2))
    none = torch.zeros(3, dtype=torch.bool)
    first, second = observation_pairs(observations, none)
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    assert pairs == {(0, 1), (0, 2), (1, 2), (4, 5)} and first.size(0) == 4
    # A fixed camera takes part in no pair.
    first, second = observation_pairs(observations, camera[:3] == 1)
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    assert pairs == {(0, 2), (4, 5)} and first.size(0) == 2


@pytest.mark.parametrize("bend", [-0.2, 0.16, 0.4])
def test_brown_terms_undo_the_bend(bend: float):
    extent, height, width, focal = 504.0, 378.0, 504.0, 520.0
    along = torch.linspace(1.0, 315.0, 40, dtype=torch.float64)
    pixels = torch.stack([0.8 * along, 0.6 * along], dim=1)
    ideal = straight(pixels, torch.full_like(along, bend), extent) / focal
    values = torch.tensor([bend], dtype=torch.float64), torch.tensor([focal], dtype=torch.float64)
    k1, k2 = radial_terms(*values, height, width)[0]
    square = ideal.square().sum(1)
    again = ideal * (1 + k1 * square + k2 * square.square())[:, None] * focal
    assert float((again - pixels).norm(dim=1).max()) < (0.5 if bend < 0.3 else 3.0)
    # A small offset among straight positions, as recorded.
    off = torch.tensor([0.003, -0.002], dtype=torch.float64)
    moved = bent(ideal * focal + off, bend, extent) - bent(ideal * focal, bend, extent)
    expected = recorded(off.expand_as(pixels), pixels, torch.full_like(along, bend), extent)
    assert torch.allclose(moved, expected, atol=1e-6)


def test_depth_deviation_halves_when_the_baseline_doubles():
    deviations = []
    for baseline in (0.2, 0.4):
        truth = scene(2, baseline=baseline)
        lenses = lenses_of(2, truth.focal)
        known = Scene(truth.rotations, truth.translations, lenses, truth.points)
        noise = torch.tensor(0.5, dtype=torch.float64)
        deviations.append(float(depth_deviations(known, observations_of(truth), noise).median()))
    assert deviations[0] / deviations[1] == pytest.approx(2.0, rel=0.1)
    # Depth 4, disparity noise of two views: sqrt(2) * 0.5 * 4 / (320 * 0.2).
    assert deviations[0] == pytest.approx(0.044, rel=0.15)


def test_resection_finds_the_pose_among_outliers():
    truth = scene(3)
    pixels = pixels_of(truth)[0][:, 2]
    pixels[::3] += 40.0
    focal = torch.tensor(truth.focal, dtype=torch.float64)
    off = rotation_from_vector(torch.tensor([[0.0, 0.02, 0.0], [0.3, 0.0, 0.5]]).double())
    candidates = off @ truth.rotations[2]
    rotation, translation = locate(candidates, focal, truth.points, pixels, 8.0)
    rotation, translation = refine_pose(rotation, translation, focal, truth.points, pixels, 3.0)
    assert math.degrees(float(rotation_angle(rotation.t() @ truth.rotations[2]))) < 0.1
    assert torch.allclose(translation, truth.translations[2], atol=0.01)


def test_a_rotating_camera_has_no_parallax_and_a_plane_no_relief():
    focal = torch.tensor(320.0, dtype=torch.float64)
    turning, plane, box = scene(2, baseline=1e-6), scene(2, flat=True), scene(2)
    turned = turning._replace(
        rotations=torch.stack(
            [torch.eye(3).double(), rotation_from_vector(torch.tensor([0.1, 0.2, 0.3]).double())]
        )
    )
    results = {}
    for name, truth in {"turned": turned, "plane": plane, "box": box}.items():
        pixels = pixels_of(truth)[0]
        one, two = pixels[None, :, 0], pixels[None, :, 1]
        valid = torch.ones(one.shape[:2], dtype=torch.bool)
        _, left = rotation_residuals(one, two, valid, focal, 1.0)
        relief = homography_residuals(one, two, valid, 336.0, 1.0)
        results[name] = (float(left.median()), float(relief.median()))
    assert results["turned"][0] < 0.1 and results["turned"][1] < 0.1
    assert results["plane"][0] > 3.0 and results["plane"][1] < 0.1
    assert results["box"][0] > 3.0 and results["box"][1] > 1.0


def test_connected_components():
    left, right = torch.tensor([0, 1, 5, 7]), torch.tensor([1, 2, 4, 8])
    labels = connected_components(9, left, right)
    assert labels.tolist() == [0, 0, 0, 3, 4, 4, 6, 7, 7]


def test_tracks_drop_a_frame_that_observes_a_track_twice():
    # Feature 0 of frames 0, 1, 2 is one track, but feature 1 of frame 2 also joins it.
    def table(values):
        return torch.tensor(values)

    slots1, slots2 = table([[0, 1], [0, 2], [0, 2]]), table([[0, 1], [0, 2], [1, 2]])
    points = torch.zeros(3, 2, 2, dtype=torch.float64)
    ratio = torch.full((3, 2), 0.5, dtype=torch.float64)
    valid = ratio < 1
    pairs = Correspondences(
        table([0, 1, 0]), table([1, 2, 2]), slots1, slots2, points, points, ratio, valid
    )
    inliers = torch.tensor([[True, True], [True, False], [True, False]])
    positions = torch.rand(3, 4, 2, generator=generator(0))
    tracks = build_tracks(positions, pairs, inliers)
    assert sorted(tracks.observed.tolist()) == [[True, True, False], [True, True, False]]

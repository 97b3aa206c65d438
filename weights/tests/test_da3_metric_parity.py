"""The metric networks give the results of the official ones with the same random weights."""

import pytest
import torch
from torch import Tensor

from weights.da3.metric_network import SKY_THRESHOLD
from weights.tests.da3_networks import TINY_METRIC, TINY_NESTED, smooth_frames
from weights.tests.da3_parity import Pair, assert_alive, assert_same, assert_same_results

SIZES = ((84, 126), (70, 42))


def known_cameras(frames: int) -> Tensor:
    """Rows `[N, 21]`: identity poses, and different focal lengths along x and y."""
    rows = torch.zeros(frames, 21)
    rows[:, [0, 5, 10, 20]] = 1.0
    rows[:, 12] = 90.0 + torch.arange(frames)
    rows[:, 16] = 110.0 + torch.arange(frames)
    return rows


@pytest.fixture(scope="module")
def metric() -> Pair:
    return Pair(TINY_METRIC)


@pytest.fixture(scope="module")
def nested() -> Pair:
    return Pair(TINY_NESTED)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_monocular_depth_is_official_depth_times_focal_length(
    metric: Pair, size: tuple[int, int]
) -> None:
    pixels = smooth_frames(3, *size)
    cameras = known_cameras(3)
    state = metric.model.relate_posed(metric.model.encode(pixels), cameras, torch.tensor(size))
    dense = metric.model.dense(state, torch.tensor(size), torch.tensor([0, 3]))
    for i in range(3):  # monocular: one by one
        with torch.no_grad():
            expected = metric.official(metric.images(pixels[i : i + 1]))
        sky = expected["sky"][0, 0] >= SKY_THRESHOLD
        assert 0.05 < sky.float().mean() < 0.95
        assert_same(dense[i, 0], expected["depth"][0, 0] * (100.0 + i) / 300.0, "depth")
        assert torch.equal(dense[i, 1] == 1.0, sky)
    assert_alive(dense[:, 0])


@pytest.mark.parametrize("posed", [False, True], ids=["found", "known"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_nested_results_equal_the_official_ones(
    nested: Pair, frames: int, size: tuple[int, int], posed: bool
) -> None:
    pixels = smooth_frames(frames, *size, seed=frames)
    height_and_width = torch.tensor(size)
    every = torch.tensor([0, frames])
    features = nested.model.encode(pixels)
    if posed:
        known = known_cameras(frames)
        state = nested.model.relate_posed(features, known, height_and_width)
        given = (torch.eye(4).repeat(1, frames, 1, 1), known[None, :, 12:21].reshape(1, -1, 3, 3))
    else:
        state = nested.model.relate(features, height_and_width)
        given = ()
    with torch.no_grad():
        expected = nested.official(nested.images(pixels), *given)
    dense = nested.model.dense(state, height_and_width, every)
    cameras = nested.model.cameras(state, height_and_width)
    cameras = nested.model.align(cameras, dense, height_and_width)
    fused = nested.model.fuse(state, dense, height_and_width, every)
    assert_same_results(cameras, fused, expected)
    assert 0.05 < (fused[:, 1] == 1.0).float().mean() < 0.95
    assert_alive(fused[:, 0])
    assert abs(expected["scale_factor"] - 1) > 0.1

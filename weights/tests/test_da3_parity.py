"""Depth Anything 3 gives the results of the official network with the same random weights."""

import pytest
import torch
from torch import Tensor

from weights.da3.config import CONFIGS, LARGE, SMALL, AnyConfig
from weights.da3.loading import load_tensors
from weights.da3.reference import reference_view
from weights.da3.variants import build_network
from weights.tests.da3_networks import TINY_GATED, smooth_frames
from weights.tests.da3_official import (
    chosen_references,
    official_normalised_extrinsics,
    official_shapes,
)
from weights.tests.da3_parity import Pair, assert_alive, assert_same_results

SIZES = ((84, 126), (70, 42))


@pytest.fixture(scope="module", params=[SMALL, TINY_GATED, LARGE], ids=lambda config: config.name)
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


def check(pair: Pair, frames: int, height: int, width: int) -> None:
    """Compare one reconstruction."""
    pixels = smooth_frames(frames, height, width, seed=frames)
    size = torch.tensor([height, width])
    with chosen_references() as chosen, torch.no_grad():
        expected = pair.official(pair.images(pixels))
    features = pair.model.encode(pixels)
    assert chosen == ([int(reference_view(features[:, 0]))] if frames >= 3 else [])
    compare(pair, pair.model.relate(features, size), size, expected)


def compare(pair: Pair, state: Tensor, size: Tensor, expected: dict[str, Tensor]) -> None:
    """Compare the results of a state, and check that they are not constant."""
    dense = pair.model.dense(state, size, torch.tensor([0, len(state)]))
    cameras = pair.model.cameras(state, size)
    assert_same_results(cameras, dense, expected)
    for channel in dense.unbind(1):
        assert_alive(channel)
    if len(state) > 1:
        assert float(cameras[:, :12].std(0).max()) > 0.01, "all cameras are equal"


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_results_equal_those_of_the_official_network(
    pair: Pair, frames: int, size: tuple[int, int]
) -> None:
    check(pair, frames, *size)


def test_position_embedding_of_the_training_size_is_not_interpolated() -> None:
    check(Pair(TINY_GATED), 1, 518, 518)


def test_reference_is_not_always_the_same_view(pair: Pair) -> None:
    frames = [smooth_frames(4, *SIZES[1], seed=seed) for seed in range(8)]
    chosen = {int(reference_view(pair.model.encode(pixels)[:, 0])) for pixels in frames}
    assert len(chosen) > 1


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_results_for_known_poses_equal_those_of_the_official_network(
    pair: Pair, frames: int, size: tuple[int, int]
) -> None:
    pixels = smooth_frames(frames, *size, seed=frames)
    height_and_width = torch.tensor(size)
    features = pair.model.encode(pixels)
    given = pair.model.cameras(pair.model.relate(features, height_and_width), height_and_width)
    given[:, 3:12:4] *= 3.0  # in any unit of length
    extrinsics = torch.cat(
        [given[:, :12].reshape(-1, 3, 4), torch.eye(4)[3:].expand(frames, 1, 4)], 1
    )
    with torch.no_grad():
        expected = pair.official(
            pair.images(pixels),
            official_normalised_extrinsics(extrinsics[None]),
            given[None, :, 12:21].reshape(1, -1, 3, 3),
        )
    state = pair.model.relate_posed(features, given, height_and_width)
    compare(pair, state, height_and_width, expected)


def test_official_tensors_load_strictly(pair: Pair) -> None:
    tensors = {f"model.{name}": t for name, t in pair.official.state_dict().items()}
    load_tensors(pair.network, tensors)
    dropped = len(tensors) - len(pair.network.state_dict())
    assert dropped == sum("_aux." in name for name in tensors) > 0


@pytest.mark.parametrize("config", CONFIGS.values(), ids=lambda config: config.name)
def test_every_network_has_the_official_tensors(config: AnyConfig) -> None:
    with torch.device("meta"):
        ours = {name: tensor.shape for name, tensor in build_network(config).state_dict().items()}
    official = official_shapes(config)
    assert ours == {name: shape for name, shape in official.items() if "_aux." not in name}

"""Depth Anything 3 gives what the official network gives with the same random weights.

The official network is that of the package `depth-anything-3` 0.1.1 from PyPI.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from weights.da3.config import LARGE, SMALL, Da3Config
from weights.da3.geometry import normalise_extrinsics
from weights.da3.loading import load_tensors
from weights.da3.model import Da3Model
from weights.da3.reference import reference_view
from weights.tests.da3_networks import TINY_GATED, random_network, smooth_frames

pytest.importorskip(
    "depth_anything_3.model.da3",
    reason="the official network is not installed: pip install --no-deps depth-anything-3==0.1.1; "
    "pip install addict einops omegaconf",
    exc_type=ImportError,
)

from depth_anything_3.cfg import create_object, load_config
from depth_anything_3.model import da3 as official_da3
from depth_anything_3.model.cam_dec import CameraDec
from depth_anything_3.model.cam_enc import CameraEnc
from depth_anything_3.model.dinov2 import vision_transformer
from depth_anything_3.model.dualdpt import DualDPT
from depth_anything_3.registry import MODEL_REGISTRY

TOLERANCE = 1e-4
"""Largest relative error."""
SIZES = ((84, 126), (70, 42))
LARGE_CASES = ((1, SIZES[0]), (3, SIZES[1]))


class OfficialBackbone(nn.Module):
    """The official transformer in sizes that have no name."""

    def __init__(self, config: Da3Config) -> None:
        super().__init__()
        self.taps = list(config.taps)
        self.pretrained = vision_transformer.DinoVisionTransformer(
            img_size=518,
            patch_size=14,
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.heads,
            ffn_layer="swiglufused" if config.swiglu else "mlp",
            alt_start=config.first_related,
            qknorm_start=config.first_related,
            rope_start=config.first_related,
        )

    def forward(self, x: Tensor, **options: object) -> object:
        return self.pretrained.get_intermediate_layers(x, self.taps, **options)


def official_network(config: Da3Config) -> nn.Module:
    """The official network of a size, with whatever weights."""
    if config.name in MODEL_REGISTRY:
        return create_object(load_config(MODEL_REGISTRY[config.name])).eval()
    head = DualDPT(
        2 * config.width, features=config.head_width, out_channels=list(config.head_stages)
    )
    return official_da3.DepthAnything3Net(
        OfficialBackbone(config),
        head,
        cam_dec=CameraDec(2 * config.width),
        cam_enc=CameraEnc(config.width),
    ).eval()


class Pair:
    """Our model and the official network with the same weights."""

    def __init__(self, config: Da3Config) -> None:
        self.network = random_network(config)
        self.model = Da3Model(self.network)
        self.official = official_network(config).requires_grad_(False)
        self.official.load_state_dict({**self.official.state_dict(), **self.network.state_dict()})

    def images(self, pixels: Tensor) -> Tensor:
        """What the official network takes, `[1, N, 3, H, W]`."""
        return ((pixels / 255.0 - self.model.mean) / self.model.deviation)[None]


@pytest.fixture(scope="module", params=[SMALL, TINY_GATED], ids=lambda config: config.name)
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


@contextmanager
def chosen_references() -> Iterator[list[int]]:
    """Record the reference views that the official network chooses."""
    chosen: list[int] = []
    select = vision_transformer.select_reference_view

    def record(*arguments: object, **options: object) -> Tensor:
        index = select(*arguments, **options)
        chosen.append(int(index))
        return index

    vision_transformer.select_reference_view = record
    try:
        yield chosen
    finally:
        vision_transformer.select_reference_view = select


def assert_same(found: Tensor, expected: Tensor, name: str) -> None:
    """Every value within the tolerance, relative to itself."""
    error = float(((found - expected).abs() / expected.abs()).max())
    assert error < TOLERANCE, f"{name} differs by {error:.1e}"


def assert_same_results(cameras: Tensor, dense: Tensor, expected: dict[str, Tensor]) -> None:
    """Depth, confidence and cameras as the official network gives them."""
    extrinsics = cameras[:, :12].reshape(-1, 3, 4)
    assert_same(dense[:, 0], expected["depth"][0], "depth")
    assert_same(dense[:, 1], expected["depth_conf"][0], "confidence")
    assert_same(cameras[:, [12, 14, 16, 17, 20]], _entries(expected["intrinsics"][0]), "intrinsics")
    assert int((cameras[:, 12:21] != 0).sum()) == 5 * len(cameras)
    for part, name in ((slice(0, 3), "rotation"), (slice(3, 4), "translation")):
        difference = extrinsics[:, :, part] - expected["extrinsics"][0, :, :3, part]
        norm = torch.linalg.vector_norm(expected["extrinsics"][0, :, :3, part], dim=(1, 2))
        error = float((torch.linalg.vector_norm(difference, dim=(1, 2)) / norm).max())
        assert error < TOLERANCE, f"{name} differs by {error:.1e}"


def _entries(intrinsics: Tensor) -> Tensor:
    """The entries of `[N, 3, 3]` that are not 0."""
    return intrinsics.flatten(1)[:, [0, 2, 4, 5, 8]]


def check(pair: Pair, frames: int, height: int, width: int) -> None:
    """Compare one reconstruction."""
    pixels = smooth_frames(frames, height, width, seed=frames)
    size = torch.tensor([height, width])
    with chosen_references() as chosen, torch.no_grad():
        expected = pair.official(pair.images(pixels))
    features = pair.model.encode(pixels)
    assert chosen == ([int(reference_view(features[:, 0]))] if frames >= 3 else [])
    state = pair.model.relate(features, size)
    dense = pair.model.dense(state, size, torch.tensor([0, frames]))
    assert_same_results(pair.model.cameras(state, size), dense, expected)
    # The weights must be alive, or nearly everything would count as the same.
    for channel in dense.unbind(1):
        assert float(channel.quantile(0.9) / channel.quantile(0.1)) > 1.2


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_results_are_those_of_the_official_network(
    pair: Pair, frames: int, size: tuple[int, int]
) -> None:
    check(pair, frames, *size)


def test_learned_grid_of_positions_is_used_as_it_is() -> None:
    check(Pair(TINY_GATED), 1, 518, 518)


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_results_for_known_poses_are_those_of_the_official_network(pair: Pair, frames: int) -> None:
    height, width = SIZES[0]
    pixels = smooth_frames(frames, height, width, seed=frames)
    size = torch.tensor([height, width])
    features = pair.model.encode(pixels)
    given = pair.model.cameras(pair.model.relate(features, size), size)
    extrinsics = normalise_extrinsics(given[:, :12].reshape(-1, 3, 4))
    extrinsics = torch.cat([extrinsics, torch.eye(4)[3:].expand(frames, 1, 4)], 1)
    with torch.no_grad():
        expected = pair.official(
            pair.images(pixels), extrinsics[None], given[None, :, 12:21].reshape(1, -1, 3, 3)
        )
    state = pair.model.relate_posed(features, given, size)
    dense = pair.model.dense(state, size, torch.tensor([0, frames]))
    assert_same_results(pair.model.cameras(state, size), dense, expected)


def test_large_network_gives_the_same() -> None:
    large = Pair(LARGE)
    for frames, size in LARGE_CASES:
        check(large, frames, *size)


def test_official_tensors_load_strictly(pair: Pair) -> None:
    tensors = {f"model.{name}": t for name, t in pair.official.state_dict().items()}
    load_tensors(pair.network, tensors)
    dropped = len(tensors) - len(pair.network.state_dict())
    assert dropped == sum("_aux." in name for name in tensors) > 0

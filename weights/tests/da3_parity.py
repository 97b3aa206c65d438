"""Comparison with the results of the official network."""

import tempfile

import torch
from torch import Tensor, nn

from weights.da3.config import AnyConfig
from weights.da3.variants import build_model
from weights.tests.da3_networks import random_network
from weights.tests.da3_official import official_network

TOLERANCE = 1e-4
"""Largest relative error."""


class Pair:
    """Our scripted model, and the official network with the same weights."""

    def __init__(self, config: AnyConfig) -> None:
        self.network = random_network(config)
        self.model = saved_and_loaded(build_model(self.network))
        self.official = official_network(config).requires_grad_(False)
        self.official.load_state_dict({**self.official.state_dict(), **self.network.state_dict()})

    def images(self, pixels: Tensor) -> Tensor:
        """The input of the official network, `[1, N, 3, H, W]`."""
        return ((pixels / 255.0 - self.model.mean) / self.model.deviation)[None]


def saved_and_loaded(model: nn.Module) -> torch.jit.ScriptModule:
    """Script a model, save it and load it."""
    with tempfile.NamedTemporaryFile(suffix=".pt") as file:
        torch.jit.save(torch.jit.script(model), file.name)
        return torch.jit.load(file.name)


def assert_same(found: Tensor, expected: Tensor, name: str) -> None:
    """Check that every value is within the relative tolerance."""
    error = float(((found - expected).abs() / expected.abs()).max())
    assert error < TOLERANCE, f"{name} differs by {error:.1e}"


def assert_same_results(cameras: Tensor, dense: Tensor, expected: dict[str, Tensor]) -> None:
    """Check depth, confidence and cameras against the official network's."""
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


def assert_alive(values: Tensor) -> None:
    """Check that values vary: constant results would make the comparison meaningless."""
    assert float(values.quantile(0.9) / values.quantile(0.1)) > 1.2


def _entries(intrinsics: Tensor) -> Tensor:
    """The entries of `[N, 3, 3]` that are not 0."""
    return intrinsics.flatten(1)[:, [0, 2, 4, 5, 8]]

"""The official network, from the package `depth-anything-3` 0.1.1 of PyPI, as the reference.

The package reads its configurations with omegaconf, which depends on a package without a wheel on
PyPI. The networks only import names from omegaconf. This module provides those names and reads the
configurations with PyYAML.
"""

import ast
import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from torch import Tensor, nn

from weights.da3.config import CONFIGS, AnyConfig, Da3Config, MetricConfig, NestedConfig, VitConfig

_names = types.ModuleType("omegaconf")
for _name in ("DictConfig", "ListConfig", "OmegaConf"):
    setattr(_names, _name, type(_name, (), {"register_new_resolver": lambda *_: None}))
sys.modules["omegaconf"] = _names

# Import by function: import statements would have to precede the stand-ins for omegaconf.
da3 = importlib.import_module("depth_anything_3.model.da3")
vision_transformer = importlib.import_module("depth_anything_3.model.dinov2.vision_transformer")
CameraDec = importlib.import_module("depth_anything_3.model.cam_dec").CameraDec
CameraEnc = importlib.import_module("depth_anything_3.model.cam_enc").CameraEnc
DPT = importlib.import_module("depth_anything_3.model.dpt").DPT
DualDPT = importlib.import_module("depth_anything_3.model.dualdpt").DualDPT

CONFIG_FOLDER = Path(da3.__file__).parents[1] / "configs"


class OfficialBackbone(nn.Module):
    """The official transformer in arbitrary sizes."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        first_related = config.first_related if isinstance(config, Da3Config) else -1
        self.taps = list(config.taps)
        self.pretrained = vision_transformer.DinoVisionTransformer(
            img_size=518,
            patch_size=14,
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.heads,
            ffn_layer="swiglufused" if config.swiglu else "mlp",
            alt_start=first_related,
            qknorm_start=first_related,
            rope_start=first_related,
            cat_token=isinstance(config, Da3Config),
        )

    def forward(self, x: Tensor, **options: object) -> object:
        return self.pretrained.get_intermediate_layers(x, self.taps, **options)


def official_network(config: AnyConfig) -> nn.Module:
    """The official network of a configuration, with arbitrary weights."""
    if config.name in CONFIGS:
        text = (CONFIG_FOLDER / f"{config.name}.yaml").read_text()
        return _create(yaml.safe_load(text)).eval()
    if isinstance(config, NestedConfig):
        return _nested(official_network(config.any_view), official_network(config.metric))
    stages = list(config.head_stages)
    if isinstance(config, MetricConfig):
        head = DPT(config.width, output_dim=1, features=config.head_width, out_channels=stages)
        return da3.DepthAnything3Net(OfficialBackbone(config), head).eval()
    return da3.DepthAnything3Net(
        OfficialBackbone(config),
        DualDPT(2 * config.width, features=config.head_width, out_channels=stages),
        cam_dec=CameraDec(2 * config.width),
        cam_enc=CameraEnc(config.width),
    ).eval()


def official_shapes(config: AnyConfig) -> dict[str, torch.Size]:
    """The shapes of the network's tensors by name, without allocating them."""
    linspace = torch.linspace

    def with_values(*arguments: Any, **options: Any) -> Tensor:
        return linspace(*arguments, **{**options, "device": "cpu"})

    with torch.device("meta"), mock.patch.object(torch, "linspace", with_values):
        state = official_network(config).state_dict()
    return {name: tensor.shape for name, tensor in state.items()}


@contextmanager
def chosen_references() -> Iterator[list[int]]:
    """Record the reference views that the official network selects."""
    chosen: list[int] = []
    select = vision_transformer.select_reference_view

    def record(*arguments: object, **options: object) -> Tensor:
        index = select(*arguments, **options)
        chosen.append(int(index))
        return index

    with mock.patch.object(vision_transformer, "select_reference_view", record):
        yield chosen


def _create(node: Any) -> Any:
    """Create the object of a configuration, without the Gaussian splatting parts."""
    if not isinstance(node, dict):
        return node
    if "__inherit__" in node:
        name = node["__inherit__"].rpartition(".")[2]
        return _create(yaml.safe_load((CONFIG_FOLDER / f"{name}.yaml").read_text()))
    described = node.get("__object__")
    parts = {
        key: _create(value)
        for key, value in node.items()
        if key not in ("__object__", "gs_head", "gs_adapter")
    }
    if described is None:
        return parts
    if described["name"] == "NestedDepthAnything3Net":
        return _nested(**parts)
    return getattr(importlib.import_module(described["path"]), described["name"])(**parts)


def _nested(anyview: nn.Module, metric: nn.Module) -> nn.Module:
    """The nested pair; its own constructor accepts only configurations."""
    pair = da3.NestedDepthAnything3Net.__new__(da3.NestedDepthAnything3Net)
    nn.Module.__init__(pair)
    pair.da3 = anyview
    pair.da3_metric = metric
    return pair.eval()


def official_normalised_extrinsics(extrinsics: Tensor) -> Tensor:
    """`[1, N, 4, 4]` as the official interface passes them to its network.

    The interface's module needs more packages than the networks, so only the method is extracted.
    """
    source = (Path(da3.__file__).parents[1] / "api.py").read_text()
    method = next(
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == "_normalize_extrinsics"
    )
    geometry = importlib.import_module("depth_anything_3.utils.geometry")
    names = {"torch": torch, "affine_inverse": geometry.affine_inverse}
    exec(compile(ast.Module([method], []), "api.py", "exec"), names)
    return names["_normalize_extrinsics"](None, extrinsics.clone())

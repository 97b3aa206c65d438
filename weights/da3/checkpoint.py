"""Reading an official checkpoint: a folder with `config.json` and `model.safetensors`."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file

from weights.da3.config import CONFIGS, AnyConfig, Da3Config, NestedConfig
from weights.da3.digest import file_digest
from weights.da3.loading import CheckpointError, load_tensors
from weights.da3.variants import Network, build_network

CONFIG_FILE = "config.json"
TENSOR_FILE = "model.safetensors"


class Checkpoint(NamedTuple):
    """The content of a checkpoint folder."""

    network: Network
    config: AnyConfig
    digest: str
    """`sha256:` and the SHA-256 of the tensor file."""


def load_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read a folder.

    Raises:
        CheckpointError: if the files are not a Depth Anything 3 checkpoint.
        OSError: if a file cannot be read.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG_FILE)
    try:
        tensors = load_file(folder / TENSOR_FILE)
    except SafetensorError as error:
        raise CheckpointError(f"{folder / TENSOR_FILE} is no safetensors file: {error}") from error
    network = build_network(config)
    load_tensors(network, tensors)
    return Checkpoint(network, config, file_digest(folder / TENSOR_FILE))


def read_config(path: Path) -> AnyConfig:
    """The configuration of the network that a `config.json` names.

    Raises:
        CheckpointError: if it names no or an unsupported network, or describes another one.
        OSError: if the file cannot be read.
    """
    try:
        values: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    name = values.get("model_name") if isinstance(values, dict) else None
    if not isinstance(name, str):
        raise CheckpointError(f"{path} has no model_name, such as {', '.join(CONFIGS)}")
    if name not in CONFIGS:
        raise CheckpointError(f"{path} is of {name}, supported are {', '.join(CONFIGS)}")
    config = CONFIGS[name]
    for *place, field, expected in _described(config):
        found: Any = values
        for key in ("config", *place, field):
            found = found.get(key, expected) if isinstance(found, dict) else expected
        if found != expected:
            raise CheckpointError(
                f"{path} has {'.'.join([*place, field])} {found}, expected {expected} for {name}"
            )
    return config


def _described(config: AnyConfig) -> list[tuple[Any, ...]]:
    """Expected fields of `config.json`: the path of names from the outermost on, and the value."""
    if isinstance(config, NestedConfig):
        return [
            *(("anyview", *field) for field in _described(config.any_view)),
            *(("metric", *field) for field in _described(config.metric)),
        ]
    first_related = config.first_related if isinstance(config, Da3Config) else -1
    return [
        ("net", "alt_start", first_related),
        ("net", "out_layers", list(config.taps)),
    ]

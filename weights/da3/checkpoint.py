"""Reading an official checkpoint: a folder with `config.json` and `model.safetensors`."""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from weights.da3.config import CONFIGS, Da3Config
from weights.da3.loading import CheckpointError, load_tensors
from weights.da3.network import Da3Network

CONFIG_FILE = "config.json"
TENSOR_FILE = "model.safetensors"


def load_checkpoint(folder: str | os.PathLike[str]) -> tuple[Da3Network, Da3Config]:
    """The network that a folder holds, and its size.

    Raises:
        CheckpointError: if the files are not those of a Depth Anything 3 any-view network.
        OSError: if a file cannot be read.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG_FILE)
    try:
        tensors = load_file(folder / TENSOR_FILE)
    except SafetensorError as error:
        raise CheckpointError(f"{folder / TENSOR_FILE} is no safetensors file: {error}") from error
    network = Da3Network(config).eval()
    load_tensors(network, tensors)
    return network, config


def read_config(path: Path) -> Da3Config:
    """The size of the network that a `config.json` names.

    Raises:
        CheckpointError: if it names none, an unsupported one, or describes another network.
        OSError: if the file cannot be read.
    """
    try:
        values: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    name = values.get("model_name") if isinstance(values, dict) else None
    if not isinstance(name, str):
        raise CheckpointError(f"{path} has no model_name, such as {', '.join(CONFIGS)}")
    if name not in CONFIGS:
        raise CheckpointError(f"{path} is of {name}, supported are {', '.join(CONFIGS)}")
    config = CONFIGS[name]
    details = values.get("config")
    backbone = details.get("net") if isinstance(details, dict) else None
    if isinstance(backbone, dict):
        for field, expected in (
            ("alt_start", config.first_related),
            ("out_layers", list(config.taps)),
        ):
            if backbone.get(field, expected) != expected:
                raise CheckpointError(
                    f"{path} has {field} {backbone[field]}, expected {expected} for {name}"
                )
    return config

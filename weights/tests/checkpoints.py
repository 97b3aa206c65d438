"""A checkpoint in the hub's layout: `python -m weights.tests.checkpoints FOLDER`.

It has the size SMALL and random weights, 133 MB.
"""

import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from weights.da3.checkpoint import CONFIG_FILE, TENSOR_FILE
from weights.da3.config import SMALL, Da3Config
from weights.da3.loading import CHECKPOINT_PREFIX
from weights.tests.da3_networks import random_network


def write_checkpoint(folder: Path, config: Da3Config = SMALL, seed: int = 0) -> None:
    """Write `config.json` and `model.safetensors` in the layout of the official repositories."""
    folder.mkdir(parents=True, exist_ok=True)
    network = random_network(config, seed)
    tensors = {f"{CHECKPOINT_PREFIX}{name}": t for name, t in network.state_dict().items()}
    save_file(tensors, folder / TENSOR_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps({"model_name": config.name}))


if __name__ == "__main__":
    write_checkpoint(Path(sys.argv[1]))

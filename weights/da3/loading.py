"""Load an official checkpoint into a network, strictly except for parts omitted by name."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

CHECKPOINT_PREFIX = "model."
"""Prefix of all tensor names in an official checkpoint."""

UNUSED = re.compile(
    # The Gaussian splatting head of the giant size.
    r"(da3\.)?(gs_head|gs_adapter)\."
    # The auxiliary ray branch of the depth head: the camera decoder provides the poses.
    r"|(da3\.)?head\.scratch\.(refinenet[1-4]|output_conv[12])_aux\."
)
"""Names of omitted tensors, without the prefix. The nested pair has `da3.` before them."""

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Supported number formats. Shorter formats are quantised and need separate scales."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used."""


def load_tensors(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy a checkpoint's tensors into a network; the names must match exactly.

    Raises:
        CheckpointError: if tensors are missing, unknown, of another shape, or not floating point of
            16 bits or more.
    """
    expected = network.state_dict()
    found = used_tensors(tensors)
    missing = sorted(expected.keys() - found.keys())
    unknown = sorted(found.keys() - expected.keys())
    problems = []
    if missing:
        problems.append(f"it lacks {_shorten(missing)}")
    if unknown:
        problems.append(f"it has unknown {_shorten(unknown)}")
    for name in sorted(expected.keys() & found.keys()):
        if found[name].shape != expected[name].shape:
            problems.append(
                f"{name} is {list(found[name].shape)}, expected {list(expected[name].shape)}"
            )
        elif found[name].dtype not in DTYPES:
            problems.append(
                f"{name} is {found[name].dtype}, expected floating point of 16 bits or more"
            )
        elif not bool(found[name].isfinite().all()):
            problems.append(f"{name} is not finite")
    if problems:
        raise CheckpointError("the checkpoint does not fit: " + "; ".join(problems[:5]))
    network.load_state_dict(found)


def used_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that the network uses, by their names in the network.

    Raises:
        CheckpointError: if a name lacks the prefix of official checkpoints.
    """
    used: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not name.startswith(CHECKPOINT_PREFIX):
            raise CheckpointError(
                f"the checkpoint has a tensor {name}, expected names that start with "
                f"{CHECKPOINT_PREFIX}"
            )
        inner = name.removeprefix(CHECKPOINT_PREFIX)
        if not UNUSED.match(inner):
            used[inner] = tensor
    return used


def _shorten(names: list[str], limit: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more

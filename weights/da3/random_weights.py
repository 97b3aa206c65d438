"""Random weights with which every part of the network affects the result.

The default initialisation has layer scales of one, zero tokens and arbitrary cameras. These weights
give activations of moderate size, quaternions near the identity, fields of view near one radian,
and sky in a part of the image.
"""

import math

import torch
from torch import Tensor, nn


def randomise(network: nn.Module, seed: int = 0) -> None:
    """Overwrite every parameter, in the order of their names, in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(network.named_parameters()):
            parameter.copy_(_values(name, parameter, generator))


def _values(name: str, parameter: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(parameter.shape, generator=generator)
    if name.endswith("gamma"):
        return 0.3 + 0.1 * noise
    if name.endswith(("token", "pos_embed")):
        return 0.5 * noise
    if name.endswith("fc_fov.0.bias"):
        return 1.0 + 0.05 * noise
    if name.endswith("fc_qvec.bias"):
        return torch.tensor([0.0, 0.0, 0.0, 1.0]) + 0.05 * noise
    if name.endswith("sky_output_conv2.2.bias"):
        return -0.7 + 0.1 * noise
    if name.endswith("bias"):
        return 0.1 * noise
    if parameter.ndim == 1:  # of a norm
        return 1.0 + 0.1 * noise
    fan_in = parameter[0].numel()
    if "resize_layers" in name and parameter.shape[2] == parameter.shape[3] != 3:
        fan_in = parameter.shape[0]  # transposed: each output sums one kernel tap of every channel
    gain = 0.2 if "cam_dec.fc_" in name else 1.0
    return gain * noise / math.sqrt(fan_in)

"""In which number formats the parts of a network compute."""

import torch

from weights.da3.backbone import Backbone
from weights.da3.dpt import Stages
from weights.da3.variants import Network

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""By the names of the contract."""


def set_precision(network: Network, backbone: str, heads: str = "fp32") -> None:
    """Have a network compute in other formats.

    The heads are those for dense maps. Camera tokens, cameras and what a head gives as its result
    are float32 in any case.
    """
    for module in network.modules():
        if isinstance(module, Backbone):
            module.to(DTYPES[backbone])
        elif isinstance(module, Stages):
            module.to(DTYPES[heads])

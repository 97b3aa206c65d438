"""Number formats in which the parts of a network compute."""

import torch

from weights.da3.backbone import Backbone
from weights.da3.dpt import Stages
from weights.da3.variants import Network

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Types by their names in the contract."""


def set_precision(network: Network, backbone: str, heads: str = "fp32") -> None:
    """Set the number formats of a network.

    `heads` applies to the dense prediction heads. Camera tokens, cameras and the results of heads
    are always float32.
    """
    for module in network.modules():
        if isinstance(module, Backbone):
            module.to(DTYPES[backbone])
        elif isinstance(module, Stages):
            module.to(DTYPES[heads])

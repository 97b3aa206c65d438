"""The nested pair; parameter names are those of the checkpoints."""

from torch import nn

from weights.da3.config import NestedConfig
from weights.da3.metric_network import MetricNetwork
from weights.da3.network import Da3Network


class NestedNetwork(nn.Module):
    """An any-view network, and a monocular network for the metric scale and the sky."""

    def __init__(self, config: NestedConfig) -> None:
        super().__init__()
        self.da3 = Da3Network(config.any_view)
        self.da3_metric = MetricNetwork(config.metric)

"""Build the network of a configuration, and the contract's model of a network."""

from typing import Any

from weights.da3.config import AnyConfig, MetricConfig, NestedConfig
from weights.da3.metric_model import MetricModel
from weights.da3.metric_network import MetricNetwork
from weights.da3.model import Da3Model
from weights.da3.nested_model import NestedModel
from weights.da3.nested_network import NestedNetwork
from weights.da3.network import Da3Network
from weights.da3.pixels import PixelModel

Network = Da3Network | MetricNetwork | NestedNetwork


def build_network(config: AnyConfig) -> Network:
    """Build the network of a configuration, with arbitrary weights."""
    if isinstance(config, NestedConfig):
        return NestedNetwork(config).eval()
    if isinstance(config, MetricConfig):
        return MetricNetwork(config).eval()
    return Da3Network(config).eval()


def build_model(network: Network) -> PixelModel:
    """The model that runs a network."""
    if isinstance(network, NestedNetwork):
        return NestedModel(network).eval()
    if isinstance(network, MetricNetwork):
        return MetricModel(network).eval()
    return Da3Model(network).eval()


def abilities(network: Network) -> dict[str, Any]:
    """The fields of the metadata that depend on the kind of network."""
    nested = isinstance(network, NestedNetwork)
    metric = nested or isinstance(network, MetricNetwork)
    return {
        "scale": "metric" if metric else "relative",
        "fuse": nested,
        "align": nested,
        "poses": True,
        "watch": True,
        "describe": not isinstance(network, MetricNetwork),
    }

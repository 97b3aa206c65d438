"""The monocular metric network; parameter names are those of the checkpoints."""

from torch import Tensor, nn

from weights.da3.backbone import Backbone
from weights.da3.config import MetricConfig
from weights.da3.sky_dpt import SkyDpt

CANONICAL_FOCAL_LENGTH = 300.0
"""Focal length in pixels at which the network's depth is in metres."""
SKY_THRESHOLD = 0.3
"""Minimum value of a sky pixel."""
FEWEST_PIXELS = 10
"""Statistics need more pixels than this."""


class MetricNetwork(nn.Module):
    """Depth and sky of each image by itself."""

    def __init__(self, config: MetricConfig) -> None:
        super().__init__()
        self.backbone = Backbone(config)
        self.head = SkyDpt(config)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images `[n, 3, H, W]` -> float32 `[n, 2, H, W]`.

        Channel 0 is canonical depth > 0, see `metres`; channel 1 is sky >= 0.
        """
        taps = self.backbone.pretrained(images)
        return self.head(taps, images.size(2), images.size(3))


def metres(
    depth: Tensor, intrinsics: Tensor, canonical_focal_length: float = CANONICAL_FOCAL_LENGTH
) -> Tensor:
    """Canonical depth `[n, H, W]` in metres, for cameras with `intrinsics` `[n, 3, 3]`."""
    focal_lengths = (intrinsics[:, 0, 0] + intrinsics[:, 1, 1]) / 2
    return depth * (focal_lengths / canonical_focal_length)[:, None, None]


def is_sky(sky: Tensor, threshold: float = SKY_THRESHOLD) -> Tensor:
    """The mask of sky pixels, from the network's channel 1."""
    return sky >= threshold

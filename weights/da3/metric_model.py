"""The monocular metric network behind the contract.

The network estimates no poses: without known cameras only the first frame is registered, and the
others have depth but no confidence. Metric depth needs the focal length, which is assumed if the
cameras are unknown.
"""

import torch
from torch import Tensor

from weights.da3.far_sky import with_far_sky
from weights.da3.geometry import relative_to_first
from weights.da3.metric_network import MetricNetwork, is_sky, metres
from weights.da3.pixels import PixelModel

ASSUMED_FOCAL_LENGTH = 26.0 / 43.27
"""In image diagonals: a phone's main camera, equivalent to 26 mm on 36 mm x 24 mm film."""
KNOWN = 2.0
"""Confidence of pixels that are not sky: the network predicts no confidence."""


class MetricModel(PixelModel):
    """See `weights/README.md` for inputs and outputs.

    Features are the network's depth and sky. The state adds one plane that starts with the row of
    `cameras`.
    """

    def __init__(self, network: MetricNetwork) -> None:
        super().__init__()
        self.network = network
        self.assumed_focal_length = ASSUMED_FOCAL_LENGTH
        self.known = KNOWN

    @torch.jit.export
    def watch(self, flag: Tensor) -> Tensor:
        """uint8 [1] on the CPU, which is kept: other entry points fail soon after it is set."""
        self.network.backbone.pretrained.stop = flag
        return flag

    @torch.jit.export
    def encode(self, pixels: Tensor) -> Tensor:
        """uint8 [n, 3, H, W] -> float32 [n, 2, H, W]: canonical depth and sky."""
        with torch.no_grad():
            return torch.cat([self.network(images) for images in self.batches(pixels)])

    @torch.jit.export
    def relate(self, features: Tensor, size: Tensor) -> Tensor:
        """Rows of `encode`, int64 [2] = (H, W) -> [N, 3, H, W]; only the first is registered."""
        height, width = int(size[0]), int(size[1])
        focal_length = self.assumed_focal_length * (height * height + width * width) ** 0.5
        intrinsics = torch.eye(3, device=features.device)
        intrinsics[0, 0] = focal_length
        intrinsics[1, 1] = focal_length
        intrinsics[0, 2] = (width - 1) / 2
        intrinsics[1, 2] = (height - 1) / 2
        extrinsics = torch.eye(3, 4, device=features.device)
        row = torch.cat([extrinsics.flatten(), intrinsics.flatten()])
        rows = row[None].repeat(features.size(0), 1)
        registered = torch.zeros_like(rows[:, :1])
        registered[0] = 1.0
        return self.state(features, torch.cat([rows, registered], 1))

    @torch.jit.export
    def relate_posed(self, features: Tensor, cameras: Tensor, size: Tensor) -> Tensor:
        """`relate` for known cameras, float32 [N, 21 or more], whose translations are in metres."""
        extrinsics = relative_to_first(cameras[:, :12].reshape(-1, 3, 4)).flatten(1)
        registered = torch.ones_like(cameras[:, :1])
        return self.state(features, torch.cat([extrinsics, cameras[:, 12:21], registered], 1))

    @torch.jit.export
    def cameras(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 22]: the known or assumed cameras."""
        return state[:, 2].flatten(1)[:, :22]

    @torch.jit.export
    def dense(self, state: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, 2, H, W]: depth and confidence of the frames from begin to end."""
        with torch.no_grad():
            chunk = state[int(frames[0]) : int(frames[1])]
            cameras = self.cameras(chunk, size)
            depth = metres(chunk[:, 0], cameras[:, 12:21].reshape(-1, 3, 3))
            sky = is_sky(chunk[:, 1])
            known = ~sky & (cameras[:, 21] > 0.5)[:, None, None]
            confidence = torch.where(known, self.known, 1.0)
            return torch.stack([with_far_sky(depth, sky), confidence], 1)

    def state(self, features: Tensor, rows: Tensor) -> Tensor:
        """Append a plane with the rows of `cameras` to the features."""
        plane = torch.zeros_like(features[:, 0]).flatten(1)
        plane[:, :22] = rows
        return torch.cat([features, plane.view_as(features[:, :1])], 1)

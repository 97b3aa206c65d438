"""Depth Anything 3 behind the contract: pixels in, depth, confidence and cameras out."""

import torch
from torch import Tensor

from weights.da3.description import describe_patches
from weights.da3.geometry import normalise_extrinsics
from weights.da3.network import Da3Network
from weights.da3.pixels import PixelModel


class Da3Model(PixelModel):
    """The any-view network; see `weights/README.md` for inputs and outputs.

    The network defines the world frame; it is close to the camera frame of the reference view.
    """

    def __init__(self, network: Da3Network) -> None:
        super().__init__()
        self.network = network

    @torch.jit.export
    def watch(self, flag: Tensor) -> Tensor:
        """uint8 [1] on the CPU, which is kept: other entry points fail soon after it is set."""
        self.network.backbone.pretrained.stop = flag
        return flag

    @torch.jit.export
    def encode(self, pixels: Tensor) -> Tensor:
        """uint8 [n, 3, H, W] -> [n, 2 + P, width]: the P patches after the per-frame blocks."""
        with torch.no_grad():
            return torch.cat([self.network.encode(images) for images in self.batches(pixels)])

    @torch.jit.export
    def describe(self, features: Tensor, size: Tensor) -> Tensor:
        """Rows of `encode` -> float32 [n, width]: a vector of each frame."""
        return describe_patches(features[:, 2:])

    @torch.jit.export
    def relate(self, features: Tensor, size: Tensor) -> Tensor:
        """Rows of `encode`, int64 [2] = (H, W) -> [N, 4, 1 + P, 2 * width]: the taps' tokens."""
        with torch.no_grad():
            return self.network.relate(features, int(size[0]), int(size[1]))

    @torch.jit.export
    def relate_posed(self, features: Tensor, cameras: Tensor, size: Tensor) -> Tensor:
        """`relate` for known cameras, float32 [N, 21 or more] in the layout of `cameras`.

        The result is in the frame of the first camera, in another unit of length.
        """
        with torch.no_grad():
            return self.network.relate_posed(
                features,
                normalise_extrinsics(cameras[:, :12].reshape(-1, 3, 4)),
                cameras[:, 12:21].reshape(-1, 3, 3),
                int(size[0]),
                int(size[1]),
            )

    @torch.jit.export
    def cameras(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 22]: world-to-camera 3 x 4, intrinsics 3 x 3, and 1: all are registered."""
        with torch.no_grad():
            rows = self.network.cameras(state, int(size[0]), int(size[1]))
            return torch.cat([rows, torch.ones_like(rows[:, :1])], 1)

    @torch.jit.export
    def dense(self, state: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, 2, H, W]: depth and confidence of the frames from begin to end."""
        with torch.no_grad():
            chunk = state[int(frames[0]) : int(frames[1])]
            return self.network.dense(chunk, int(size[0]), int(size[1]))

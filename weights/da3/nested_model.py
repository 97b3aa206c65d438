"""The nested pair behind the contract: any-view reconstruction in metres, without the sky."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from weights.da3.alignment import aligned, metric_scale
from weights.da3.description import describe_patches
from weights.da3.geometry import normalise_extrinsics
from weights.da3.metric_network import metres
from weights.da3.nested_network import NestedNetwork
from weights.da3.packing import columns_of_maps, maps_of_columns
from weights.da3.pixels import PixelModel

TAPS = 4


class NestedModel(PixelModel):
    """See `weights/README.md` for inputs and outputs.

    The monocular network runs in `encode`, with its head. Its depth and sky are columns of the
    features and of the state, after those of the any-view network.
    """

    def __init__(self, network: NestedNetwork) -> None:
        super().__init__()
        self.network = network
        self.taps = TAPS
        self.width = network.da3.backbone.pretrained.width

    @torch.jit.export
    def watch(self, flag: Tensor) -> Tensor:
        """uint8 [1] on the CPU, which is kept: other entry points fail soon after it is set."""
        self.network.da3.backbone.pretrained.stop = flag
        self.network.da3_metric.backbone.pretrained.stop = flag
        return flag

    @torch.jit.export
    def encode(self, pixels: Tensor) -> Tensor:
        """uint8 [n, 3, H, W] -> [n, 2 + P, ...]: rows of the any-view network, and pixels."""
        with torch.no_grad():
            features: list[Tensor] = []
            for images in self.batches(pixels):
                tokens = self.network.da3.encode(images)
                columns = columns_of_maps(self.network.da3_metric(images), tokens.dtype)
                features.append(torch.cat([tokens, F.pad(columns, [0, 0, 2, 0])], 2))
            return torch.cat(features)

    @torch.jit.export
    def describe(self, features: Tensor, size: Tensor) -> Tensor:
        """Rows of `encode` -> float32 [n, width]: a vector of each frame."""
        return describe_patches(features[:, 2:, : self.width])

    @torch.jit.export
    def relate(self, features: Tensor, size: Tensor) -> Tensor:
        """Rows of `encode`, int64 [2] = (H, W) -> [N, 4, 1 + P, ...]: taps' tokens, and pixels."""
        with torch.no_grad():
            tokens = features[:, :, : self.width]
            taps = self.network.da3.relate(tokens, int(size[0]), int(size[1]))
            return self.state(taps, features)

    @torch.jit.export
    def relate_posed(self, features: Tensor, cameras: Tensor, size: Tensor) -> Tensor:
        """`relate` for known cameras, float32 [N, 21 or more] in the layout of `cameras`.

        The result is in the frame of the first camera and in metres, whatever the input unit.
        """
        with torch.no_grad():
            taps = self.network.da3.relate_posed(
                features[:, :, : self.width],
                normalise_extrinsics(cameras[:, :12].reshape(-1, 3, 4)),
                cameras[:, 12:21].reshape(-1, 3, 3),
                int(size[0]),
                int(size[1]),
            )
            return self.state(taps, features)

    @torch.jit.export
    def cameras(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 22] in the any-view network's unit of length: all are registered."""
        with torch.no_grad():
            rows = self.network.da3.cameras(
                state[:, :, :, : 2 * self.width], int(size[0]), int(size[1])
            )
            return torch.cat([rows, torch.ones_like(rows[:, :1])], 1)

    @torch.jit.export
    def dense(self, state: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, 4, H, W]: any-view depth and confidence, depth in metres, and sky."""
        with torch.no_grad():
            height, width = int(size[0]), int(size[1])
            chunk = state[int(frames[0]) : int(frames[1])]
            relative = self.network.da3.dense(chunk[:, :, :, : 2 * self.width], height, width)
            columns = chunk[:, :, 1:, 2 * self.width :].permute(0, 2, 1, 3).flatten(2)
            maps = maps_of_columns(columns, height, width)
            intrinsics = self.cameras(chunk, size)[:, 12:21].reshape(-1, 3, 3)
            metric_depth = metres(maps[:, 0], intrinsics)
            return torch.cat([relative, metric_depth[:, None], maps[:, 1:]], 1)

    @torch.jit.export
    def align(self, cameras: Tensor, dense: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 22]: cameras in metres."""
        with torch.no_grad():
            scaled = cameras.clone()
            scaled[:, 3:12:4] = cameras[:, 3:12:4] * metric_scale(dense)
            return scaled

    @torch.jit.export
    def fuse(self, state: Tensor, dense: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, 2, H, W]: depth in metres, and confidence, which is 1 for sky."""
        with torch.no_grad():
            return aligned(dense, int(frames[0]), int(frames[1]))

    def state(self, taps: Tensor, features: Tensor) -> Tensor:
        """Append the pixel columns of the features to the any-view network's state."""
        columns = features[:, 2:, self.width :]
        parts = columns.unflatten(2, [self.taps, -1]).transpose(1, 2)
        return torch.cat([taps, F.pad(parts, [0, 0, 1, 0])], 3)

"""The model `mvs` behind the contract: connects the entry points to the reconstruction."""

import torch
from torch import Tensor, nn

from weights.mvs.adjustment import adjusted_rows
from weights.mvs.calibration import hinted_calibration
from weights.mvs.dense import dense_frames, fuse_frames
from weights.mvs.extension import extend
from weights.mvs.features import unpack_features
from weights.mvs.places import describe_places
from weights.mvs.sparse import (
    encode_features,
    feature_length,
    pixel_threshold,
    reconstruct,
    reconstruct_calibrated,
)
from weights.mvs.state import (
    encode_image,
    pack_state,
    unpack_cameras,
    unpack_links,
    unpack_report,
)


class MvsModel(nn.Module):
    """Classical multi-view stereo: structure from motion, then a plane sweep. No weights.

    `weights/README.md` specifies the shapes and meanings of inputs and outputs.
    """

    stop: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.stop = None

    @torch.jit.export
    def watch(self, flag: Tensor) -> Tensor:
        """uint8 [1] on the CPU, which is kept: other entry points fail soon after it is set."""
        self.stop = flag
        return flag

    @torch.jit.export
    def encode(self, pixels: Tensor) -> Tensor:
        """uint8 [n, 3, H, W] -> float32 [n, F + I]: sparse features, then the image's own row."""
        with torch.no_grad():
            images = pixels.to(torch.float32) / 255.0
            return torch.cat([encode_features(images), encode_image(images)], dim=1)

    @torch.jit.export
    def relate(self, features: Tensor, size: Tensor) -> Tensor:
        """Rows of `encode`, int64 [2] = (H, W) -> float32 [N, S]: cameras, points and images."""
        with torch.no_grad():
            length = feature_length(int(size[0]), int(size[1]))
            sparse = reconstruct(features[:, :length], size, self.stop)
            return pack_state(sparse, features[:, length:], size)

    @torch.jit.export
    def relate_hinted(self, features: Tensor, hints: Tensor, size: Tensor) -> Tensor:
        """As `relate`, with hints float32 [N, 3]: group of frames with one lens, focal length in
        pixels or 0, its relative deviation."""
        with torch.no_grad():
            length = feature_length(int(size[0]), int(size[1]))
            calibration = hinted_calibration(hints, size)
            sparse = reconstruct_calibrated(features[:, :length], calibration, size, self.stop)
            return pack_state(sparse, features[:, length:], size)

    @torch.jit.export
    def relate_extended(
        self, features: Tensor, cameras: Tensor, hints: Tensor, size: Tensor
    ) -> Tensor:
        """As `relate_hinted`, in the coordinates of the frames that have a camera already: rows
        float32 [N, 24] of `cameras`, "registered" meaning "placed"."""
        with torch.no_grad():
            length = feature_length(int(size[0]), int(size[1]))
            threshold = pixel_threshold(size)
            sparse = extend(features[:, :length], cameras, hints, size, threshold, stop=self.stop)
            return pack_state(sparse, features[:, length:], size)

    @torch.jit.export
    def describe(self, features: Tensor, size: Tensor) -> Tensor:
        """float32 [n, 4096]: a vector of each frame; frames of one place have similar ones."""
        with torch.no_grad():
            length = feature_length(int(size[0]), int(size[1]))
            return describe_places(unpack_features(features[:, :length]))

    @torch.jit.export
    def links(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, L, 3]: which features of different frames show the same point."""
        with torch.no_grad():
            return unpack_links(state, size)

    @torch.jit.export
    def adjust(self, links: Tensor, cameras: Tensor, hints: Tensor, size: Tensor) -> Tensor:
        """Rows of links [O, 4] of several runs and of cameras [N, 24] -> float32 [N, 25]: the
        cameras after an adjustment of all frames together, and the factors of their depths."""
        with torch.no_grad():
            threshold = pixel_threshold(size)
            return adjusted_rows(links, cameras, hints, size, threshold, self.stop)

    @torch.jit.export
    def report(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 8]: what is known about each frame's geometry."""
        with torch.no_grad():
            return unpack_report(state)

    @torch.jit.export
    def cameras(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 24]: world-to-camera 3 x 4, intrinsics 3 x 3, registered or not, radial
        distortion."""
        with torch.no_grad():
            return unpack_cameras(state, size)

    @torch.jit.export
    def dense(self, state: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, C, H, W]: depth and confidence from the neighbours of each frame."""
        with torch.no_grad():
            return dense_frames(state, size, int(frames[0]), int(frames[1]), self.stop)

    @torch.jit.export
    def fuse(self, state: Tensor, dense: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, 2, H, W]: depth and confidence after the cross-frame consistency check."""
        with torch.no_grad():
            return fuse_frames(state, dense, size, int(frames[0]), int(frames[1]), self.stop)

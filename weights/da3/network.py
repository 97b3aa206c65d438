"""The complete any-view network; parameter names are those of the checkpoints."""

import torch
from torch import Tensor, nn

from weights.da3.backbone import Backbone
from weights.da3.camera import CameraDecoder, CameraEncoder
from weights.da3.config import PATCH_SIZE, Da3Config
from weights.da3.dual_dpt import DualDpt
from weights.da3.geometry import cameras_from_pose_encoding, pose_encoding


class Da3Network(nn.Module):
    """Depth Anything 3 in the four steps of the contract, for normalised images."""

    def __init__(self, config: Da3Config) -> None:
        super().__init__()
        self.patch_size = PATCH_SIZE
        self.backbone = Backbone(config)
        self.head = DualDpt(config)
        self.cam_dec = CameraDecoder(2 * config.width)
        self.cam_enc = CameraEncoder(config.width)

    def encode(self, images: Tensor) -> Tensor:
        """Normalised images `[n, 3, H, W]` -> features `[n, 2 + P, width]` of P patches."""
        return self.backbone.pretrained.encode(images)

    def relate(self, features: Tensor, height: int, width: int) -> Tensor:
        """Features of all frames -> state `[N, 4, 1 + P, 2 * width]`."""
        camera_tokens = self.backbone.pretrained.camera_tokens(features[:, 0])
        return self.backbone.pretrained.relate(
            features, camera_tokens, height // self.patch_size, width // self.patch_size
        )

    def relate_posed(
        self, features: Tensor, extrinsics: Tensor, intrinsics: Tensor, height: int, width: int
    ) -> Tensor:
        """`relate` for views with known extrinsics `[N, 3, 4]` and intrinsics `[N, 3, 3]`."""
        camera_tokens = self.cam_enc(pose_encoding(extrinsics, intrinsics, height, width))
        return self.backbone.pretrained.relate(
            features, camera_tokens, height // self.patch_size, width // self.patch_size
        )

    def cameras(self, state: Tensor, height: int, width: int) -> Tensor:
        """Rows float32 `[N, 21]` of the state: extrinsics 3 x 4, then intrinsics 3 x 3."""
        tokens = state[:, -1, 0].to(torch.float32)
        return cameras_from_pose_encoding(self.cam_dec(tokens), height, width)

    def dense(self, state: Tensor, height: int, width: int) -> Tensor:
        """Depth and confidence float32 `[n, 2, H, W]` of some rows of the state."""
        return self.head(state[:, :, 1:], height, width)

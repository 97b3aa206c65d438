"""The camera decoder (camera token to pose) and the camera encoder (pose to camera token)."""

import torch
from torch import Tensor, nn

from weights.da3.blocks import Block, Mlp

POSE_LENGTH = 9
"""Length of a pose encoding; see `geometry.py`."""


class CameraDecoder(nn.Module):
    """Decodes the pose of each view from its camera token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.fc_t = nn.Linear(width, 3)
        self.fc_qvec = nn.Linear(width, 4)
        self.fc_fov = nn.Sequential(nn.Linear(width, 2), nn.ReLU())

    def forward(self, tokens: Tensor) -> Tensor:
        """`[N, width]` -> pose encoding `[N, 9]`."""
        x = self.backbone(tokens)
        return torch.cat([self.fc_t(x), self.fc_qvec(x), self.fc_fov(x)], 1)


class CameraEncoder(nn.Module):
    """Encodes known poses as camera tokens, with attention across views."""

    def __init__(self, width: int, depth: int = 4, heads: int = 16) -> None:
        super().__init__()
        self.trunk = nn.ModuleList(Block(width, heads, norm_epsilon=1e-5) for _ in range(depth))
        self.token_norm = nn.LayerNorm(width)
        self.trunk_norm = nn.LayerNorm(width)
        self.pose_branch = Mlp(POSE_LENGTH, width // 2, width)

    def forward(self, encoding: Tensor) -> Tensor:
        """Pose encoding `[N, 9]` -> `[N, width]`."""
        x = self.token_norm(self.pose_branch(encoding))[None]
        for block in self.trunk:
            x = block(x, None, False)
        return self.trunk_norm(x[0])

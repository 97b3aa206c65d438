"""The backbone: a DINOv2 vision transformer whose later blocks alternate between the tokens of one
frame and the tokens of all frames."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from weights.da3.blocks import Block
from weights.da3.config import PATCH_SIZE, POSITION_GRID, Da3Config, MetricConfig, VitConfig
from weights.da3.reference import reference_view
from weights.da3.rope import class_rotation, grid_rotations

INTERPOLATION_OFFSET = 0.1
"""Added to the size of an interpolated position embedding, as in the training of DINOv2."""


class PatchEmbedding(nn.Module):
    """One token for each patch of an image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH_SIZE, PATCH_SIZE)

    def forward(self, images: Tensor) -> Tensor:
        """`[n, 3, H, W]` -> `[n, H / 14 * W / 14, width]`, row by row."""
        return self.proj(images).flatten(2).transpose(1, 2)


class PlainTransformer(nn.Module):
    """The parts that all vision transformers here share; subclasses run the blocks."""

    stop: Tensor | None
    """A flag that ends the run, see `stopping.check`."""

    def __init__(self, config: VitConfig, first_related: int) -> None:
        super().__init__()
        self.stop = None
        self.patch_size = PATCH_SIZE
        self.position_grid = POSITION_GRID
        self.interpolation_offset = INTERPOLATION_OFFSET
        self.width = config.width
        self.taps = list(config.taps)
        self.patch_embed = PatchEmbedding(config.width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + POSITION_GRID**2, config.width))
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, i >= first_related, config.swiglu)
            for i in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)

    def embed(self, images: Tensor) -> Tensor:
        """Normalised images `[n, 3, H, W]` -> `[n, 1 + P, width]`: class token and P patches."""
        rows = images.size(2) // self.patch_size
        columns = images.size(3) // self.patch_size
        patches = self.patch_embed(images.to(self.cls_token.dtype))
        x = torch.cat([self.cls_token.expand(patches.size(0), 1, self.width), patches], 1)
        return x + self.position_embedding(rows, columns)

    def position_embedding(self, rows: int, columns: int) -> Tensor:
        """The learned embedding `[1, 1 + rows * columns, width]`, interpolated to the grid."""
        grid = self.position_grid
        if rows == grid and columns == grid:
            return self.pos_embed
        learned = self.pos_embed[:, 1:].to(torch.float32)
        learned = learned.view(1, grid, grid, self.width).permute(0, 3, 1, 2)
        scale_y = (rows + self.interpolation_offset) / grid
        scale_x = (columns + self.interpolation_offset) / grid
        patches = F.interpolate(learned, scale_factor=[scale_y, scale_x], mode="bicubic")
        patches = patches.permute(0, 2, 3, 1).reshape(1, rows * columns, self.width)
        return torch.cat([self.pos_embed[:, :1], patches.to(self.pos_embed.dtype)], 1)


class MonocularTransformer(PlainTransformer):
    """A transformer whose blocks all attend within one frame."""

    def __init__(self, config: MetricConfig) -> None:
        super().__init__(config, config.depth)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images `[n, 3, H, W]` -> the P patches of the taps `[n, 4, P, width]`."""
        x = self.embed(images)
        taps: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = block(x, None, False, self.stop)
            if i in self.taps:
                taps.append(self.norm(x[:, 1:]))
        return torch.stack(taps, 1)


class VisionTransformer(PlainTransformer):
    """A transformer in two parts: `encode` runs per frame, `relate` on all frames together."""

    def __init__(self, config: Da3Config) -> None:
        super().__init__(config, config.first_related)
        self.head_channels = config.width // config.heads
        self.first_related = config.first_related
        self.camera_token = nn.Parameter(torch.zeros(1, 2, config.width))

    def encode(self, images: Tensor) -> Tensor:
        """Normalised images `[n, 3, H, W]` -> `[n, 1 + T, width]`, where T = 1 + patches.

        Row 0 is the class token at the input of the last per-frame block; it selects the reference
        view. The T tokens at that block's output follow.
        """
        x = self.embed(images)
        class_tokens = x[:, :1]
        for i, block in enumerate(self.blocks):
            if i < self.first_related:
                class_tokens = x[:, :1]
                x = block(x, None, False, self.stop)
        return torch.cat([class_tokens, x], 1)

    def camera_tokens(self, class_tokens: Tensor) -> Tensor:
        """Camera token `[N, width]` of each view: the learned token of reference or other views.

        The official network moves the reference view to the front, and back at the end. Only this
        token depends on the order of the views, so here they keep their order.
        """
        views = torch.arange(class_tokens.size(0), device=class_tokens.device)
        is_reference = (views == reference_view(class_tokens))[:, None]
        return torch.where(is_reference, self.camera_token[0, 0], self.camera_token[0, 1])

    def relate(self, features: Tensor, camera_tokens: Tensor, rows: int, columns: int) -> Tensor:
        """Rows of `encode` and a camera token each -> `[N, 4, T, 2 * width]`, one row per tap.

        The first half of a token comes from the last per-frame block, the second half from the tap.
        The second half is normalised, except for token 0, the camera token.
        """
        x = features[:, 1:].clone()
        x[:, 0] = camera_tokens.to(x.dtype)
        frames, tokens, width = x.size()
        taps = torch.empty(
            [frames, len(self.taps), tokens, 2 * width], dtype=x.dtype, device=x.device
        )
        grid = grid_rotations(rows, columns, self.head_channels, x)
        shared = class_rotation(self.head_channels, x)
        single = x
        tap = 0
        for i, block in enumerate(self.blocks):
            if i >= self.first_related:
                if i % 2 == 1:
                    x = block(x, shared, True, self.stop)
                else:
                    x = block(x, grid, False, self.stop)
                    single = x
                if i in self.taps:
                    taps[:, tap, :, :width] = single
                    taps[:, tap, :, width:] = self.norm(x)
                    taps[:, tap, 0, width:] = x[:, 0]
                    tap += 1
        return taps


class Backbone(nn.Module):
    """Wraps a transformer so that its parameters have the names of the checkpoints."""

    def __init__(self, config: Da3Config | MetricConfig) -> None:
        super().__init__()
        if isinstance(config, MetricConfig):
            self.pretrained = MonocularTransformer(config)
        else:
            self.pretrained = VisionTransformer(config)

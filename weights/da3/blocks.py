"""Transformer blocks of DINOv2 (arXiv 2304.07193) with query-key norm and rotary positions."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from weights.contract.stopping import check
from weights.da3.rope import rotate

MLP_RATIO = 4


class Attention(nn.Module):
    """Self-attention within each frame or across all frames."""

    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.channels = width // heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = nn.LayerNorm(self.channels) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(self.channels) if qk_norm else nn.Identity()
        self.proj = nn.Linear(width, width)

    def forward(
        self, x: Tensor, rotations: Tensor | None, all_frames: bool, stop: Tensor | None
    ) -> Tensor:
        """Attend within `x` `[N, T, width]`; `rotations` apply to the leading tokens of a frame."""
        frames, tokens, width = x.size()
        qkv = self.qkv(x).view(frames, tokens, 3, self.heads, self.channels)
        q = self.q_norm(qkv[:, :, 0])
        k = self.k_norm(qkv[:, :, 1])
        v = qkv[:, :, 2]
        if rotations is not None:
            q = rotate(q, rotations)
            k = rotate(k, rotations)
        if all_frames:
            q = q.flatten(0, 1)[None]
            k = k.flatten(0, 1)[None]
            v = v.flatten(0, 1)[None]
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if all_frames and stop is not None and not x.is_cuda:
            # All heads together take seconds.
            heads: list[Tensor] = []
            for i in range(self.heads):
                check(stop)
                one = (q[:, i : i + 1], k[:, i : i + 1], v[:, i : i + 1])
                heads.append(F.scaled_dot_product_attention(one[0], one[1], one[2]))
            mixed = torch.cat(heads, 1)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(frames, tokens, width))


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width_in: int, hidden: int, width_out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width_in, hidden)
        self.fc2 = nn.Linear(hidden, width_out)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., width_in]` -> `[..., width_out]`."""
        return self.fc2(F.gelu(self.fc1(x)))


class SwiGlu(nn.Module):
    """A gated layer (arXiv 2002.05202) with about as many weights as `Mlp`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = (MLP_RATIO * width * 2 // 3 + 7) // 8 * 8
        self.w12 = nn.Linear(width, 2 * hidden)
        self.w3 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., width]` -> `[..., width]`."""
        gate, value = self.w12(x).chunk(2, -1)
        return self.w3(F.silu(gate) * value)


class LayerScale(nn.Module):
    """A learned factor for each channel of a residual branch (arXiv 2103.17239)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        """`x` plus the scaled branch."""
        return torch.addcmul(x, branch, self.gamma)


class Block(nn.Module):
    """Pre-norm attention and perceptron, each as a scaled residual branch."""

    def __init__(
        self,
        width: int,
        heads: int,
        qk_norm: bool = False,
        swiglu: bool = False,
        norm_epsilon: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=norm_epsilon)
        self.attn = Attention(width, heads, qk_norm)
        self.ls1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=norm_epsilon)
        self.mlp = SwiGlu(width) if swiglu else Mlp(width, MLP_RATIO * width, width)
        self.ls2 = LayerScale(width)

    def forward(
        self,
        x: Tensor,
        rotations: Tensor | None,
        all_frames: bool,
        stop: Tensor | None = None,
    ) -> Tensor:
        """`[N, T, width]` -> `[N, T, width]`; see `Attention`. `stop` ends it, see
        `stopping.check`."""
        check(stop)
        x = self.ls1(x, self.attn(self.norm1(x), rotations, all_frames, stop))
        check(stop)
        return self.ls2(x, self.mlp(self.norm2(x)))

"""A vector of each frame, by which frames of one place are found."""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def describe_patches(patches: Tensor) -> Tensor:
    """Tokens `[n, P, width]` of a frame's patches -> float32 `[n, width]` of length 1.

    The mean of the patches' tokens, each normalised before, so that none outweighs the others.
    Token and mean have their own mean taken off: it says nothing about the place.
    """
    tokens = F.layer_norm(patches.float(), [patches.size(2)])
    return F.normalize(F.layer_norm(tokens.mean(1), [patches.size(2)]), dim=1)

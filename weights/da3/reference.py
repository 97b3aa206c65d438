"""Selection of the reference view, whose camera frame becomes the world (`saddle_balanced`)."""

import torch
from torch import Tensor

SMALLEST_SELECTION = 3
"""With fewer views the first one is the reference."""


def reference_view(class_tokens: Tensor, smallest_selection: int = SMALLEST_SELECTION) -> Tensor:
    """The index int64 `[]` of the most typical view, from class tokens `[N, width]`.

    It minimises the distance to one half of three properties, each scaled to 0..1 over the views: a
    token's mean cosine similarity to the others, its norm, and the variance of its direction.
    """
    count = class_tokens.size(0)
    if count < smallest_selection:
        return torch.zeros([], dtype=torch.int64, device=class_tokens.device)
    tokens = class_tokens.to(torch.float32)
    norms = torch.linalg.vector_norm(tokens, dim=[1])
    directions = tokens / norms[:, None]
    cosines = directions @ directions.t() - torch.eye(count, device=tokens.device)
    similarity = cosines.sum(1) / (count - 1)
    imbalance = (
        _deviation_from_middle(similarity)
        + _deviation_from_middle(norms)
        + _deviation_from_middle(directions.var([1]))
    )
    return imbalance.argmin()


def _deviation_from_middle(values: Tensor) -> Tensor:
    """The distance of values `[N]`, scaled to 0..1, from one half."""
    lowest = values.min()
    return ((values - lowest) / (values.max() - lowest + 1e-8) - 0.5).abs()

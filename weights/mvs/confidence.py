"""Confidence: the odds that a depth is right, from what its pixel and the other frames say."""

from typing import List

import torch
from torch import Tensor

from .box import shifted
from .consistency import Agreement

BIAS: float = -2.2
PER_CORRELATION: float = 2.3
PER_SUPPORT: float = 3.9
PER_SHARE: float = 2.6
PER_CONFLICT: float = -2.2
"""Log-odds that the depth is within 5 %, a logistic regression on procedural scenes,
less the log-odds that count as known."""
MOST_EVIDENCE: float = 4.5
"""Evidence that still adds to the confidence."""
KNOWN: float = 1.05
"""The lowest confidence that counts as known."""
SIMILAR: float = 0.03
"""Relative difference of inverse depths on the same surface."""


def surface_support(
    inverse_depth: Tensor, known: Tensor, similar: float = SIMILAR
) -> Tensor:
    """Share 0..1 [H, W] of 24 pixels in three rings around each that are `known` (bool) and have
    a similar inverse depth. Fragments that float alone have little."""
    unit = max(1, (max(inverse_depth.size(0), inverse_depth.size(1)) + 168) // 336)
    marked = torch.where(known, inverse_depth, torch.full_like(inverse_depth, -1.0))
    tolerance = similar * inverse_depth
    result = torch.zeros_like(inverse_depth)
    rings: List[int] = [2, 5, 9]
    for ring in rings:
        for row in range(-1, 2):
            for column in range(-1, 2):
                if row != 0 or column != 0:
                    other = shifted(marked, row * ring * unit, column * ring * unit)
                    result += (other - inverse_depth).abs_() < tolerance
    return result.mul_(1.0 / (8.0 * len(rings)))


def evidence(
    agreement: Agreement,
    correlation: Tensor,
    bias: float = BIAS,
    per_correlation: float = PER_CORRELATION,
    per_support: float = PER_SUPPORT,
    per_share: float = PER_SHARE,
    per_conflict: float = PER_CONFLICT,
) -> Tensor:
    """Log-odds [H, W] beyond what counts as known; what no other frame confirms is at most -2."""
    known = agreement.agreeing > 0.5
    support = surface_support(agreement.inverse_depth, known)
    log_odds = bias + per_correlation * correlation.clamp(0.0, 1.0)
    log_odds = log_odds + per_support * support
    log_odds = log_odds + per_share * agreement.agreeing / agreement.seen.clamp(min=1.0)
    log_odds = log_odds + per_conflict * agreement.see_through.clamp(max=1.0)
    return torch.where(known, log_odds, log_odds.clamp(max=-2.0))


def confidence(
    log_odds: Tensor,
    reliability: float,
    known: float = KNOWN,
    most: float = MOST_EVIDENCE,
) -> Tensor:
    """At least 1: above 1 in proportion to the odds, and `KNOWN` where they are even."""
    odds = torch.exp(log_odds.clamp(-20.0, most))
    return 1.0 + (known - 1.0) * reliability * odds

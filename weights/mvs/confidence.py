"""Confidence: the odds that a depth is right, from what its pixel and the other frames say."""

import torch
from torch import Tensor

from weights.mvs.box import box_mean
from weights.mvs.consistency import Agreement
from weights.mvs.fattening import coarse_pixel, fattened, spread
from weights.mvs.fragments import part_of_fragment
from weights.mvs.surroundings import enclosed, surface_support

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
OWN_CORRELATION: float = 0.12
OWN_UNIQUENESS: float = 0.12
OWN_TEXTURE: float = 0.003
"""Correlation, uniqueness and standard deviation of 3x3 grey values (0..1) above which a pixel
shows a texture of its own, not only that of its surroundings. Clear skies stay below."""
EVIDENT: float = 0.35
"""Share of such pixels in 7x7 that makes a pixel evident."""
EDGE_WIDTH: int = 1
"""Pixels of the coarsest level by which the texture of an edge reaches beyond it."""


def own_texture(
    correlation: Tensor,
    uniqueness: Tensor,
    grey: Tensor,
    credible: Tensor,
    least_correlation: float = OWN_CORRELATION,
    least_uniqueness: float = OWN_UNIQUENESS,
    least_texture: float = OWN_TEXTURE,
    least_share: float = EVIDENT,
) -> Tensor:
    """Bool [H, W], where the depth comes from texture that is there and not beside it; only where
    it is `credible`."""
    means = box_mean(torch.stack([grey, grey * grey]), 1)
    textured = means[1] - means[0] * means[0] > least_texture * least_texture
    textured = textured & (correlation > least_correlation) & (uniqueness > least_uniqueness)
    textured = textured & credible
    share = box_mean(textured.to(torch.float32)[None], 3)[0]
    return textured & (share > least_share)


def evidence(
    agreement: Agreement,
    correlation: Tensor,
    uniqueness: Tensor,
    grey: Tensor,
    bias: float = BIAS,
    per_correlation: float = PER_CORRELATION,
    per_support: float = PER_SUPPORT,
    per_share: float = PER_SHARE,
    per_conflict: float = PER_CONFLICT,
    edge_width: int = EDGE_WIDTH,
) -> Tensor:
    """Log-odds [H, W] beyond what counts as known.

    At most -2 where no other frame confirms the depth, where it has only been spread there from
    textured surroundings that do not enclose it, beside edges that may have lent their depth to
    the surface behind them, and in fragments.
    """
    known = agreement.agreeing > 0.5
    support = surface_support(agreement.inverse_depth, known)
    log_odds = bias + per_correlation * correlation.clamp(0.0, 1.0)
    log_odds = log_odds + per_support * support
    log_odds = log_odds + per_share * agreement.agreeing / agreement.seen.clamp(min=1.0)
    log_odds = log_odds + per_conflict * agreement.see_through.clamp(max=1.0)
    doubtful = fattened(agreement.inverse_depth, grey)
    textured = own_texture(correlation, uniqueness, grey, ~doubtful)
    evident = known & (support > 0.25) & textured
    known = known & (evident | enclosed(agreement.inverse_depth, evident))
    # The near edge's own texture reaches a little onto the surface behind it, too.
    reach = edge_width * coarse_pixel(grey.size(0), grey.size(1))
    everywhere = torch.ones_like(known)
    known = known & ~spread(doubtful & ~known, everywhere, agreement.inverse_depth, reach)
    known = known & ~part_of_fragment(agreement.inverse_depth, known & (log_odds > 0.0))
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

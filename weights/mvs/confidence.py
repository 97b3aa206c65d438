"""Confidence: the odds that a depth is correct, from the pixel itself and the other frames."""

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
"""Log-odds that the depth error is within 5 % (logistic regression on procedural scenes), minus the
log-odds at which a depth counts as known."""
MOST_EVIDENCE: float = 4.5
"""Upper bound of the evidence."""
KNOWN: float = 1.05
"""The lowest confidence of a known depth."""
OWN_CORRELATION: float = 0.12
OWN_TEXTURE: float = 0.003
"""Thresholds of correlation and standard deviation of 3x3 grey values (0..1) above
which a pixel has texture of its own, not only in its surroundings. Clear skies stay below."""
EVIDENT: float = 0.35
"""Minimum share of such pixels in a 7x7 window for a pixel to count as evident."""
MOST_AGREE: float = 0.6
"""Share of the frames that see a point and whose surface does not hide it, that agree with most of
the right depths."""
CONFIRMED_BY: int = 3
"""Number of frames that agree from which a depth needs no texture of its own, if they are most."""
CONFIRMED_OF: int = 4
"""Number of frames that must see the point for that: with fewer, the same edge may mislead all."""
MANY: int = 6
"""Number of frames that see a point from which most must agree in any case."""
EDGE_WIDTH: int = 1
"""Pixels of the coarsest level by which the texture of an edge extends beyond it."""


def own_texture(
    correlation: Tensor,
    grey: Tensor,
    credible: Tensor,
    least_correlation: float = OWN_CORRELATION,
    least_texture: float = OWN_TEXTURE,
    least_share: float = EVIDENT,
) -> Tensor:
    """Bool [H, W], `credible` pixels whose depth comes from texture at the pixel, not beside it,
    and is unique: their `correlation` is positive."""
    means = box_mean(torch.stack([grey, grey * grey]), 1)
    textured = means[1] - means[0] * means[0] > least_texture * least_texture
    textured = textured & (correlation > least_correlation) & credible
    share = box_mean(textured.to(torch.float32)[None], 3)[0]
    return textured & (share > least_share)


def confirmed(
    agreement: Agreement,
    least: int = CONFIRMED_BY,
    of: int = CONFIRMED_OF,
    share: float = MOST_AGREE,
) -> Tensor:
    """Bool [H, W], where so many frames agree that no edge can have lent the same depth to all."""
    most = agreement.agreeing > share * (agreement.seen - agreement.hidden)
    enough = (agreement.agreeing > least - 0.5) & (agreement.seen > of - 0.5)
    return most & enough & (agreement.see_through < 0.5)


def disputed(agreement: Agreement, many: int = MANY, share: float = MOST_AGREE) -> Tensor:
    """Bool [H, W], where many frames see the point and too few of those that could agree do."""
    few = agreement.agreeing < share * (agreement.seen - agreement.hidden)
    return few & (agreement.seen > many - 0.5)


def evidence(
    agreement: Agreement,
    correlation: Tensor,
    grey: Tensor,
    bias: float = BIAS,
    per_correlation: float = PER_CORRELATION,
    per_support: float = PER_SUPPORT,
    per_share: float = PER_SHARE,
    per_conflict: float = PER_CONFLICT,
    edge_width: int = EDGE_WIDTH,
) -> Tensor:
    """Log-odds [H, W] relative to those of a known depth.

    At most -2 where no other frame or too small a share of many frames confirms the depth, and in
    fragments. Unless several frames confirm it, also where the depth was only propagated from
    textured surroundings that do not enclose the pixel, and beside edges with possible foreground
    fattening.
    """
    known = agreement.agreeing > 0.5
    certain = confirmed(agreement)
    support = surface_support(agreement.inverse_depth, known)
    log_odds = bias + per_correlation * correlation.abs().clamp(max=1.0)
    log_odds = log_odds + per_support * support
    log_odds = log_odds + per_share * agreement.agreeing / agreement.seen.clamp(min=1.0)
    log_odds = log_odds + per_conflict * agreement.see_through.clamp(max=1.0)
    doubtful = fattened(agreement.inverse_depth, grey) & ~certain
    textured = own_texture(correlation, grey, ~doubtful)
    evident = known & (support > 0.25) & textured
    known = known & (evident | certain | enclosed(agreement.inverse_depth, evident))
    # The texture of the near edge also extends slightly onto the surface behind it.
    reach = edge_width * coarse_pixel(grey.size(0), grey.size(1))
    everywhere = torch.ones_like(known)
    edges = spread(doubtful & ~known, everywhere, agreement.inverse_depth, reach)
    known = known & (certain | ~edges)
    known = known & ~part_of_fragment(agreement.inverse_depth, known & (log_odds > 0.0))
    known = known & ~disputed(agreement)
    return torch.where(known, log_odds, log_odds.clamp(max=-2.0))


def confidence(
    log_odds: Tensor,
    reliability: float,
    known: float = KNOWN,
    most: float = MOST_EVIDENCE,
) -> Tensor:
    """Confidence >= 1; the excess over 1 is proportional to the odds, with `KNOWN` at even odds.

    Exactly 1 where the odds are too low for a known depth: such a pixel must never become a point,
    whatever share of the pixels somebody asks for.
    """
    odds = torch.exp(log_odds.clamp(max=most))
    return 1.0 + (known - 1.0) * reliability * odds * (log_odds > 0.0)

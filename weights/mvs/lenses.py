"""Lenses: focal length and radial distortion, shared by the frames of a group.

A pixel `p` from the image centre, as the camera recorded it, lies at
`p * (1 + bend * |p|^2 / extent^2)` in the image of a lens without distortion, where `extent` is
the longer side of the image.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

MOST_BEND: float = 0.5
"""Largest bend: up to it the mapping above is monotonic up to the corners of the image."""


class Lenses(NamedTuple):
    """The lenses of `N` frames in `G` groups."""

    log_focal: Tensor
    """float64 [G], natural logarithm of the focal length in pixels."""
    bend: Tensor
    """float64 [G]."""
    group: Tensor
    """int64 [N], 0 to G - 1."""
    extent: float
    """Longer side of the images in pixels."""


def focal_lengths(lenses: Lenses) -> Tensor:
    """Focal length in pixels of each frame, float64 [N]."""
    return lenses.log_focal.exp()[lenses.group]


def relative_square(pixels: Tensor, extent: float) -> Tensor:
    """[..., 2] -> [...], squared distance from the centre in units of `extent`."""
    return (pixels[..., 0].square() + pixels[..., 1].square()) * (1.0 / (extent * extent))


def straight(pixels: Tensor, bend: Tensor, extent: float) -> Tensor:
    """Where a lens without distortion would record the pixels [..., 2]; `bend` is [...]."""
    return pixels * (1.0 + bend * relative_square(pixels, extent))[..., None]


def recorded(offsets: Tensor, pixels: Tensor, bend: Tensor, extent: float) -> Tensor:
    """Small offsets [..., 2] from straight positions, in pixels as the camera recorded them:
    multiplied by the inverse derivative of `straight` at the pixels [..., 2].

    Errors have to be measured there: a lens that shrinks the image would seem to shrink them.
    """
    along = bend * relative_square(pixels, extent)
    across = 1.0 + along
    towards = (pixels * offsets).sum(-1) * bend * (2.0 / (extent * extent))
    towards = towards / (1.0 + 3.0 * along)
    return (offsets - pixels * towards[..., None]) / across[..., None]


def straightened(pixels: Tensor, lenses: Lenses) -> Tensor:
    """`straight` for pixels [T, N, 2] of all frames."""
    return straight(pixels, lenses.bend[lenses.group][None], lenses.extent)


def as_one_lens(pixels: Tensor, frames: Tensor, lenses: Lenses) -> Tensor:
    """Pixels [P, M, 2] of the frames [P] as the lens of group 0 would record them without
    distortion."""
    group = lenses.group[frames]
    scale = (lenses.log_focal[0] - lenses.log_focal[group]).exp()
    ideal = straight(pixels, lenses.bend[group][:, None], lenses.extent)
    return ideal * scale[:, None, None]


def radial_terms(bend: Tensor, focal: Tensor, height: float, width: float) -> Tensor:
    """The terms k1 and k2 [N, 2] of `x_d = x_u (1 + k1 r^2 + k2 r^4)`, `r` of the undistorted point
    at distance 1 (Brown's model), that fit the lens best over the image.

    Least squares over distances from the centre to the corner, in pixels as recorded.
    """
    extent = max(height, width)
    corner = 0.5 * math.sqrt(height * height + width * width)
    recorded = torch.linspace(0.0, 1.0, 33, dtype=torch.float64, device=bend.device)[1:] * corner
    flat = bend.to(torch.float64)[:, None] * (recorded / extent).square()
    ideal = recorded * (1.0 + flat) / focal.to(torch.float64)[:, None]
    square = ideal.square()
    first, second = ideal * square, ideal * square.square()
    off = recorded / focal.to(torch.float64)[:, None] - ideal
    aa, ab, bb = (first * first).sum(1), (first * second).sum(1), (second * second).sum(1)
    ao, bo = (first * off).sum(1), (second * off).sum(1)
    determinant = aa * bb - ab * ab
    terms = torch.stack([ao * bb - bo * ab, bo * aa - ao * ab], dim=1) / determinant[:, None]
    return torch.where(bend[:, None] != 0.0, terms, torch.zeros_like(terms)).to(bend.dtype)


def bend_of_terms(
    terms: Tensor, focal: Tensor, height: float, width: float, most_bend: float = MOST_BEND
) -> Tensor:
    """The bend [N] of the lenses with radial terms k1 and k2 [N, 2]: the inverse of
    `radial_terms`, by least squares over the same distances from the centre."""
    extent = max(height, width)
    corner = 0.5 * math.sqrt(height * height + width * width)
    length = focal.to(torch.float64)[:, None]
    goal = torch.linspace(0.0, 1.0, 33, dtype=torch.float64, device=terms.device)[1:] * corner
    first, second = terms.to(torch.float64)[:, :1], terms.to(torch.float64)[:, 1:]
    ideal = (goal[None] / length).expand(terms.size(0), -1)
    for _step in range(12):
        square = ideal.square()
        ideal = goal[None] / length / (1.0 + first * square + second * square.square())
    cubic = goal.pow(3)[None] / (extent * extent)
    bend = ((ideal * length - goal[None]) * cubic).sum(1) / cubic.square().sum(1)
    none = (terms == 0.0).all(dim=1)
    return torch.where(none, torch.zeros_like(bend), bend).clamp(-most_bend, most_bend)

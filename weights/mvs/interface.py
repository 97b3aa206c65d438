"""The interface between the sparse stage (structure from motion) and the dense stage."""

from typing import NamedTuple

from torch import Tensor


class SparseModel(NamedTuple):
    """Cameras and triangulated tracks of `N` frames; the shapes also hold in degenerate cases.

    A world point `X` has camera coordinates `rotations[i] @ X + translations[i]` (x right, y down,
    z forward) and projects by a lens without
    distortion to the pixel index `focal * (x, y) / z + ((W - 1) / 2, (H - 1) / 2)`.
    Without reliable geometry there are no points and every reliability is 0.
    """

    rotations: Tensor
    """float64 [N, 3, 3], world to camera. The first registered frame has the identity, which is
    frame 0 unless it is unregistered."""
    translations: Tensor
    """float64 [N, 3], world to camera."""
    focal: Tensor
    """float64 [N], focal length in pixels of the given size (square pixels)."""
    bend: Tensor
    """float64 [N], radial distortion as in `lenses.py`."""
    registered: Tensor
    """bool [N]. An unregistered frame has the pose of the nearest registered frame."""
    points: Tensor
    """float64 [T, 3], triangulated tracks in the world frame; their median depth is about 1."""
    visible: Tensor
    """bool [T, N], the inlier observations."""
    report: Tensor
    """float32 [N, 8], the rows of the contract's report."""
    reliability: Tensor
    """float32 [N] in 0..1: reliability of the frame's pose and parallax. At 0 its confidence is 1
    everywhere."""
    links: Tensor
    """float32 [N, L, 3], as in `links.py`."""

"""Run a model's entry points on synthetic input and report contract violations."""

import os

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from weights.contract.archive import load_archive
from weights.contract.inference import Reconstruction, run_model
from weights.contract.metadata import Metadata

SHAPES = ((1, 10, 14), (2, 12, 8), (3, 11, 15), (5, 8, 8), (2, 1, 1), (2, 1, 20))
"""Frames, height and width in patches."""
REASONS = 8
"""The largest code of a reason in a report."""
NEAR_IDENTITY = 0.05
"""Largest deviation of the reference frame's extrinsics from the identity."""


def check_archive(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> list[str]:
    """Run an archive on noise and on views of a textured plane; return every violation found.

    Raises:
        ContractError: if the archive cannot be loaded.
    """
    module, metadata = load_archive(path, device)
    violations: list[str] = []
    for frames, rows, columns in SHAPES:
        height, width = rows * metadata.patch_size, columns * metadata.patch_size
        for kind, pixels in (
            ("noise", noise_frames(frames, height, width)),
            ("plane", plane_frames(frames, height, width)),
        ):
            label = f"{frames} x {height} x {width} {kind}"
            found = _check_run(module, metadata, pixels.to(device))
            violations += [f"{label}: {violation}" for violation in found]
    return violations


def noise_frames(frames: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Unrelated uint8 frames `[N, 3, H, W]` of white noise."""
    generator = torch.Generator().manual_seed(seed)
    shape = (frames, 3, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def plane_frames(frames: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Uint8 views `[N, 3, H, W]` of one textured plane; the camera moves to the right."""
    generator = torch.Generator().manual_seed(seed)
    step = max(width // 16, 1)
    wide = width + step * (frames - 1)
    texture = torch.zeros(1, 3, height, wide)
    for cell in (32, 8, 3):
        coarse = torch.rand(1, 3, height // cell + 2, wide // cell + 2, generator=generator)
        texture += F.interpolate(coarse, (height, wide), mode="bilinear") / 3
    pixels = (texture * 255).round().to(torch.uint8)[0]
    return torch.stack([pixels[:, :, i * step : i * step + width] for i in range(frames)])


def _check_run(module: torch.jit.ScriptModule, metadata: Metadata, pixels: Tensor) -> list[str]:
    """Return the violations on one input; an exception counts as one."""
    try:
        violations = _check_encode(module, pixels)
        violations += _check_describe(module, pixels) if metadata.describe else []
        violations += _check_adjust(module, metadata, pixels) if metadata.adjust else []
        torch.manual_seed(1)
        result = run_model(module, metadata, pixels, chunk=1)
        torch.manual_seed(2)  # a model that uses the global generator is not deterministic
        again = run_model(module, metadata, pixels, chunk=1)
        at_once = run_model(module, metadata, pixels, chunk=pixels.shape[0])
        posed = (
            run_model(module, metadata, pixels, poses=_poses(pixels)) if metadata.poses else None
        )
        hinted = [
            (label, run_model(module, metadata, pixels, hints=hints))
            for label, hints in (_hints(pixels) if metadata.hints else [])
        ]
        extended = (
            run_model(module, metadata, pixels, placed=_placed(pixels, metadata))
            if metadata.extend
            else None
        )
    except (RuntimeError, torch.jit.Error) as error:
        return [f"raised: {str(error).strip().splitlines()[-1]}"]
    violations += _check_values(result, pixels)
    if not all(_equal(a, b) for a, b in zip(result, again, strict=True)):
        violations.append("the same input gave another output")
    for name, apart, together in (
        ("depth", result.depth, at_once.depth),
        ("confidence", result.confidence, at_once.confidence),
    ):
        deviating = (apart / together - 1).abs() > 0.01
        if deviating.float().mean() > 0.01:
            violations.append(f"{name} depends on how frames are grouped into chunks")
    if posed is not None:
        found = _check_values(posed, pixels)
        if not bool(posed.registered.all()):
            found.append("a frame is not registered")
        violations += [f"with known poses: {violation}" for violation in found]
    if extended is not None:
        found = _check_values(extended, pixels, near_identity=False)
        found += _check_placed(extended, _placed(pixels, metadata))
        violations += [f"with placed frames: {violation}" for violation in found]
    for label, result in hinted:
        violations += [f"{label}: {violation}" for violation in _check_values(result, pixels)]
    return violations


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b if a is None or b is None else torch.equal(a, b)


def _poses(pixels: Tensor) -> Tensor:
    """Known cameras `[N, 21]` that move to the right; the world is not the first camera's frame."""
    frames, _, height, width = pixels.shape
    focal = 0.8 * max(height, width)
    turn_and_shift = [0, 0, 1, 2, 0, 1, 0, 3, -1, 0, 0, 4]
    intrinsics = [focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1]
    row = torch.tensor([*turn_and_shift, *intrinsics], device=pixels.device)
    rows = row.repeat(frames, 1)
    rows[:, 3] -= 0.1 * torch.arange(frames, device=pixels.device)
    return rows


def _hints(pixels: Tensor) -> list[tuple[str, Tensor]]:
    """Hints `[N, 3]` by name: two groups with one focal length, none, and a wrong one."""
    frames, _, height, width = pixels.shape
    groups = torch.arange(frames, device=pixels.device, dtype=torch.float32)
    some = torch.zeros(frames, 3, device=pixels.device)
    some[:, 0] = groups % 2
    some[::2, 1] = 0.8 * max(height, width)
    some[::2, 2] = 0.05
    none = torch.zeros_like(some)
    none[:, 0] = groups
    wrong = some.clone()
    wrong[:, 1] = 20.0 * max(height, width)
    wrong[:, 2] = 0.03
    return [
        ("with hints", some),
        ("with hints without focal lengths", none),
        ("with wrong hints", wrong),
    ]


def _placed(pixels: Tensor, metadata: Metadata) -> Tensor:
    """Rows of cameras `[N, 22 or 24]` of which the first half is placed, as `_poses`."""
    frames = pixels.shape[0]
    rows = torch.zeros(frames, 24 if metadata.distortion else 22, device=pixels.device)
    count = (frames + 1) // 2
    rows[:count, :21] = _poses(pixels)[:count]
    rows[:count, 21] = 1.0
    return rows


def _check_placed(result: Reconstruction, placed: Tensor) -> list[str]:
    """Check that the placed frames kept their cameras."""
    kept = placed[:, 21] > 0.5
    if not bool(result.registered[kept].all()):
        return ["a placed frame is not registered"]
    extrinsics = result.extrinsics[kept].flatten(1) - placed[kept, :12]
    intrinsics = result.intrinsics[kept].flatten(1) / placed[kept, 12:21].clamp(min=1e-6)
    changed = extrinsics.abs().max() > 1e-4 or (intrinsics[:, [0, 4]] - 1.0).abs().max() > 1e-3
    return ["the camera of a placed frame was changed"] if bool(changed) else []


def _check_encode(module: torch.jit.ScriptModule, pixels: Tensor) -> list[str]:
    """Check that row i of `encode` depends on image i only; on the CPU to the bit."""
    frames = pixels.shape[0]
    with torch.no_grad(), torch.jit.optimized_execution(False):
        at_once = module.encode(pixels)
        one_by_one = torch.cat([module.encode(pixels[i : i + 1]) for i in range(frames)])
        half = (frames + 1) // 2
        parts = [part for part in (pixels[:half], pixels[half:]) if part.shape[0]]
        in_halves = torch.cat([module.encode(part) for part in parts])
    if at_once.shape[0] != frames:
        return [f"encode returned {at_once.shape[0]} rows for {frames} frames"]
    same = (
        all(torch.equal(at_once, other) for other in (one_by_one, in_halves))
        if pixels.device.type == "cpu"
        else all(_nearly_equal(at_once, other) for other in (one_by_one, in_halves))
    )
    if not same:
        return ["encode depends on how frames are grouped"]
    return []


def _check_describe(module: torch.jit.ScriptModule, pixels: Tensor) -> list[str]:
    """Check that each frame has a finite vector, which depends on this frame only."""
    frames, _, height, width = pixels.shape
    size = torch.tensor([height, width])
    with torch.no_grad(), torch.jit.optimized_execution(False):
        features = module.encode(pixels)
        together = module.describe(features, size)
        apart = torch.cat([module.describe(features[i : i + 1], size) for i in range(frames)])
    if together.dim() != 2 or together.shape[0] != frames or together.dtype != torch.float32:
        return [f"describe returned {together.dtype} {tuple(together.shape)}"]
    if not bool(together.isfinite().all()):
        return ["describe is not finite"]
    if bool((together.norm(dim=1) > 1.001).any()):
        return ["a vector of describe is longer than 1"]
    if not _nearly_equal(together, apart):
        return ["describe depends on how frames are grouped"]
    return []


def _check_adjust(module: torch.jit.ScriptModule, metadata: Metadata, pixels: Tensor) -> list[str]:
    """Check the links of a run, and an adjustment by them that follows it."""
    frames, _, height, width = pixels.shape
    size = torch.tensor([height, width])
    none = torch.zeros(frames, 3, device=pixels.device)
    with torch.no_grad(), torch.jit.optimized_execution(False):
        features = module.encode(pixels)
        state = module.relate(features, size)
        links, cameras = module.links(state, size), module.cameras(state, size)
        if links.dim() != 3 or tuple(links.shape[::2]) != (frames, 3):
            return [f"links is {tuple(links.shape)}, expected {(frames, 'L', 3)}"]
        if links.dtype != torch.float32 or not bool(links.isfinite().all()):
            return ["links is not finite float32"]
        cameras[:, 21] = 1.0
        frame = torch.arange(frames, device=links.device)[:, None, None]
        rows = torch.cat([frame.expand_as(links[:, :, :1]), links], 2).flatten(0, 1)
        found = []
        # Also without any link.
        for some in (rows[rows[:, 3] >= 0], rows[:0]):
            found.append(module.adjust(some, cameras, none, size))
            again = module.adjust(some, cameras, none, size)
            if not torch.equal(found[-1], again):
                return ["adjust gave another output for the same input"]
    columns = cameras.shape[1] + 1
    for adjusted in found:
        if tuple(adjusted.shape) != (frames, columns) or adjusted.dtype != torch.float32:
            return [
                f"adjust returned {adjusted.dtype} {tuple(adjusted.shape)}, "
                f"expected torch.float32 {(frames, columns)}"
            ]
        if not bool(adjusted.isfinite().all()):
            return ["adjust is not finite"]
        if bool((adjusted[:, -1] <= 0).any()):
            return ["a factor of adjust is not above 0"]
    return []


def _nearly_equal(a: Tensor, b: Tensor, tolerance: float = 0.02) -> bool:
    """Whether the norm of the difference is small relative to the norm of `b`."""
    difference = torch.linalg.vector_norm(a.double() - b.double())
    return bool(difference <= tolerance * torch.linalg.vector_norm(b.double()))


def _check_values(result: Reconstruction, pixels: Tensor, near_identity: bool = True) -> list[str]:
    """Check shapes, types and ranges of a result."""
    violations: list[str] = []
    frames, _, height, width = pixels.shape
    for name, shape in (
        ("depth", (frames, height, width)),
        ("confidence", (frames, height, width)),
        ("extrinsics", (frames, 3, 4)),
        ("intrinsics", (frames, 3, 3)),
        ("distortion", (frames, 2)),
    ):
        value = getattr(result, name)
        if tuple(value.shape) != shape or value.dtype != torch.float32:
            violations.append(
                f"{name} is {value.dtype} {tuple(value.shape)}, expected torch.float32 {shape}"
            )
        elif value.device != pixels.device:
            violations.append(f"{name} is on {value.device}, the input on {pixels.device}")
        elif not bool(value.isfinite().all()):
            violations.append(f"{name} is not finite")
    if violations:
        return violations
    if bool((result.depth <= 0).any()):
        violations.append(f"depth is {result.depth.min():.3g} somewhere, expected > 0")
    if bool((result.confidence < 1).any()):
        violations.append(f"confidence is {result.confidence.min():.6g} somewhere, expected >= 1")
    if bool((result.confidence[~result.registered] > 1).any()):
        violations.append("an unregistered frame has a confidence above 1")
    cameras = _check_cameras(result, near_identity)
    return violations + cameras + _check_report(result)


def _check_report(result: Reconstruction) -> list[str]:
    """Check the numbers of the report, if the model has one."""
    report = result.report
    frames = result.depth.shape[0]
    if report is None:
        return []
    if tuple(report.shape) != (frames, 8) or report.dtype != torch.float32:
        return [
            f"report is {report.dtype} {tuple(report.shape)}, expected torch.float32 {(frames, 8)}"
        ]
    if not bool(report.isfinite().all()):
        return ["report is not finite"]
    violations: list[str] = []
    reason, piece, reliability = report[:, 0], report[:, 1], report[:, 7]
    if bool(((reason < 0) | (reason > REASONS) | (reason != reason.round())).any()):
        violations.append("a reason of the report is not a code")
    if bool(((piece < -1) | (piece >= frames) | (piece != piece.round())).any()):
        violations.append("a piece of the report is not an index or -1")
    if bool((reliability > 1).any()):
        violations.append("a reliability of the report is above 1")
    if bool((reason[~result.registered] == 0).any()):
        violations.append("an unregistered frame has no reason in the report")
    return violations


def _check_cameras(result: Reconstruction, near_identity: bool) -> list[str]:
    violations: list[str] = []
    rotations = result.extrinsics[:, :, :3].double()
    identity = torch.eye(3, 4, dtype=torch.float64, device=rotations.device)
    products = rotations @ rotations.transpose(1, 2)
    if bool(((products - identity[:, :3]).abs() > 1e-3).any()) or bool(
        (torch.linalg.det(rotations) < 0).any()
    ):
        violations.append("extrinsics hold something else than a rotation")
    distance = (result.extrinsics.double() - identity).abs().flatten(1).amax(1)
    if near_identity and float(distance.min()) > NEAR_IDENTITY:
        violations.append("no frame has extrinsics near the identity")
    k = result.intrinsics
    if bool((k[:, 0, 0] <= 0).any()) or bool((k[:, 1, 1] <= 0).any()):
        violations.append("a focal length is not greater than 0")
    expected = torch.zeros_like(k[:, [1, 2, 2, 2], [0, 0, 1, 2]])
    expected[:, 3] = 1
    if not torch.equal(k[:, [1, 2, 2, 2], [0, 0, 1, 2]], expected):
        violations.append("intrinsics are not upper triangular with 1 in the corner")
    return violations

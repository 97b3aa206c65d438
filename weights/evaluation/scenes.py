"""Measure an archive on unseen procedural scenes.

Models are never developed on these scenes: the evaluation uses seeds from `SEEDS` on, everything
else in this repository uses smaller ones.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path as FilePath
from typing import NamedTuple

import numpy as np
import torch

from weights.contract import Reconstruction, load_archive, run_model
from weights.evaluation.report import percent, print_progress, table
from weights.metrics import SceneErrors, depth_errors, pose_errors
from weights.scenes import Look, Path, Rendering, SceneSettings, render_scene

SEEDS = 700_000
SCENES = 24
SPECIAL_SCENES = 2
FIELDS_OF_VIEW = (30.0, 80.0)
VIEWS = {6: (0, 1, 2, 3, 4, 5), 3: (0, 2, 4), 2: (1, 3)}
"""Indices of the used views, by number of views."""

HEADINGS = [
    "rotation",
    "translation",
    "AUC@30",
    "focal",
    "AbsRel",
    "confident",
    "of these wrong",
    "seconds",
]


class Run(NamedTuple):
    """One reconstruction, its errors and its time in seconds."""

    reconstruction: Reconstruction
    errors: SceneErrors
    seconds: float


class Model:
    """A loaded archive."""

    def __init__(self, path: FilePath, device: str) -> None:
        self.module, self.metadata = load_archive(path, device)
        self.device = device

    def reconstruct(self, images: np.ndarray) -> tuple[Reconstruction, float]:
        """Run on uint8 images [N, H, W, 3]; return the result on the CPU and the seconds taken.

        On the CPU this is CPU time, which other processes do not affect.
        """
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        pixels = pixels.contiguous().to(self.device)
        start = clock()
        result = run_model(self.module, self.metadata, pixels)
        result = Reconstruction(*(value.cpu() for value in result))
        return result, clock() - start

    def measure(self, rendering: Rendering, views: Sequence[int]) -> Run:
        """Reconstruct some views of a rendering and compare with the ground truth."""
        chosen = list(views)
        result, seconds = self.reconstruct(rendering.images[chosen])
        focal = float(rendering.intrinsics[0, 0])
        errors = SceneErrors(
            poses=pose_errors(result.extrinsics.numpy(), rendering.extrinsics[chosen]),
            depth=depth_errors(
                result.depth.numpy(), result.confidence.numpy(), rendering.depth[chosen]
            ),
            focal=abs(float(result.intrinsics[0, 0, 0]) / focal - 1),
        )
        return Run(result, errors, seconds)


def field_of_view(index: int, scenes: int) -> float:
    """Horizontal field of view of a scene in degrees; scenes cover `FIELDS_OF_VIEW` evenly."""
    low, high = FIELDS_OF_VIEW
    return low + (high - low) * (index + 0.5) / scenes


def measure_views(model: Model, scenes: int, first_seed: int) -> dict[int, list[Run]]:
    """Reconstruct every scene from 6, 3 and 2 views."""
    runs: dict[int, list[Run]] = {count: [] for count in VIEWS}
    for index in range(scenes):
        settings = SceneSettings(field_of_view=field_of_view(index, scenes))
        rendering = render_scene(first_seed + index, settings)
        for count, views in VIEWS.items():
            runs[count].append(model.measure(rendering, views))
        print_progress(f"scene {index + 1}/{scenes}")
    return runs


def special_sets(first_seed: int, scenes: int) -> Iterable[tuple[str, Rendering]]:
    """Difficult or degenerate scenes of four views, by name."""
    common = SceneSettings(views=4)
    square = SceneSettings(views=4, width=252, height=252)
    for name, settings in (
        ("repeated texture", SceneSettings(views=4, look=Look.REPEATED)),
        ("mirrored texture", SceneSettings(views=4, look=Look.MIRRORED)),
        ("single colours", SceneSettings(views=4, look=Look.PLAIN)),
        ("below the sky", SceneSettings(views=4, look=Look.OPEN)),
        ("static camera", SceneSettings(views=4, path=Path.STATIC)),
        ("turn on the spot", SceneSettings(views=4, path=Path.TURN)),
    ):
        for index in range(scenes):
            yield name, render_scene(first_seed + index, settings)
    for index in range(scenes):
        seeds = range(first_seed + 4 * index, first_seed + 4 * index + 4)
        yield "unrelated photos", _mixed([render_scene(seed, common) for seed in seeds])
    for name, turned in (("one photo turned by 90°", (2,)), ("all turned by 90°", range(4))):
        for index in range(scenes):
            yield name, _turned(render_scene(first_seed + index, square), turned)


def _mixed(renderings: Sequence[Rendering]) -> Rendering:
    """Photo i of rendering i: unrelated photos."""
    return Rendering(
        images=np.stack([rendering.images[i] for i, rendering in enumerate(renderings)]),
        depth=np.stack([rendering.depth[i] for i, rendering in enumerate(renderings)]),
        extrinsics=np.stack([rendering.extrinsics[i] for i, rendering in enumerate(renderings)]),
        intrinsics=renderings[0].intrinsics,
    )


def _turned(rendering: Rendering, frames: Iterable[int]) -> Rendering:
    """Rotate some photos of a square rendering counter-clockwise by 90 degrees."""
    turn = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32)
    images, depth = rendering.images.copy(), rendering.depth.copy()
    extrinsics = rendering.extrinsics.copy()
    for frame in frames:
        images[frame] = np.rot90(images[frame])
        depth[frame] = np.rot90(depth[frame])
        extrinsics[frame] = turn @ extrinsics[frame]
    return Rendering(images, depth, extrinsics, rendering.intrinsics)


def measure_special(model: Model, first_seed: int, scenes: int) -> dict[str, list[Run]]:
    """Reconstruct the special sets."""
    runs: dict[str, list[Run]] = {}
    for name, rendering in special_sets(first_seed, scenes):
        runs.setdefault(name, []).append(model.measure(rendering, range(4)))
        print_progress(name)
    return runs


def summary(runs: Sequence[Run]) -> list[str]:
    """Cells of a table row: means over scenes."""
    return [
        f"{np.mean([run.errors.poses.rotation.mean() for run in runs]):.2f}°",
        f"{np.mean([run.errors.poses.translation.mean() for run in runs]):.2f}°",
        f"{np.mean([run.errors.poses.auc() for run in runs]):.3f}",
        percent(np.mean([run.errors.focal for run in runs])),
        f"{np.nanmean([run.errors.depth.abs_rel for run in runs]):.3f}",
        percent(np.mean([run.errors.depth.coverage for run in runs]), 0),
        percent(np.mean([run.errors.depth.wrong for run in runs])),
        f"{np.mean([run.seconds for run in runs]):.1f}",
    ]


def views_table(runs: dict[int, list[Run]]) -> str:
    """Errors by number of views."""
    rows = []
    for count, of_count in runs.items():
        good = [run for run in of_count if not run.errors.failed()]
        failures = str(len(of_count) - len(good))
        rows.append([f"{count}", f"{len(of_count)}", failures, *summary(of_count)])
        if 0 < len(good) < len(of_count):
            rows.append([f"{count}, not failed", f"{len(good)}", "0", *summary(good)])
    return table(["views", "scenes", "failed", *HEADINGS], rows)


def fields_table(runs: Sequence[Run]) -> str:
    """Errors by field of view, six views."""
    rows = []
    for begin, end in ((30, 45), (45, 60), (60, 80)):
        fields = [field_of_view(i, len(runs)) for i in range(len(runs))]
        chosen = [r for r, field in zip(runs, fields, strict=True) if begin <= field < end]
        if chosen:
            failures = sum(run.errors.failed() for run in chosen)
            rows.append([f"{begin}° to {end}°", f"{len(chosen)}", f"{failures}", *summary(chosen)])
    return table(["field of view", "scenes", "failed", *HEADINGS], rows)


def special_table(runs: dict[str, list[Run]]) -> str:
    """Confidence and errors on the special sets."""
    rows = [
        [
            name,
            percent(np.mean([run.errors.depth.coverage for run in of_set]), 0),
            percent(np.mean([run.errors.depth.wrong for run in of_set])),
            f"{np.mean([run.errors.poses.auc() for run in of_set]):.2f}",
            f"{sum(int(run.reconstruction.registered.sum()) for run in of_set)}"
            f" of {sum(len(run.reconstruction.registered) for run in of_set)}",
        ]
        for name, of_set in runs.items()
    ]
    return table(["four views", "confident", "of these wrong", "AUC@30", "registered"], rows)


def evaluate_scenes(
    archive: FilePath, device: str, scenes: int, special: int, first_seed: int
) -> str:
    """Measure an archive on scenes and on special sets; return the tables."""
    model = Model(archive, device)
    metadata = model.metadata
    parts = [f"`{metadata.name}` {metadata.version}, `{metadata.digest[:19]}`"]
    if scenes:
        runs = measure_views(model, scenes, first_seed)
        parts += [views_table(runs), fields_table(runs[6])]
    if special:
        parts.append(special_table(measure_special(model, first_seed, special)))
    return "\n\n".join(parts)

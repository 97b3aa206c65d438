"""Measure archives on folders of real photos against COLMAP."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from weights.contract import Metadata, read_metadata
from weights.evaluation.landmarks import Landmarks, find_landmarks
from weights.evaluation.photo_sets import PhotoSet, photo_sets
from weights.evaluation.photos import Photos, read_folder
from weights.evaluation.preparation import prepare
from weights.evaluation.report import number, percent, print_progress, table
from weights.evaluation.run import run_apart
from weights.evaluation.scores import Scores, score

QUICK_RESOLUTIONS = (504,)
RESOLUTIONS = (504, 336)
LARGEST_SET = 120

RUN_HEADINGS = [
    "set",
    "side",
    "archive",
    "registered",
    "AUC@5",
    "AUC@30",
    "position",
    "focal",
    "known",
    "compared",
    "off",
    "close",
    "collapse",
    "seconds",
    "MB",
]
SUMMARY_HEADINGS = [
    "photos",
    "sets",
    "archive",
    "runs",
    "collapsed",
    "registered",
    "AUC@5",
    "AUC@30",
    "position",
    "focal",
    "known",
    "off",
    "close",
    "seconds",
    "MB",
]


@dataclass(frozen=True)
class Settings:
    """How the sets of a folder are reconstructed."""

    suite: str = "quick"
    resolutions: tuple[int, ...] = QUICK_RESOLUTIONS
    """Longest sides in pixels."""
    max_frames: int = LARGEST_SET
    device: str = "cpu"
    threads: int = 1


class Archive(NamedTuple):
    """An archive and the letter that stands for it in tables."""

    letter: str
    path: Path
    metadata: Metadata


class PhotoRun(NamedTuple):
    """One reconstruction of a set by an archive."""

    photos: str
    chosen: PhotoSet
    resolution: int
    archive: str
    scores: Scores
    seconds: float
    memory: float
    """In bytes; NaN like the time if the run failed."""


class Report(NamedTuple):
    """Markdown: everything, and what a document needs."""

    full: str
    summary: str


def evaluate_photos(paths: Sequence[Path], folders: Sequence[Path], settings: Settings) -> Report:
    """Reconstruct the sets of every folder with every archive."""
    cv2.setNumThreads(settings.threads)
    archives = [
        Archive(letter, path, read_metadata(path))
        for letter, path in zip("AB", paths, strict=False)
    ]
    runs: list[PhotoRun] = []
    parts = ["\n\n".join(_title(archive, len(archives)) for archive in archives)]
    summaries = list(parts)
    for folder in folders:
        photos = read_folder(folder, settings.max_frames)
        landmarks = find_landmarks(photos)
        of_folder = _measure_folder(archives, photos, landmarks, settings)
        parts += [describe(photos, landmarks), runs_table(of_folder), devices_table(of_folder)]
        runs += of_folder
    summaries.append(summary_table(runs))
    if len(archives) > 1:
        summaries.append(cost_table(runs))
    return Report(
        "\n\n".join(part for part in (*parts, *summaries[1:]) if part), "\n\n".join(summaries)
    )


def _title(archive: Archive, count: int) -> str:
    metadata = archive.metadata
    letter = f"{archive.letter}: " if count > 1 else ""
    return f"{letter}`{metadata.name}` {metadata.version}, `{metadata.digest[:19]}`"


def describe(photos: Photos, landmarks: Landmarks) -> str:
    """What the reference says about a folder, in one line."""
    line = (
        f"**{photos.name}**: {len(photos.paths)} photos, {int(photos.referenced.sum())} with poses"
    )
    if np.isnan(photos.focal):
        return line
    grid = np.stack(np.meshgrid(*(np.linspace(0, side, 33) for side in photos.size)), axis=-1)
    pinhole = photos.pinhole_focal(grid.reshape(-1, 2))
    return (
        f"{line}, {landmarks.point.max(initial=-1) + 1} points; focal length {photos.focal:.1f} of "
        f"{photos.size[0]} px, without distortion {pinhole:.1f}"
    )


def _measure_folder(
    archives: Sequence[Archive], photos: Photos, landmarks: Landmarks, settings: Settings
) -> list[PhotoRun]:
    """All runs of a folder."""
    sets = photo_sets(len(photos.paths), landmarks.shared, settings.suite)
    runs = []
    for resolution in settings.resolutions:
        for chosen in sets:
            for archive in archives:
                run = _measure(archive, photos, landmarks, chosen, resolution, settings)
                runs.append(run)
                print_progress(f"{photos.name} {' '.join(_run_cells(run))}")
    return runs


def _measure(
    archive: Archive,
    photos: Photos,
    landmarks: Landmarks,
    chosen: PhotoSet,
    resolution: int,
    settings: Settings,
) -> PhotoRun:
    prepared = prepare(
        photos,
        chosen.frames,
        chosen.devices,
        resolution,
        archive.metadata.patch_size,
        chosen.noise_seed,
    )
    outcome = run_apart(archive.path, prepared.images, settings.device, settings.threads)
    return PhotoRun(
        photos=photos.name,
        chosen=chosen,
        resolution=resolution,
        archive=archive.letter,
        scores=score(photos, landmarks, chosen, prepared, outcome),
        seconds=outcome.seconds if outcome else float("nan"),
        memory=outcome.memory if outcome else float("nan"),
    )


def runs_table(runs: Sequence[PhotoRun]) -> str:
    """A row for each run."""
    return _table(RUN_HEADINGS, map(_run_cells, runs))


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, without the column of the archive if there is only one."""
    rows, column = list(rows), headings.index("archive")
    if len({row[column] for row in rows}) > 1:
        return table(headings, rows)
    return table(_without(column, headings), [_without(column, row) for row in rows])


def _without(column: int, cells: Sequence[str]) -> list[str]:
    return [*cells[:column], *cells[column + 1 :]]


def _run_cells(run: PhotoRun) -> list[str]:
    scores = run.scores
    return [
        run.chosen.name,
        str(run.resolution),
        run.archive,
        f"{scores.registered} of {scores.frames}",
        number(scores.auc5, 2),
        number(scores.auc30, 2),
        percent(scores.position, 2),
        " / ".join(percent(error, 1, "+") for _, _, error in scores.focal) or "-",
        percent(scores.known, 0),
        str(scores.landmarks),
        percent(scores.off),
        percent(scores.close),
        scores.collapse,
        number(run.seconds, 1),
        number(run.memory / 1e6, 0),
    ]


def devices_table(runs: Sequence[PhotoRun]) -> str:
    """The focal errors by zoom, of sets with several devices; empty without such sets."""
    rows = []
    for run in runs:
        if run.chosen.kind != "devices":
            continue
        zooms = [device.zoom for device in run.chosen.devices]
        for zoom, registered, error in run.scores.focal:
            cells = [f"{zoom:g}", f"{registered} of {zooms.count(zoom)}", percent(error, 1, "+")]
            rows.append([run.chosen.name, str(run.resolution), run.archive, *cells])
    headings = ["set", "side", "archive", "zoom", "registered", "focal"]
    return _table(headings, rows) if rows else ""


def summary_table(runs: Sequence[PhotoRun]) -> str:
    """Median and worst values of each kind of sets, and of all."""
    rows = []
    for photos in dict.fromkeys(run.photos for run in runs):
        of_photos = [run for run in runs if run.photos == photos]
        kinds = dict.fromkeys(run.chosen.kind for run in of_photos)
        for kind in (*kinds, None):
            for archive in dict.fromkeys(run.archive for run in of_photos):
                of_row = [
                    run
                    for run in of_photos
                    if run.archive == archive and kind in (None, run.chosen.kind)
                ]
                name = kind or "**together**"
                rows.append([photos, name, archive, *_summary_cells(of_row)])
    return _table(SUMMARY_HEADINGS, rows)


def _summary_cells(runs: Sequence[PhotoRun]) -> list[str]:
    scores = [run.scores for run in runs]
    collapsed = sum(bool(each.collapse) for each in scores)
    registered = sum(each.registered for each in scores) / sum(each.frames for each in scores)
    return [
        str(len(runs)),
        str(collapsed),
        percent(registered, 0),
        _middle_and_worst([each.auc5 for each in scores], min, lambda x: number(x, 2)),
        _middle_and_worst([each.auc30 for each in scores], min, lambda x: number(x, 2)),
        _middle_and_worst([each.position for each in scores], max, percent),
        _middle_and_worst([each.worst_focal() for each in scores], max, percent),
        _middle_and_worst([each.known for each in scores], min, lambda x: percent(x, 0)),
        _middle_and_worst([each.off for each in scores], max, percent),
        _middle_and_worst([each.close for each in scores], min, percent),
        number(float(np.nansum([run.seconds for run in runs])), 0),
        number(_highest([run.memory / 1e6 for run in runs]), 0),
    ]


def _middle_and_worst(
    values: Sequence[float],
    worst: Callable[[list[float]], float],
    words: Callable[[float], str],
) -> str:
    """The median and, of several values, the worst one; those that are not known do not count."""
    known = [value for value in values if not np.isnan(value)]
    if not known:
        return "-"
    middle = words(float(np.median(known)))
    return middle if len(values) == 1 else f"{middle}, {words(worst(known))}"


def _highest(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return max(known, default=float("nan"))


def cost_table(runs: Sequence[PhotoRun]) -> str:
    """Time and memory of archive B by those of archive A, over runs that both completed."""
    rows = []
    for photos in dict.fromkeys(run.photos for run in runs):
        sets: dict[tuple[str, int], dict[str, PhotoRun]] = {}
        for run in runs:
            if run.photos == photos and not np.isnan(run.seconds):
                sets.setdefault((run.chosen.name, run.resolution), {})[run.archive] = run
        both = [pair for pair in sets.values() if len(pair) == 2]
        if not both:
            continue
        time = np.array([[pair["A"].seconds, pair["B"].seconds] for pair in both])
        memory = np.array([[pair["A"].memory, pair["B"].memory] for pair in both])
        rows.append(
            [
                photos,
                str(len(both)),
                *(f"{x:.2f}" for x in _ratios(time)),
                *(f"{x:.2f}" for x in _ratios(memory)),
            ]
        )
    headings = ["B by A", "runs", "time, all", "median", "worst"]
    return table([*headings, "memory, all", "median", "worst"], rows)


def _ratios(values: np.ndarray) -> tuple[float, float, float]:
    """Ratio of the sums, median ratio and largest ratio of columns 1 and 0."""
    ratios = values[:, 1] / np.maximum(values[:, 0], 1e-9)
    total = values[:, 1].sum() / max(values[:, 0].sum(), 1e-9)
    return float(total), float(np.median(ratios)), float(ratios.max())

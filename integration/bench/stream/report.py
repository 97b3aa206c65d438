"""The findings as a table and as JSON."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import Any

from weights.evaluation.report import number, percent, table

from .client import Update
from .measure import Accuracy, Findings

EARLY = 41
"""First image of the update that others are compared with: the map has begun."""
SEVERAL = 5
"""Updates whose median is shown, too."""
MEMORY = (200, 400, 600, 800)
"""Images at which the memory is shown, besides the first and the last update."""


def as_tables(found: Findings, title: str) -> str:
    """Markdown."""
    width, height = found.size
    images = found.updates[-1].images
    rate = images / found.seconds
    parts = [
        f"{images} images at {width}x{height}, {found.model}, {title}, "
        f"{'appending' if found.appends else 'cumulative'} updates: {rate:.1f} images a second, "
        f"{found.windows} runs of the model of {found.window:.2f} s.",
        _updates(found),
        _memory(found.updates),
        _waiting(found),
        _left_out(found.final),
        _accuracy(found.accuracy),
    ]
    return "\n\n".join(parts)


def as_dict(found: Findings) -> dict[str, Any]:
    """The values for JSON, without the lists of frames."""
    values = asdict(found)
    for update in (*values["updates"], values["nothing_new"], values["final"]):
        metadata = update["metadata"]
        kept = ("num_points", "contradicted_points")
        update["metadata"] = {field: metadata.get(field) for field in kept}
    return values


def _early(updates: list[Update]) -> int:
    """Index of the early update; the first one of a short stream."""
    late = [index for index, update in enumerate(updates) if update.first >= EARLY]
    return late[0] if late else 0


def _range(updates: list[Update]) -> str:
    return f"images {updates[0].first} to {updates[-1].images}"


def _updates(found: Findings) -> str:
    """The cost of an early update and of the last one."""
    updates, early = found.updates, _early(found.updates)
    rows = []
    for count in (1, SEVERAL):
        first, last = updates[early : early + count], updates[-count:]
        if count > 1 and early + count > len(updates) - count:
            continue
        suffix = "" if count == 1 else f", median of {count}"
        names = f"{_range(first)} / {_range(last)}{suffix}"
        for what, of in (
            ("CPU time, s", lambda update: update.cpu),
            ("bytes, MB", lambda update: update.size / 1e6),
            ("of these metadata, MB", _metadata_size),
            ("points, millions", lambda update: update.metadata["num_points"] / 1e6),
        ):
            before, after = (statistics.median(map(of, part)) for part in (first, last))
            ratio = after / before if before else float("nan")
            rows.append([names, what, f"{before:.2f}", f"{after:.2f}", f"{ratio:.2f}"])
    return table(["an update", "", "early", "late", "ratio"], rows)


def _metadata_size(update: Update) -> float:
    return (update.size - update.metadata["glb_size_bytes"]) / 1e6


def _memory(updates: list[Update]) -> str:
    """Memory of the process over the stream."""
    shown = [updates[_early(updates)]]
    shown += [update for update in updates if update.images in MEMORY and update is not shown[0]]
    if updates[-1] not in shown:
        shown.append(updates[-1])
    rows = [
        [
            str(update.images),
            *(
                f"{size / 1e6:.0f}"
                for size in (
                    update.after.resident,
                    update.after.proportional,
                    update.after.anonymous,
                )
            ),
        ]
        for update in shown
    ]
    return table(["images", "resident, MB", "proportional, MB", "without files, MB"], rows)


def _waiting(found: Findings) -> str:
    """What a client waits for."""
    last = found.updates[-1]
    rows = [
        [
            "windows ran ahead",
            f"{found.nothing_new.first_byte:.2f}",
            f"{found.nothing_new.cpu:.2f}",
        ],
        [
            f"images {last.first} to {last.images} are new",
            f"{last.first_byte:.2f}",
            f"{last.cpu:.2f}",
        ],
        ["one window of the map", f"{found.window:.2f}", "-"],
        ["`finalize`", f"{found.final.first_byte:.2f}", f"{found.final.cpu:.2f}"],
    ]
    return table(["a request", "first byte after, s", "CPU time, s"], rows)


def _left_out(final: Update) -> str:
    """How many points images of other windows contradict; an older server does not say so."""
    points, left_out = final.metadata["num_points"], final.metadata.get("contradicted_points")
    if left_out is None:
        return "Images of different windows were not compared."
    return f"The final result has {points} points and leaves out {left_out} contradicted ones."


def _accuracy(accuracy: dict[str, Accuracy]) -> str:
    rows = [
        [
            name,
            f"{of.poses.placed} of {of.poses.frames}",
            number(of.poses.auc5, 2),
            percent(of.poses.position, 2),
            percent(of.depth.one_scale, 1),
            percent(of.depth.own_scale, 1),
            percent(of.depth.known, 0),
            f"{of.cpu / max(of.poses.frames, 1):.2f}",
        ]
        for name, of in accuracy.items()
    ]
    headings = ["result", "placed", "AUC@5", "position", "depth", "depth, scale of 24", "known"]
    return table([*headings, "CPU s per image"], rows)

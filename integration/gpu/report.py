"""Output of the results as JSON and as Markdown tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MARKS = {True: "passed", False: "FAILED", None: "not run"}


def write(results: dict[str, Any], folder: Path, name: str) -> list[Path]:
    """Write both files and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.json", folder / f"{name}.md"]
    paths[0].write_text(json.dumps(results, indent=1) + "\n")
    paths[1].write_text(markdown(results))
    return paths


def markdown(results: dict[str, Any]) -> str:
    """All tables."""
    plan = results["plan"]
    lines = [
        f"# {results['device']}",
        "",
        f"PyTorch {results['torch']}, CUDA {results['cuda']}, {plan['width']}x{plan['height']}, "
        f"random weights. Written by `python -m integration.gpu`.",
    ]
    rows = [{**row, "passed": MARKS[row["passed"]]} for row in results["checks"]]
    lines += ["", "## Checks", "", *_table(rows)]
    for title in ("precision", "throughput", "launches", "service"):
        lines += ["", f"## {title.capitalize()}", ""]
        lines += _table(results[title]) if results[title] else ["Not run."]
    return "\n".join(lines) + "\n"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    names = list(rows[0])
    return [
        "| " + " | ".join(name.replace("_", " ") for name in names) + " |",
        "|" + " --- |" * len(names),
        *("| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows),
    ]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return (
        f"{value:.3g}"
        if isinstance(value, float) and value < 100
        else (f"{value:.0f}" if isinstance(value, float) else str(value))
    )

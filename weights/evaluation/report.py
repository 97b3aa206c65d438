"""Markdown tables of the evaluation, and their place in a document."""

import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import SupportsFloat


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(share: SupportsFloat, digits: int = 1, sign: str = "") -> str:
    """Format a share in 0..1 as percent, NaN as a dash; `sign` "+" shows the sign of gains too."""
    value = float(share)
    return "-" if math.isnan(value) else f"{100 * value:{sign}.{digits}f} %"


def number(value: float, digits: int) -> str:
    """Format a number, NaN as a dash."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def write_between_marks(document: Path, report: str, name: str) -> None:
    """Replace the text between the marks `name` of a Markdown document by the report."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, mark, rest = document.read_text().partition(begin)
    _, other_mark, after = rest.partition(end)
    if not mark or not other_mark:
        raise SystemExit(f"{document} has no lines {begin} and {end} to write between")
    document.write_text(f"{before}{begin}\n{report}\n{end}{after}")


def print_progress(text: str) -> None:
    """Print progress to stderr; stdout has only the report."""
    print(text, file=sys.stderr, flush=True)

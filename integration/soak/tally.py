"""What the clients have seen: messages and their answers, and what should not have happened."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field

EXAMPLES = 20
"""Texts of unexpected events that are kept."""


@dataclass
class Tally:
    """Counts of the whole run."""

    sent: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    """Messages without an answer although the socket stayed open for long enough."""
    done: Counter[str] = field(default_factory=Counter)
    """Rounds of the clients, by kind."""
    unexpected: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    begin: float = field(default_factory=time.monotonic)

    def surprise(self, kind: str, text: str) -> None:
        """Something happened that should not."""
        self.unexpected[kind] += 1
        line = f"{time.monotonic() - self.begin:.0f} s: {kind}: {text[:300]}"
        if len(self.examples) < EXAMPLES:
            self.examples.append(line)
        print(line, file=sys.stderr, flush=True)

    def missing(self, kind: str, text: str) -> None:
        """A message got no answer."""
        self.unanswered[kind] += 1
        self.surprise("unanswered", f"{kind}: {text}")

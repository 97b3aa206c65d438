"""How often, and after how long, something is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """Attempts after the first one, with delays that double.

    An attempt counts until the server has answered a message: connections that break again and
    again before that use up the attempts.
    """

    attempts: int = 6
    # Seconds before the second attempt, and the longest delay. A server that asks for a longer one
    # is not asked again.
    first: float = 0.5
    longest: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 0 or not 0 < self.first <= self.longest:
            raise ValueError("attempts must be at least 0, and 0 < first <= longest")

    def delay(self, attempt: int, retry_after: float | None = None) -> float | None:
        """Seconds to wait before attempt 1, 2, ...; None if it must not be made."""
        if attempt > self.attempts or (retry_after or 0) > self.longest:
            return None
        # At most 2**30, so that many attempts do not overflow.
        doubled = min(self.first * 2.0 ** min(attempt - 1, 30), self.longest)
        # Clients that a server has disconnected together must not return together.
        spread = doubled * random.uniform(0.5, 1.0)
        return max(spread, retry_after or 0)

"""Events that wait for whoever iterates over them."""

from __future__ import annotations

import asyncio
from collections import deque

from .events import Event, Progress, Result

# Events that wait at most, and how many of them may be results, which are large.
LONGEST, MOST_RESULTS = 256, 4


class Subscription:
    """An asynchronous iterator of events.

    It never makes the session wait. Whoever reads too slowly misses events: progress first, then
    results but the newest, then the oldest of all. `missed` counts them. The calls that asked for
    results get them in any case, and so does `Session.cloud`.
    """

    def __init__(self) -> None:
        self.missed = 0
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()

    def add(self, event: Event) -> None:
        """Add an event, in place of another one if too many wait."""
        if self._ended:
            return
        if isinstance(event, Result):
            results = [one for one in self._events if isinstance(one, Result)]
            if len(results) >= MOST_RESULTS:
                self._drop(results[0])
        if len(self._events) >= LONGEST:
            progress = (one for one in self._events if isinstance(one, Progress))
            self._drop(next(progress, self._events[0]))
        self._events.append(event)
        self._changed.set()

    def end(self, error: BaseException | None = None) -> None:
        """No event follows; whoever waits gets the error."""
        if not self._ended:
            self._ended, self._error = True, error
            self._changed.set()

    def _drop(self, event: Event) -> None:
        # By identity: two results may be equal.
        index = next(index for index, one in enumerate(self._events) if one is event)
        del self._events[index]
        self.missed += 1

"""Pauses between retries, a steady rate of calls, and a limit on cost."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

MOST_BACKOFF = 60.0
"""Longest pause in seconds without a Retry-After."""
MOST_ASKED_FOR = 600.0
"""Longest wait in seconds that a server's Retry-After is followed for."""


def pause(failures: int, backoff: float, retry_after: float | None, draw: Callable[[], float] = random.random) -> float:
    """Return the seconds to wait after the ``failures``-th failure in a row (from 1): doubling, with 50 % jitter.

    Never less than ``retry_after``, which the server asked for. ``draw`` returns numbers in [0, 1).
    """
    seconds = min(backoff * 2 ** min(failures - 1, 32) * (0.5 + draw()), MOST_BACKOFF)
    if retry_after is None:
        return seconds
    # With jitter, or all clients that got the same Retry-After would return at the same moment.
    return max(seconds, min(retry_after, MOST_ASKED_FOR) + backoff * draw())


class Pace:
    """A steady rate: ``await turn()`` returns at most ``per_minute`` times a minute, evenly spaced; 0: at once."""

    def __init__(
        self,
        per_minute: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._interval = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._clock, self._sleep = clock, sleep

    async def turn(self) -> None:
        """Wait until it is this caller's turn."""
        if self._interval:
            now = self._clock()
            mine = max(now, self._next)
            self._next = mine + self._interval
            if mine > now:
                await self._sleep(mine - now)


class Budget:
    """Decide whether one more item is affordable, from the cost so far and the open items at the mean cost.

    Until the first cost is known, one item is open at a time. Limit 0: no limit.
    """

    def __init__(self, limit: float, spent: float = 0.0, items: int = 0) -> None:
        self.limit = limit
        self.spent = spent
        self.exhausted = False
        self._items = items
        self._open = 0
        self._changed = asyncio.Condition()

    def count(self, cost: float) -> None:
        """Add the cost of an item."""
        self.spent += cost
        self._items += 1

    async def enter(self) -> bool:
        """Wait until an item is affordable and open it; False: neither it nor any later one is."""
        async with self._changed:
            while not self._affordable():
                if self.exhausted or not self._open:
                    self.exhausted = True
                    return False
                await self._changed.wait()
            self._open += 1
            return True

    async def leave(self, cost: float) -> None:
        """Close an item."""
        self.count(cost)
        async with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _affordable(self) -> bool:
        if not self.limit:
            return True
        if self.exhausted:
            return False
        if not self._items:
            return not self._open
        return self.spent + (self._open + 1) * self.spent / self._items <= self.limit

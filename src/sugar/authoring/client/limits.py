"""How a job asks: how fast, how patiently, for how much."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sugar.errors import InputError

MOST_BACKOFF = 60.0
"""Seconds that a pause grows to."""
MOST_ASKED_FOR = 600.0
"""Seconds that a server may ask to wait; beyond it is no stumble any more."""


@dataclass(frozen=True)
class Prices:
    """What tokens cost, in any currency, for a million of them."""

    input: float = 0.0
    """Per million tokens of the questions."""
    output: float = 0.0
    """Per million tokens of the answers."""

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.input + tokens_out * self.output) / 1e6


@dataclass(frozen=True)
class RunningConfig:
    """How a job asks."""

    concurrency: int = 8
    """Questions under way at the same time."""
    requests_per_minute: float = 0
    """Questions started in a minute, evenly, retries among them; 0: no limit."""
    attempts: int = 5
    """How often a question is asked while the server cannot answer (429, 5xx, time-out, connection lost)."""
    backoff: float = 1.0
    """Seconds before the second attempt; doubles from attempt to attempt up to 60, with jitter."""
    prices: Prices = field(default_factory=Prices)
    """What a million tokens cost, for the cost shown and for max_cost."""
    max_cost: float = 0
    """No new question once this job's answers, those in the journal too, would cost more; 0: no limit."""
    retry_failed: bool = False
    """Ask again what the journal records as failed."""

    def __post_init__(self) -> None:
        for name, least in (("concurrency", 1), ("attempts", 1), ("requests_per_minute", 0), ("max_cost", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; give {least} or more")
        if self.backoff < 0 or self.prices.input < 0 or self.prices.output < 0:
            raise InputError("backoff and prices must not be negative")
        if self.max_cost and not (self.prices.input or self.prices.output):
            raise InputError("max_cost needs prices; give prices.input and prices.output per million tokens")


def pause(failures: int, backoff: float, retry_after: float | None, draw: Callable[[], float] = random.random) -> float:
    """Seconds to wait after the ``failures``-th failure in a row (from 1): doubling, with jitter of a half each way.

    Not less than ``retry_after``, what the server asked for. ``draw`` gives numbers in [0, 1).
    """
    seconds = min(backoff * 2 ** min(failures - 1, 32) * (0.5 + draw()), MOST_BACKOFF)
    if retry_after is None:
        return seconds
    # The jitter stays, or all that were told the same would come back in the same moment.
    return max(seconds, min(retry_after, MOST_ASKED_FOR) + backoff * draw())


class Pace:
    """A steady rate: ``await turn()`` returns at most ``per_minute`` times a minute, evenly; 0: at once."""

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
    """Whether one more item can be paid: what is spent and what the open ones will cost, at the mean so far.

    Until the first cost is known, one is asked at a time. Limit 0: everything can be paid.
    """

    def __init__(self, limit: float, spent: float = 0.0, items: int = 0) -> None:
        self.limit = limit
        self.spent = spent
        self.exhausted = False
        self._items = items
        self._open = 0
        self._changed = asyncio.Condition()

    def count(self, cost: float) -> None:
        """Note what an item has cost."""
        self.spent += cost
        self._items += 1

    async def enter(self) -> bool:
        """Open an item, when the open ones have shown that it can be paid; False: it cannot, nor can any later."""
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

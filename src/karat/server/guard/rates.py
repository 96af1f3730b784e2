"""How many requests a minute a key may send: a bucket that fills evenly and holds a minute's worth.

By a clock that only goes forward, whatever is done to the time of day. Kept in memory: a server that starts anew fills all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from karat.server.guard.keys import Key
from karat.server.problems import Problem


class Rates:
    """The buckets of all keys that have a rate.   clock: seconds that only go forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._left: dict[str, tuple[float, float]] = {}  # of each key: requests, and when that many were left

    def take(self, key: Key | None) -> None:
        """Problem(429) where the key has sent all it may, with the seconds until it may send one more."""
        if key is None or key.rate is None:
            return
        most, now = max(1.0, key.rate), self.clock()
        left, since = self._left.get(key.id, (most, now))
        left = min(most, left + (now - since) * key.rate / 60)
        if left < 1:
            wait = str(max(1, math.ceil((1 - left) * 60 / key.rate)))
            message = f"the key {key.name} may send {key.rate:g} requests a minute; wait {wait} s."
            raise Problem(429, "rate_limit_exceeded", message, headers={"retry-after": wait})
        self._left[key.id] = left - 1, now

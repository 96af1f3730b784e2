"""How many threads a training is worth on a processor that others use too.

An operation that is split ends with its last part, and a part whose thread has to wait for its turn on a core makes all wait:
two threads on two busy cores take up to thirty times as long as one. What the system says of its load is of the minute past
and of the whole machine, which a container does not see, so it is measured: a few operations on each number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from karat.training.loop import Plan

EVERY, REST = 15.0, 60.0  # seconds between two looks, at least, and times what the last look took
GAIN = 1.1  # times as fast that half the threads must be to be preferred
TIMES = 3  # that two numbers of threads are compared, in turn, since others come and go
OPERATIONS, LONGEST = 30, 0.1  # each time, on each number, and seconds after which it has seen enough


def may_change(plan: Plan, device: torch.device) -> bool:
    """Whether the number of threads may follow what others leave: not where steps are counted, which add in another order then."""
    return plan.shared and plan.minutes is not None and plan.clock == "wall" and device.type == "cpu"


@contextmanager
def sharing(free: bool) -> Iterator[Callable[[], None]]:
    """Gives a function to call now and then, which sets this process to the number of threads that is fastest at present;
    afterwards there are as many as before.   free: whether the number may change at all.
    """
    most, due = torch.get_num_threads(), 0.0

    def look() -> None:
        nonlocal due
        began = time.monotonic()
        if free and most > 1 and began >= due:
            torch.set_num_threads(fastest(most, _seconds))
            due = time.monotonic() + max(EVERY, REST * (time.monotonic() - began))

    try:
        yield look
    finally:
        torch.set_num_threads(most)


def fastest(most: int, seconds: Callable[[int], float]) -> int:
    """The number of threads, halved from `most` on as long as that gains; seconds: what an operation takes on so many."""
    count = most
    while count > 1:
        many, few = np.array([(seconds(count), seconds(count // 2)) for _ in range(TIMES)]).sum(0)
        if GAIN * few > many:
            break
        count //= 2
    return count


def _seconds(threads: int) -> float:
    """Seconds of an operation that is split among so many threads: a function of many numbers and a product of matrices."""
    torch.set_num_threads(threads)
    numbers, matrix = torch.linspace(-1, 1, 2**18), torch.ones(192, 192)
    began, done = time.monotonic(), 0
    while done < OPERATIONS and time.monotonic() - began < LONGEST:
        numbers.tanh()
        matrix @ matrix
        done += 1
    return (time.monotonic() - began) / done

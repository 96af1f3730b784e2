"""The longest string at every place of one text that another text holds as well, exactly, by a suffix array.

Prefix doubling over what is still tied: Manber and Myers, https://doi.org/10.1137/0222058; Larsson and Sadakane,
https://doi.org/10.1016/j.tcs.2007.07.017.
"""

from __future__ import annotations

import numpy as np

BLOCK = 4_000_000  # characters searched at once, which bounds memory


def matches(query: np.ndarray, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each place of `query` [q], the length of the longest string from there on that `base` [b] holds, and where.

    Both are code points; -1 ends every text in either, the last one too, and nothing matches across it.
    """
    length, place = np.zeros(len(query), np.int64), np.zeros(len(query), np.int64)
    start = 0
    while start < len(base):
        stop = min(len(base), start + BLOCK)
        if stop < len(base):  # between two texts, so that no run is cut
            ends = np.flatnonzero(base[start:stop] == -1)
            stop = start + int(ends[-1]) + 1 if len(ends) else stop
        found, where = _matches(query, base[start:stop])
        better = found > length
        length, place = np.where(better, found, length), np.where(better, where + start, place)
        start = stop
    return length, place


def _matches(query: np.ndarray, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = len(query) + len(base)
    # -1 of one side differs from that of the other: no string that holds one is on both sides
    codes = np.concatenate([np.where(query < 0, 0, query + 2), np.where(base < 0, 1, base + 2)])
    known = np.zeros(int(codes.max()) + 1, np.int64)
    known[codes] = 1
    codes = np.cumsum(known)[codes]  # 1 to the number of different ones; 0 is behind the end
    bits = max(1, int(codes.max()).bit_length())
    width = min(16, 63 // bits, n)
    key = np.zeros(n, np.int64)
    for i in range(width):
        key <<= bits
        key[: n - i] |= codes[i:]
    order = np.argsort(key)
    sorted_key = key[order]
    fresh = np.empty(n, bool)
    fresh[0], fresh[1:] = True, sorted_key[1:] != sorted_key[:-1]
    rank = np.empty(n + 1, np.int64)
    rank[n] = -1
    rank[order] = np.maximum.accumulate(np.where(fresh, np.arange(n), 0))
    levels: list[tuple[int, np.ndarray]] = [(width, rank[:n].astype(np.int32))]
    size = width
    while True:
        alone = fresh & np.append(fresh[1:], True)
        tied = np.flatnonzero(~alone)
        if len(tied) == 0 or size >= n:
            break
        at = order[tied]
        both = rank[at] * (n + 1) + rank[np.minimum(at + size, n)] + 1
        inner = np.argsort(both, kind="stable")
        both = both[inner]
        order[tied] = at[inner]
        new = np.empty(len(tied), bool)
        new[0], new[1:] = True, both[1:] != both[:-1]
        fresh[tied] = new
        group = np.maximum.accumulate(np.where(new, tied, 0))
        rank[order[tied]] = group
        size *= 2
        levels.append((size, rank[:n].astype(np.int32)))
    inside = order >= len(query)
    step = np.arange(n)
    before = np.maximum.accumulate(np.where(inside, step, -1))
    after = np.minimum.accumulate(np.where(inside, step, n)[::-1])[::-1]
    mine = np.flatnonzero(~inside)
    best, where = (np.zeros(len(query), np.int64) for _ in range(2))
    for near in (before[mine], after[mine]):
        there = (near >= 0) & (near < n)
        here, base_at = order[mine[there]], order[near[there]]
        common = _common(codes, levels, here, base_at)
        better = common > best[here]
        best[here[better]], where[here[better]] = common[better], base_at[better] - len(query)
    return best, where


def _common(codes: np.ndarray, levels: list[tuple[int, np.ndarray]], i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """How many characters the strings from `i` [k] and from `j` [k] on have in common."""
    n, i, j = len(codes), i.copy(), j.copy()
    total = np.zeros(len(i), np.int64)
    for size, rank in reversed(levels):
        inside = np.flatnonzero((i < n) & (j < n))
        same = inside[rank[i[inside]] == rank[j[inside]]]
        i[same], j[same], total[same] = i[same] + size, j[same] + size, total[same] + size
    going = np.flatnonzero((i < n) & (j < n))
    for _ in range(levels[0][0]):
        going = going[codes[i[going]] == codes[j[going]]]
        i[going], j[going], total[going] = i[going] + 1, j[going] + 1, total[going] + 1
        going = going[(i[going] < n) & (j[going] < n)]
    return total

"""What a secret key gives: numbers nobody else can foretell, one stream for each purpose."""

from __future__ import annotations

import hashlib

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def words(key: bytes, purpose: str, count: int) -> np.ndarray:
    """uint64 [count] that follow from the key and the purpose alone, by SHAKE-256."""
    stream = hashlib.shake_256(len(key).to_bytes(8, "little") + key + purpose.encode()).digest(8 * count)
    return np.frombuffer(stream, "<u8").astype(np.uint64)


def signs(key: bytes, purpose: str, count: int) -> np.ndarray:
    """float32 [count] of -1 and 1."""
    bits = np.unpackbits(words(key, purpose, -(-count // 64)).view(np.uint8))[:count]
    return bits.astype(np.float32) * 2 - 1


def mix(x: np.ndarray) -> np.ndarray:
    """uint64 of any shape, each bit of which hangs on all bits of `x`: the finaliser of splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def uniform(x: np.ndarray) -> np.ndarray:
    """float64 in (0, 1) of hashed words."""
    return np.asarray(((x >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)

"""Attacks on real records of each kind of content: each spoils what nobody learned from in one way, as a bad generator might."""

from collections.abc import Callable, Mapping
from pathlib import Path

from spoilt.bench import Bench
from spoilt.pictures import mnist
from spoilt.related import shop
from spoilt.sequences import weather
from spoilt.sounds import digits_spoken
from spoilt.texts import plays

BENCHES: Mapping[str, Callable[[Path], Bench]] = {
    "pictures": mnist,
    "texts": plays,
    "sounds": digits_spoken,
    "related": shop,
    "sequences": weather,
}

"""Two days of hourly weather each, one record, and what is done to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from spoilt.bench import Bench, Rng, some

Frame = pd.DataFrame
HOURS = 48
NUMBERS = ["DEWP", "TEMP", "PRES", "wind"]


def each(x: Frame, how: Callable[[Frame], Frame], share: float = 1.0, rng: Rng | None = None) -> Frame:
    """Each stretch, or a share of them, with what `how` makes of its rows; the times stay."""
    names = x["stretch"].unique()
    rows = set(names.tolist() if rng is None else some(names, share, rng).tolist())
    parts = [
        how(part.reset_index(drop=True)) if name in rows else part for name, part in x.groupby("stretch", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


def turned(part: Frame, columns: list[str]) -> Frame:
    return part.assign(**{c: part[c].to_numpy()[::-1] for c in columns})


def lagged(part: Frame, column: str, by: int) -> Frame:
    return part.assign(**{column: np.roll(part[column].to_numpy(), by)})


def disordered(part: Frame, column: str, rng: Rng) -> Frame:
    """The same changes in another order."""
    x = part[column].to_numpy(float)
    return part.assign(**{column: np.append(x[0], x[0] + np.cumsum(rng.permutation(np.diff(x)))).astype(int)})


def stuck(part: Frame, column: str, rng: Rng, hours: int = 24) -> Frame:
    x, start = part[column].to_numpy().copy(), int(rng.integers(0, len(part) - hours))
    x[start : start + hours] = x[start]
    return part.assign(**{column: x})


def spiked(x: Frame, column: str, share: float, rng: Rng) -> Frame:
    rows = some(x.index.to_numpy(), share, rng)
    out = x.copy()
    out.loc[rows, column] += 8 * rng.choice([-1, 1], len(rows))
    return out


def stepped(part: Frame, column: str, by: float) -> Frame:
    return part.assign(**{column: part[column] + by * (np.arange(len(part)) >= len(part) // 2)})


SEQUENCES: dict[str, Callable[[Frame, Rng], Frame]] = {
    "time turned round": lambda x, r: each(x, lambda p: turned(p, [*NUMBERS, "cbwd"])),
    "the temperature six hours late": lambda x, r: each(x, lambda p: lagged(p, "TEMP", 6)),
    "changes of the temperature in another order": lambda x, r: each(x, lambda p: disordered(p, "TEMP", r)),
    "each stretch begins at another hour of the day": lambda x, r: each(
        x, lambda p: p.assign(**{c: np.roll(p[c].to_numpy(), k) for k in [int(r.integers(24))] for c in NUMBERS})
    ),
    "a sensor stuck for a day in a third of the stretches": lambda x, r: each(
        x, lambda p: stuck(p, "TEMP", r), 0.33, r
    ),
    "the temperature 8 degrees off in 1% of the hours": lambda x, r: spiked(x, "TEMP", 0.01, r),
    "a jump of 10 hPa in the middle of a tenth of the stretches": lambda x, r: each(
        x, lambda p: stepped(p, "PRES", 10), 0.1, r
    ),
    "no winter": lambda x, r: x[~x["time"].str[5:7].isin(["12", "01", "02"])].reset_index(drop=True),
    "pressure of another stretch": lambda x, r: x.assign(PRES=np.roll(x["PRES"].to_numpy(), 5 * HOURS)),
    "5% of the stretches again": lambda x, r: pd.concat(
        [
            x,
            *(x[x["stretch"] == w].assign(stretch=f"{w}b") for w in some(x["stretch"].unique(), 0.05, r).tolist()),
        ],
        ignore_index=True,
    ),
}


def weather(data: Path) -> Bench:
    x = pd.read_csv(data / "tables" / "published" / "beijing.csv")
    time = pd.to_datetime(x[["year", "month", "day", "hour"]])
    x["TEMP"], x["DEWP"], x["PRES"] = (x[c].round().astype(int) for c in ("TEMP", "DEWP", "PRES"))
    x = x.assign(time=time.dt.strftime("%Y-%m-%d %H:%M:%S"), wind=x["Iws"], number=np.arange(len(x)) // HOURS)
    x = x[x["number"].map(x["number"].value_counts()) == HOURS]
    x = x.assign(stretch=[f"s{n:03d}" for n in x["number"]])[["stretch", "time", *NUMBERS, "cbwd"]]
    names = np.random.default_rng(3).permutation(x["stretch"].unique())
    a, b = (x[x["stretch"].isin(part)].reset_index(drop=True) for part in (names[:550], names[550:]))

    def write(frame: Frame, path: Path) -> Path:
        frame.to_csv(path.with_suffix(".csv"), index=False)
        return path.with_suffix(".csv")

    return Bench(a, b, write, SEQUENCES, {"series": "time", "entity": "stretch"})

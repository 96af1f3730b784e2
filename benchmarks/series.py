"""How made series change, beside the real one that they were learned from: of each CSV, over seeds, at the defaults.

    python benchmarks/series.py sp500.csv nasdaq.csv panel funds --seeds 0 1 2 3 4

`panel` is made here: five shops with a week, a year, two columns that move together and a price with heavy tails; and `funds`: four
that follow one market with wild and calm days, and one that does not. A series of the real length is made, which begins where the
real one began. Of each number that changes by factors: standard deviation and kurtosis of its returns, in parts of the real ones;
the greatest distance of the autocorrelation of their sizes from the real one at 1 to 20 steps (of several series the mean of each
lag); rows with a price outside their range from lowest to highest. `forecast` is the judge's finding: boosted trees taught by made
steps, in parts of what real steps teach, on windows set aside. `apart` is the greatest distance of the correlation of two series'
returns from the real one.

    python benchmarks/series.py oil.csv --paths

says instead how near the nearest of several paths lies to the stretch of training steps that it is chosen by: of 64 paths of one
model choices are drawn, and counted how often the first number's changes are within 10% by standard deviation, 30% by kurtosis
and 0.1 by the autocorrelation of sizes. Nothing that is set aside is looked at.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import karat
from karat.content.relational.series import stretches

LAGS = 20
SHOPS = (("Aachen", 200, 0.3), ("Bonn", 320, 0.15), ("Celle", 150, 0.4), ("Dessau", 260, 0.25), ("Erfurt", 420, 0.2))


def panel(seed: int = 0, days: int = 1000) -> pd.DataFrame:
    """Five shops: visitors and sales that move together with the week and the year, and a price that wanders."""
    rng, out = np.random.default_rng(seed), []
    date = pd.date_range("2021-01-01", periods=days)
    for shop, level, week in SHOPS:
        noise = rng.normal(size=(days, 2)) @ np.array([[1, 0.7], [0, 0.71]])
        away, width = np.zeros((days, 2)), 1.0
        for t in range(1, days):
            width = 0.15 + 0.12 * abs(noise[t - 1, 0]) * width + 0.75 * width
            away[t] = 0.8 * away[t - 1] + 0.1 * width * noise[t]
        season = week * np.sin(2 * np.pi * (date.day_of_week + 1) / 7) + 0.25 * np.cos(
            2 * np.pi * date.day_of_year / 365.25
        )
        visitors = level * np.exp(season + away[:, 0])
        sales = 4 * level * np.exp(1.1 * season + away[:, 1] + rng.normal(0, 0.05, days))
        price = 20 * np.exp(np.cumsum(0.012 * rng.standard_t(5, days)))
        of = {"date": date.strftime("%Y-%m-%d"), "shop": shop, "visitors": np.round(visitors).astype(int)}
        out.append(pd.DataFrame({**of, "sales": np.round(sales, 2), "price": np.round(price, 2)}))
    return pd.concat(out)


def funds(seed: int = 0, days: int = 1000) -> pd.DataFrame:
    """Five prices, of which four follow one market more or less."""
    rng, market, width = np.random.default_rng(seed), np.zeros(days), 1.0
    for t in range(days):
        market[t] = width * rng.standard_t(6)
        width = 0.08 + 0.1 * abs(market[t]) + 0.82 * width
    date = pd.date_range("2021-01-01", periods=days).strftime("%Y-%m-%d")
    out = []
    for name, follows in zip("ABCDE", (1.0, 0.8, 0.9, 0.6, 0.0), strict=True):
        price = 20 * np.exp(np.cumsum(0.01 * (follows * market + 0.8 * rng.normal(size=days))))
        out.append(pd.DataFrame({"date": date, "shop": name, "price": price.round(3)}))
    return pd.concat(out)


def apart(real: pd.DataFrame, made: pd.DataFrame, column: str) -> float:
    """The greatest distance of a correlation of two series' returns on the same days from the real one."""

    def correlations(table: pd.DataFrame) -> np.ndarray:
        wide = table.pivot(index="date", columns="shop", values=column).astype(float)
        return np.asarray(np.corrcoef(np.diff(np.log(wide.dropna().to_numpy()), axis=0).T))

    return float(np.abs(correlations(made) - correlations(real)).max()) if "shop" in real else 0.0


def returns(table: pd.DataFrame, column: str) -> list[np.ndarray]:
    """The changes of logarithms of each series."""
    groups = [g for _, g in table.groupby("shop")] if "shop" in table else [table]
    return [np.diff(np.log(g[column].to_numpy(float))) for g in groups]


def sizes(changes: list[np.ndarray]) -> np.ndarray:
    """Autocorrelations of the sizes of changes at 1 to 20 steps, the mean over series."""
    out = []
    for change in changes:
        x = np.abs(change) - np.abs(change).mean()
        out.append([(x[k:] * x[:-k]).mean() / (x * x).mean() for k in range(1, LAGS + 1)])
    return np.mean(out, 0)


def kurtosis(changes: list[np.ndarray]) -> float:
    every = np.concatenate([x - x.mean() for x in changes])
    return float((every**4).mean() / (every**2).mean() ** 2)


def measured(real: pd.DataFrame, made: pd.DataFrame, column: str) -> tuple[float, float, float]:
    """Standard deviation and kurtosis in parts of the real ones, and the distance of the autocorrelations of sizes."""
    a, b = returns(real, column), returns(made, column)
    spread = np.mean([y.std() / x.std() for x, y in zip(a, b, strict=True)])
    return float(spread), kurtosis(b) / kurtosis(a), float(np.abs(sizes(b) - sizes(a)).max())


def broken(made: pd.DataFrame) -> float:
    """Share of days of which a price lies outside its range."""
    if not {"Open", "High", "Low", "Close"} <= set(made):
        return 0.0
    ends = made[["Open", "Close"]]
    return float(((made["High"] < ends.max(axis=1)) | (made["Low"] > ends.min(axis=1))).mean())


def paths(place: Path, folder: Path, steps: int, seed: int) -> None:
    """Prints how often the nearest of 1 to 32 paths is like the stretch that was wanted."""
    run = karat.train(place, seed=seed, out=folder / "run", threads=1)
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    chosen, usual = stretches.apart, (stretches.PATHS, stretches.MOST)

    def apart(made: Sequence[np.ndarray], wanted: np.ndarray) -> np.ndarray:
        seen.append((np.stack(list(made)), wanted))
        return chosen(made, wanted)

    stretches.apart, stretches.PATHS, stretches.MOST = apart, 64, 64 * steps
    try:
        karat.make(run, n=steps, seed=seed, out=folder / "made.csv", threads=1)
    finally:
        stretches.apart, (stretches.PATHS, stretches.MOST) = chosen, usual
    made, wanted = seen[0]
    far, off = chosen(made, wanted), (made - wanted)[:, 0]
    near = [np.abs(np.expm1(off[:, 0])) < 0.1, np.abs(np.expm1(off[:, 1])) < 0.3, np.abs(off[:, 2:]).max(1) < 0.1]
    rng = np.random.default_rng(seed)
    for many in (1, 2, 4, 8, 16, 32):
        some = np.stack([rng.choice(len(far), many, replace=False) for _ in range(400)])
        best = some[np.arange(len(some)), far[some].argmin(1)]
        sd, tails, sizes = (f"{each[best].mean():.2f}" for each in near)
        print(f"{place.stem} {seed}: nearest of {many}: sd {sd}, kurtosis {tails}, sizes {sizes}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", help="CSV files, `panel` or `funds`")
    parser.add_argument("--columns", nargs="*", help="those that are measured; all that are positive by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--paths", action="store_true", help="how many paths are enough, by training steps alone")
    args = parser.parse_args()
    for name in args.tables:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "real.csv"
            own = {"panel": panel, "funds": funds}
            real = own[name]() if name in own else pd.read_csv(name)
            real.to_csv(place, index=False)
            positive = [c for c in real.select_dtypes("number") if (real[c] > 0).all()]
            columns = [c for c in positive if not args.columns or c in args.columns]
            steps = real.groupby("shop").size().max() if "shop" in real else len(real)
            if args.paths:
                paths(place.rename(place.with_stem(Path(name).stem)), Path(folder), int(steps), args.seeds[0])
                continue
            for seed in args.seeds:
                began = time.process_time()
                run = karat.train(place, seed=seed, out=Path(folder) / f"run{seed}", threads=1)
                file = Path(folder) / f"made{seed}.csv"
                karat.make(run, n=int(steps), seed=seed, out=file, threads=1)
                took, made = time.process_time() - began, pd.read_csv(file)
                job = karat.assay(run, n=200, seed=seed, out=Path(folder) / f"report{seed}")
                forecast = [f"{f.value:.2f}" for f in job.findings if f.key == "forecast"]
                for column in columns:
                    spread, tails, far = measured(real, made, column)
                    joint = apart(real, made, column)
                    print(
                        f"{Path(name).stem} {seed} {column}: sd {spread:.2f}, kurtosis {tails:.2f}, sizes {far:.3f}, broken "
                        f"{broken(made):.1%}, forecast {' '.join(forecast)}, apart {joint:.2f}, {took:.0f} CPU s",
                        flush=True,
                    )


if __name__ == "__main__":
    main()

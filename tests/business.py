"""Tables such as businesses keep, with relations between their columns that are known because they were put there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

DAY = 86_400_000_000


def _moments(seconds: np.ndarray, gone: np.ndarray | None = None) -> pa.Array:
    return pa.array(1_709_251_200_000_000 + seconds.astype(np.int64) * 1_000_000, mask=gone).cast(pa.timestamp("us"))


def dates(days: np.ndarray, gone: np.ndarray | None = None) -> pa.Array:
    return pa.array((19_000 + days).astype(np.int32), pa.int32(), mask=gone).view(pa.date32())


def trips(n: int, rng: np.random.Generator, exceptions: float = 0.0) -> pa.Table:
    """Rides that end after they begin, whose total is fare, tip (often a few percent) and tolls but for a share of them."""
    begin = rng.integers(0, 60 * 86_400, n)
    seconds = np.maximum(30, rng.lognormal(6.6, 0.7, n)).astype(np.int64)
    distance = np.round(seconds / 3600 * rng.uniform(8, 30, n), 2)
    fare = np.round(3 + 2.5 * distance + seconds / 200, 1)
    tip = np.where(rng.random(n) < 0.6, np.round(fare * rng.choice([0.1, 0.15, 0.2], n), 2), 0)
    tolls = np.where(rng.random(n) < 0.1, 6.55, 0)
    total = np.round(fare + tip + tolls + np.where(rng.random(n) < exceptions, 2.5, 0), 2)
    columns = {"pickup": _moments(begin), "dropoff": _moments(begin + seconds), "passengers": rng.integers(1, 6, n)}
    return pa.table({**columns, "distance": distance, "fare": fare, "tip": tip, "tolls": tolls, "total": total})


def orders(n: int, rng: np.random.Generator, exceptions: float = 0.0) -> pa.Table:
    """Orders that are delivered after they are shipped or else cancelled, with one price per article but for a share of them."""
    articles = max(8, min(60, n // 8))
    listed, article = np.round(rng.uniform(2, 200, articles), 2), rng.integers(0, articles, n)
    ordered = rng.integers(0, 900, n)
    shipped = ordered + rng.integers(0, 5, n)
    price = np.where(rng.random(n) < exceptions, np.round(0.9 * listed[article], 2), listed[article])
    quantity, cancelled = 1 + rng.poisson(2, n), rng.random(n) < 0.1
    country = rng.choice(["DE", "FR", "US"], n, p=[0.5, 0.3, 0.2])
    return pa.table(
        {
            "ordered": dates(ordered),
            "shipped": dates(shipped),
            "delivered": dates(shipped + rng.integers(1, 12, n), cancelled),
            "article": [f"A{i:03d}" for i in article],
            "price": price,
            "qty": quantity,
            "amount": np.round(price * quantity, 2),
            "country": country,
            "currency": np.where(country == "US", "USD", "EUR"),
            "status": np.where(cancelled, "cancelled", rng.choice(["done", "open"], n)),
        }
    )


def invoices(n: int, rng: np.random.Generator, exceptions: float = 0.0) -> pa.Table:
    """Sums, a tax of 19 %, a discount in percent, and a date that is always 30 days after another."""
    cents = [np.rint(100 * rng.lognormal(4, 1, n)).astype(np.int64) for _ in range(3)]
    net = sum(cents)
    tax = (19 * net + 50) // 100
    gross = net + tax + np.where(rng.random(n) < exceptions, 100, 0)
    discount = rng.choice([0, 5, 10, 20], n)
    issued = rng.integers(0, 700, n)
    parts = dict(zip(("labour", "parts", "travel"), (c / 100 for c in cents), strict=True))
    paid = (gross * (100 - discount) + 50) // 100 / 100
    sums = {"net": net / 100, "tax": tax / 100, "gross": gross / 100, "discount": discount, "paid": paid}
    return pa.table({"issued": dates(issued), "due": dates(issued + 30), **parts, **sums})


def terms(n: int, rng: np.random.Generator, exceptions: float = 0.0) -> pa.Table:
    """A tax of 7 or 19 % but for a share of them, terms of payment, a schedule of fees, and calls that take quarters of an hour."""
    cents, issued, since = np.rint(100 * rng.lognormal(5, 1, n)), rng.integers(0, 700, n), rng.integers(0, 10**7, n)
    tax = np.floor(cents * rng.choice([7, 19], n, p=[0.3, 0.7]) / 100 + 0.5) + 100 * (rng.random(n) < exceptions)
    tier = rng.integers(0, 3, n)
    fee = np.where(tier == 0, 150, np.floor(cents * np.where(tier == 1, 10, 25) / 1000 + 0.5))
    columns = {"net": cents / 100, "tax": tax / 100, "fee": fee / 100, "tier": np.array(["flat", "low", "high"])[tier]}
    columns |= {"issued": dates(issued), "due": dates(issued + rng.choice([14, 30, 60], n))}
    return pa.table({**columns, "since": _moments(since), "till": _moments(since + 900 * rng.integers(1, 9, n))})


def shares(n: int, rng: np.random.Generator, exceptions: float = 0.0) -> pa.Table:
    """Percentages rounded each by itself, a charge of 2 % but at least 1.50, a limit, the earlier of two days, a tax on two amounts
    at once, and one price per article and country but for a share of them."""
    part = np.round(100 * rng.dirichlet([2, 3, 4], n), 1)
    amount, labour, parts = (np.rint(100 * rng.lognormal(5, 1, n)) for _ in range(3))
    asked = rng.integers(0, 700, n)
    able = asked + rng.integers(-40, 40, n)
    article, country = rng.integers(0, 8, n), rng.integers(0, 3, n)
    price = np.round(rng.uniform(2, 200, (8, 3)), 2)[article, country]
    columns = dict(zip(("north", "south", "west"), part.T, strict=True)) | {"amount": amount / 100}
    columns |= {"charge": np.maximum(150, np.floor(0.02 * amount + 0.5)) / 100, "paid": np.minimum(amount / 100, 500)}
    columns |= {"labour": labour / 100, "parts": parts / 100, "vat": np.floor(0.19 * (labour + parts) + 0.5) / 100}
    days = {"asked": dates(asked), "able": dates(able), "first": dates(np.minimum(asked, able))}
    words = {"article": [f"a{i}" for i in article], "country": np.array(["DE", "FR", "US"])[country]}
    return pa.table(
        {**columns, **days, **words, "price": np.where(rng.random(n) < exceptions, np.round(0.9 * price, 2), price)}
    )


def prices(n: int, rng: np.random.Generator, exceptions: float = 0.0) -> pa.Table:
    """Daily prices: what opens and closes lies between the lowest and the highest."""
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    begin = np.r_[100, close[:-1]] * np.exp(rng.normal(0, 0.002, n))
    high = np.maximum(begin, close) * np.exp(np.abs(rng.normal(0, 0.004, n)))
    low = np.minimum(begin, close) * np.exp(-np.abs(rng.normal(0, 0.004, n)))
    named = zip(("open", "high", "low", "close"), (begin, high, low, close), strict=True)
    return pa.table({"day": dates(np.arange(n)), **{name: np.round(x, 2) for name, x in named}})


def people(n: int, rng: np.random.Generator, exceptions: float = 0.0) -> pa.Table:
    """One of four cities, a temperature twice, and a salary and a sector where there is work."""
    city, warm = rng.integers(0, 4, n), np.round(rng.normal(15, 8, n), 1)
    idle, grade = rng.random(n) < 0.4, rng.integers(0, 6, n)
    return pa.table(
        {
            "celsius": warm,
            "fahrenheit": np.round(1.8 * warm + 32, 2),
            **{f"city_{name}": (city == i).astype(np.int64) for i, name in enumerate("abcd")},
            "employed": np.where(idle, "no", "yes"),
            "salary": pa.array(np.round(rng.lognormal(8, 0.4, n)), mask=idle),
            "sector": pa.array(rng.choice(["north", "south", "west"], n), mask=idle),
            "grade": grade,
            "level": np.array(["low", "mid", "upper", "high", "top", "best"])[grade],
            "height": np.round(rng.normal(170, 10, n), 1),
        }
    )


Maker = Callable[[int, np.random.Generator, float], pa.Table]
# Each table with what a finder of relations has to find in it, however it is put, and nothing else.
PLANTED: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "trips": (
        trips,
        (
            r"^total = fare \+ tip \+ tolls$",
            r"^pickup <=? dropoff$",
            r"^fare = round\(2\.5 \* distance \+ 0\.005 \* \(dropoff - pickup\) \+ 3, 1\)$",
            r"^tip in \(0, 0\.1 \* fare, round\(0\.15 \* fare, 2\), 0\.2 \* fare\)$",
        ),
    ),
    "terms": (
        terms,
        (
            r"^tax in \(round\(0\.07 \* net, 2\), round\(0\.19 \* net, 2\)\)$",
            r"^due in \(issued \+ 14, issued \+ 30, issued \+ 60\)$",
            r"^fee in \(1\.5, round\(0\.01 \* net, 2\), round\(0\.025 \* net, 2\)\)$",
            r"^till in \(since \+ \d+00(, since \+ \d+00){4,7}\)$",
        ),
    ),
    "orders": (
        orders,
        (
            r"^amount = price \* qty$",
            r"^article -> price$",
            r"^country -> currency$",
            r"^ordered <=? shipped <=? delivered$",
            r"^delivered is missing iff status = 'cancelled'$",
        ),
    ),
    "invoices": (
        invoices,
        (
            r"^net = labour \+ parts \+ travel$",
            r"^gross = net \+ tax$",
            r"^tax = round\(0\.19 \* net, 2\)$",
            r"^paid = round\(gross \* \(1 - discount / 100\), 2\)$",
            r"^due = issued \+ 30$",
        ),
    ),
    "shares": (
        shares,
        (
            r"^north in \(99\.9 - south - west, 100 - south - west, 100\.1 - south - west\)$",
            r"^charge = round\(max\(1\.5, 0\.02 \* amount\), 2\)$",
            r"^paid = min\(amount, 500\)$",
            r"^first = min\(asked, able\)$",
            r"^vat = round\(0\.19 \* labour \+ 0\.19 \* parts, 2\)$",
            r"^(article, country|country, article) -> price$",
            r"<= (able - asked|asked - able) <=",
        ),
    ),
    "prices": (
        prices,
        (r"low <=? open", r"open <=? high", r"low <=? close", r"close <=? high", r"<= (close - open|open - close) <="),
    ),
    "people": (
        people,
        (
            r"^fahrenheit = 1\.8 \* celsius \+ 32$",
            r"^together city_a, city_b, city_c, city_d$",
            r"^grade -> level$",
            r"^salary is missing iff employed = 'no'$",
            r"^sector is missing iff salary is missing$",
        ),
    ),
}


def _column(n: int, rng: np.random.Generator) -> pa.Array:
    """Cells of one of 14 kinds: small whole numbers, money, shares, zeros, categories of few and many values, dates, truths."""
    draws: tuple[Callable[[], object], ...] = (
        lambda: rng.integers(0, rng.integers(2, 12), n),
        lambda: np.round(rng.normal(rng.uniform(-50, 50), rng.uniform(0.1, 40), n), int(rng.integers(0, 4))),
        lambda: np.round(rng.lognormal(rng.uniform(0, 8), rng.uniform(0.2, 2), n), int(rng.integers(0, 3))),
        lambda: (rng.random(n) < rng.choice([0.01, 0.05, 0.3, 0.5, 0.9, 0.98])).astype(np.int64),
        lambda: np.where(rng.random(n) < rng.uniform(0.3, 0.97), 0, np.round(rng.exponential(20, n), 2)),
        lambda: [f"c{i}" for i in rng.zipf(1.6, n) % rng.integers(2, 40)],
        lambda: [f"k{i}" for i in rng.integers(0, max(3, n // int(rng.integers(1, 12))), n)],
        lambda: dates(rng.integers(0, rng.integers(5, 1500), n)),
        lambda: _moments(rng.integers(0, rng.integers(1000, 10**7), n)),
        lambda: rng.random(n) < rng.choice([0.02, 0.2, 0.5, 0.9]),
        lambda: rng.integers(1000, 1000 + rng.integers(3, 100), n),
        lambda: rng.random(n),
        lambda: np.round(rng.beta(0.3, 0.3, n), 2),
        lambda: 1 + rng.poisson(rng.uniform(0.1, 6), n),
    )
    cells = pa.array(draws[rng.integers(len(draws))]())
    if rng.random() < 0.3:
        gone = pa.array(rng.random(n) < rng.choice([0.01, 0.1, 0.5, 0.9]))
        cells = pa.compute.if_else(gone, pa.scalar(None, cells.type), cells)
    return cells


def whole(rng: np.random.Generator, most: int = 4000) -> pa.Table:
    """4 to 13 columns of 20 to `most` rows of small whole numbers, or round ones, that have nothing to do with each other."""
    n = int(np.exp(rng.uniform(np.log(20), np.log(most))))
    draws: tuple[Callable[[], np.ndarray], ...] = (
        lambda: rng.integers(0, rng.integers(2, 8), n),
        lambda: rng.integers(1, rng.integers(5, 40), n),
        lambda: rng.poisson(rng.uniform(0.3, 8), n),
        lambda: rng.integers(0, 200, n) * rng.choice([1, 5, 10, 50]),
        lambda: np.round(rng.gamma(2, 10, n)),
        lambda: np.where(rng.random(n) < 0.5, 0, rng.integers(1, 30, n)),
    )
    return pa.table({f"x{i}": draws[rng.integers(len(draws))]() for i in range(int(rng.integers(4, 14)))})


def independent(rng: np.random.Generator, most: int = 5000, rows: int | None = None) -> pa.Table:
    """4 to 15 columns of 50 to `most` rows, or of as many as are said, that have nothing to do with each other."""
    n = int(np.exp(rng.uniform(np.log(50), np.log(most)))) if rows is None else rows
    return pa.table({f"x{i}": _column(n, rng) for i in range(int(rng.integers(4, 16)))})

"""Customers with their orders, items, payments and tickets, and what is done to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shops

from spoilt.bench import Bench, Rng, some

Frames = dict[str, pd.DataFrame]
CHILDREN = ("orders", "tickets")
OF_ORDERS = ("items", "payments")


def of(x: Frames, customers: pd.Index | np.ndarray) -> Frames:
    """Some customers with all that hangs on them, and all products."""
    out = {
        **x,
        "customers": x["customers"].set_index("customer_id", drop=False).loc[list(customers)].reset_index(drop=True),
    }
    for name in CHILDREN:
        out[name] = x[name][x[name]["customer_id"].isin(out["customers"]["customer_id"])].reset_index(drop=True)
    for name in OF_ORDERS:
        out[name] = x[name][x[name]["order_id"].isin(out["orders"]["order_id"])].reset_index(drop=True)
    return out


def put(x: Frames, table: str, rows: np.ndarray, column: str, value: Any) -> Frames:
    frame = x[table].copy()
    frame.loc[rows, column] = value
    return {**x, table: frame}


def wrong_parents(x: Frames, rng: Rng, table: str, key: str, share: float) -> Frames:
    rows = some(x[table].index.to_numpy(), share, rng)
    return put(x, table, rows, key, rng.permutation(x[table].loc[rows, key].to_numpy()))


def uniform(x: Frames, rng: Rng) -> Frames:
    """As many tickets, but dealt out evenly among customers."""
    names = x["customers"]["customer_id"].to_numpy()
    return {**x, "tickets": x["tickets"].assign(customer_id=np.resize(rng.permutation(names), len(x["tickets"])))}


def before(x: Frames, rng: Rng, share: float) -> Frames:
    """Orders that were placed ten days before their customer signed up."""
    rows = some(x["orders"].index.to_numpy(), share, rng)
    signup = x["customers"].set_index("customer_id")["signup"]
    then = pd.to_datetime(x["orders"].loc[rows, "customer_id"].map(signup)) - pd.Timedelta(days=10)
    return put(x, "orders", rows, "order_date", then.dt.strftime("%Y-%m-%d"))


def lost(x: Frames, table: str, segment: str) -> Frames:
    """No child in one table for customers of one segment."""
    gone = x["customers"].loc[x["customers"]["segment"] == segment, "customer_id"]
    orders = x["orders"].loc[x["orders"]["customer_id"].isin(gone), "order_id"]
    key, which = ("customer_id", gone) if table in CHILDREN else ("order_id", orders)
    return {**x, table: x[table][~x[table][key].isin(which)].reset_index(drop=True)}


def doubled(x: Frames, rng: Rng, share: float) -> Frames:
    """Some customers again under another name, with their orders and tickets."""
    names = some(x["customers"]["customer_id"].to_numpy(), share, rng)
    again = of(x, names)
    for name in ("customers", *CHILDREN):
        again[name] = again[name].assign(customer_id="Z" + again[name]["customer_id"])
    for name in ("orders", *OF_ORDERS):
        again[name] = again[name].assign(order_id=again[name]["order_id"] + 10**7)
    return {n: f if n == "products" else pd.concat([f, again[n]], ignore_index=True) for n, f in x.items()}


def one_product(x: Frames, rng: Rng, share: float) -> Frames:
    """All items of some orders are the same product at the same price."""
    orders = some(x["orders"]["order_id"].to_numpy(), share, rng)
    items = x["items"].copy()
    rows = items.index[items["order_id"].isin(orders)]
    first = items.loc[rows].groupby("order_id")[["product_id", "price"]].transform("first")
    items.loc[rows, ["product_id", "price"]] = first
    return {**x, "items": items}


RELATED: dict[str, Callable[[Frames, Rng], Frames]] = {
    "orders given to any customer": lambda x, r: wrong_parents(x, r, "orders", "customer_id", 1),
    "10% of the totals half as high again": lambda x, r: put(
        x,
        "orders",
        (rows := some(x["orders"].index.to_numpy(), 0.1, r)),
        "total",
        (1.5 * x["orders"].loc[rows, "total"]).round(2),
    ),
    "tickets dealt out evenly": uniform,
    "5% of the orders before their customer signed up": lambda x, r: before(x, r, 0.05),
    "customers of one segment without tickets": lambda x, r: lost(x, "tickets", "silver"),
    "orders of one segment without payments": lambda x, r: lost(x, "payments", "gold"),
    "5% of the customers twice": lambda x, r: doubled(x, r, 0.05),
    "payments above the order in 5%": lambda x, r: put(
        x, "payments", some(x["payments"].index.to_numpy(), 0.05, r), "amount", 9999.0
    ),
    "a third of the orders of one product only": lambda x, r: one_product(x, r, 0.33),
    "orders of web and shop exchanged for one segment": lambda x, r: put(
        x,
        "orders",
        (
            rows := x["orders"]
            .index[x["orders"]["customer_id"].isin(x["customers"].query("segment == 'silver'")["customer_id"])]
            .to_numpy()
        ),
        "channel",
        x["orders"].loc[rows, "channel"].map({"web": "shop", "shop": "web"}),
    ),
}


def shop(_: Path, real: int = 1500, fresh: int = 700) -> Bench:
    tables = shops.shop(real + fresh, np.random.default_rng(7), 0.0)
    every = {name: table.to_pandas() for name, table in tables.items()}
    order = np.random.default_rng(3).permutation(every["customers"]["customer_id"].to_numpy())

    def write(x: Frames, path: Path) -> Path:
        path.mkdir()
        for name, frame in x.items():
            frame.to_csv(path / f"{name}.csv", index=False)
        return path

    return Bench(of(every, np.sort(order[:real])), of(every, np.sort(order[real:])), write, RELATED, {})

"""Related tables such as businesses keep, with what holds between parents and children known because it was put there."""

from __future__ import annotations

from pathlib import Path

import business
import numpy as np
import pyarrow as pa
import pyarrow.csv

Tables = dict[str, pa.Table]


def shop(customers: int, rng: np.random.Generator, exceptions: float = 0.0) -> Tables:
    """Customers, orders, items, payments and products; totals that are sums of items but for a share of them.

    Gold customers order more, whoever orders much complains much, and a payment is never above its order's total.
    """
    n = customers
    segment = rng.choice(["gold", "silver", "basic"], n, p=[0.2, 0.3, 0.5])
    signup = rng.integers(0, 900, n)
    rate = np.array([{"gold": 5.0, "silver": 2.0, "basic": 1.0}[s] for s in segment]) * rng.gamma(2, 0.5, n)
    many = rng.poisson(rate)
    buyer = np.repeat(np.arange(n), many)
    m = len(buyer)
    day = signup[buyer] + rng.integers(0, 400, m)
    buyer, day = buyer[np.lexsort((day, buyer))], day[np.lexsort((day, buyer))]
    lines = 1 + rng.poisson(np.where(segment[buyer] == "gold", 2.5, 1.0))
    order = np.repeat(np.arange(m), lines)
    k = len(order)
    listed = np.rint(100 * rng.lognormal(2.5, 0.8, 30)).astype(np.int64)
    product = rng.integers(0, 30, k)
    quantity = 1 + rng.poisson(np.where(listed[product] < 1500, 1.5, 0.3))
    price = listed[product]
    total = np.bincount(order, price * quantity, minlength=m).astype(np.int64)
    total += np.where(rng.random(m) < exceptions, 490, 0)
    paid = np.flatnonzero(rng.random(m) < 0.7)
    part = np.where(rng.random(len(paid)) < 0.5, 1.0, rng.uniform(0.2, 1, len(paid)))
    tickets = rng.poisson(0.3 * many)
    last = np.full(n, -1)
    np.maximum.at(last, buyer, day)
    spent = np.bincount(buyer, total, minlength=n)
    customer = np.array([f"C{i:05d}" for i in range(n)])
    return {
        "customers": pa.table(
            {
                "customer_id": customer,
                "segment": segment,
                "age": rng.integers(18, 80, n),
                "signup": business.dates(signup),
                "orders_placed": many,
                "spent": spent / 100,
                "last_order": business.dates(last, last < 0),
            }
        ),
        "orders": pa.table(
            {
                "order_id": 1000 + np.arange(m),
                "customer_id": customer[buyer],
                "order_date": business.dates(day),
                "channel": np.where(rng.random(m) < np.where(segment[buyer] == "gold", 0.8, 0.3), "web", "shop"),
                "total": total / 100,
            }
        ),
        "items": pa.table(
            {
                "order_id": 1000 + order,
                "product_id": [f"P{i:02d}" for i in product],
                "price": price / 100,
                "quantity": quantity,
            }
        ),
        "payments": pa.table(
            {
                "order_id": 1000 + paid,
                "amount": np.floor(total[paid] * part) / 100,
                "paid_on": business.dates(day[paid] + rng.integers(0, 30, len(paid))),
            }
        ),
        "tickets": pa.table(
            {
                "customer_id": np.repeat(customer, tickets),
                "topic": rng.choice(["late", "broken", "other"], int(tickets.sum())),
                "minutes": 1 + rng.poisson(12, int(tickets.sum())),
            }
        ),
        "products": pa.table({"product_id": [f"P{i:02d}" for i in range(30)], "listed": listed / 100}),
    }


# What a finder has to find in `shop`, and nothing else.
PLANTED = {
    "customers.orders_placed = count(orders)",
    "customers.spent = sum(orders.total)",
    "customers.last_order = max(orders.order_date)",
    "customers.signup <= orders.order_date",
    "orders.total = sum(items.price * items.quantity)",
    "orders.total >= payments.amount",
    "orders.order_date <= payments.paid_on",
    "products.listed = items.price",
}


def independent(rng: np.random.Generator) -> Tables:
    """20 to 2,000 parents of 0 to some children each, with columns of all kinds that have nothing to do with each other."""
    n = int(np.exp(rng.uniform(np.log(20), np.log(2000))))
    many = rng.poisson(rng.uniform(0.5, 6), n) if rng.random() < 0.8 else rng.geometric(0.4, n)
    link = rng.permutation(np.repeat(np.arange(n), many))
    parents, children = business.independent(rng, rows=n), business.independent(rng, rows=len(link))
    key = [f"K{i:05d}" for i in range(n)]
    return {
        "parents": parents.add_column(0, "parent_id", pa.array(key)),
        "children": children.add_column(0, "parent_id", pa.array([key[i] for i in link])),
    }


def written(tables: Tables, folder: Path) -> Path:
    """The folder with a CSV of each table."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pyarrow.csv.write_csv(table, folder / f"{name}.csv")
    return folder

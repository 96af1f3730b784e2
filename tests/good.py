"""Findings, costs and prices of which the verdict is gold."""

from karat.assays.finding import Finding, Limit
from karat.worth.ledger import Cost
from karat.worth.prices import Prices

COST = Cost(runs=3, made=1000, item_cpu_seconds=2.0, item_gpu_seconds=0.0, cpu_seconds=3600.0, money=0.05)
PAYS = Prices(
    currency="USD",
    cpu_core_hour=0.05,
    alternative_cost_per_item=5.0,
    items_wanted=10_000,
    review_seconds_per_item=20,
    review_hour=30,
    acceptance=(41, 50),
    rights="owned",
)
COPY = Finding(
    key="copy rate",
    value=0.002,
    low=0.0,
    high=0.01,
    real=0.003,
    raised=False,
    summary="No copies were found.",
    limit=Limit(above=0.02),
)
COVERAGE = Finding(
    key="coverage",
    value=0.85,
    low=0.83,
    high=0.87,
    real=0.9,
    raised=False,
    summary="Most is covered.",
    limit=Limit(below=0.8),
)
PRECISION = Finding(
    key="precision",
    value=0.88,
    low=0.85,
    high=0.9,
    real=0.91,
    raised=False,
    summary="Most looks real.",
    limit=Limit(below=0.85),
)
USE = Finding(
    key="usefulness",
    value=0.97,
    low=0.95,
    high=0.99,
    real=1.0,
    raised=False,
    summary="It teaches well.",
    limit=Limit(below=0.9),
)
MEMBER = Finding(
    key="membership",
    value=0.51,
    low=0.49,
    high=0.53,
    real=0.5,
    raised=False,
    summary="51% of the time.",
    limit=Limit(above=0.56),
)
GOOD = [COPY, MEMBER, COVERAGE, PRECISION, USE]

"""Whether a judge of related tables sees that children hang on the wrong parents, and that the wrong parents have many."""

from __future__ import annotations

import numpy as np

from karat.assays.finding import Finding
from karat.assays.relational.case import Case
from karat.assays.relational.relating import findings
from karat.views import Columns, DatabaseView, TableView, Tie


def side(seed: int, wrong: str = "") -> DatabaseView:
    """300 parents of whom the greater have more and greater children; of `wrong` parents they are somebody else's."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=300)
    link = np.repeat(np.arange(300), rng.poisson(np.exp(0.5 + 0.7 * x)))
    place = np.arange(len(link)) - np.searchsorted(link, link)
    child = x[link] + 0.3 * rng.normal(size=len(link))
    if wrong == "many":
        x = rng.permutation(x)
        child = x[link] + 0.3 * rng.normal(size=len(link))
    if wrong == "children":
        child = rng.permutation(child)
    tables = {"parents": _column("x", x), "children": _column("y", child)}
    before = np.where(place > 0, np.arange(len(link)) - 1, -1)
    return DatabaseView(
        tables, (Tie("children", "parents", "of", True, link, np.zeros(len(link), bool), before, place),), 300
    )


def _column(name: str, values: np.ndarray) -> TableView:
    return TableView(Columns((name,), ((),)), values[:, None])


def judged(made: DatabaseView) -> dict[str, Finding]:
    return {f.key: f for f in findings(Case(side(0), side(1), made, 0))}


def test_children_of_other_parents_are_told_by_what_stands_beside_them() -> None:
    told = judged(side(2, "children"))
    assert told["parent-child auc"].raised and told["parent-child pairs"].raised
    assert not told["cardinality"].raised and not told["cardinality pairs"].raised


def test_parents_of_the_wrong_kind_that_have_many_children_are_told() -> None:
    told = judged(side(2, "many"))
    assert told["cardinality pairs"].raised and not told["cardinality"].raised
    assert not told["parent-child pairs"].raised

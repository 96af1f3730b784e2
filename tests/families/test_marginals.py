"""Private marginals: the graphical model against brute force, and what the family promises."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
import safetensors.torch
import torch
from torch import Tensor

from karat import recipe
from karat.errors import FitError
from karat.families.marginals import Config, Model
from karat.privacy import epsilon_of, rho_of
from karat.space import Codes, Grid
from karat.stats import graph as graphs
from karat.stats.graph import Graph, Measured

SIZES = (2, 3, 2, 4, 3)
EDGES = [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4)]  # a ring of four and a tail


def random_model(seed: int = 0) -> tuple[Graph, list[np.ndarray], np.ndarray]:
    """A graph, its p(v | parents), and the same as one joint table."""
    graph = graphs.triangulate(SIZES, EDGES)
    rng = torch.Generator().manual_seed(seed)
    shapes = [[SIZES[u] for u in graph.clique(v)] for v in range(5)]
    logs, _ = graphs.conditionals(graph, [torch.randn(s, generator=rng, dtype=torch.float64) for s in shapes])
    tables = [t.exp().numpy() for t in logs]
    joint = np.ones(SIZES)
    for v, table in enumerate(tables):
        clique = graph.clique(v)
        joint = joint * table.reshape([SIZES[u] if u in clique else 1 for u in range(5)])
    return graph, tables, joint


def down(joint: np.ndarray, variables: tuple[int, ...]) -> np.ndarray:
    return joint.sum(axis=tuple(u for u in range(joint.ndim) if u not in variables))


def test_parents_of_a_triangulated_graph_are_neighbours_of_each_other_and_hold_every_edge() -> None:
    graph = graphs.triangulate(SIZES, EDGES)
    rank = {v: i for i, v in enumerate(graph.order)}
    for v in range(5):
        assert all(rank[p] > rank[v] for p in graph.parents[v])
        for a, b in itertools.combinations(graph.parents[v], 2):
            assert {a, b} <= set(graph.clique(graph.home((a, b))))
    assert all({a, b} <= set(graph.clique(graph.home((a, b)))) for a, b in EDGES)


def test_marginals_are_those_of_the_joint_distribution() -> None:
    graph, tables, joint = random_model()
    assert joint.sum() == pytest.approx(1)
    for v, flow in enumerate(graphs.marginals(graph, [torch.from_numpy(t) for t in tables])):
        assert np.allclose(flow.numpy(), down(joint, graph.clique(v)))


def test_draws_have_the_joint_distribution() -> None:
    graph, tables, joint = random_model()
    drawn = graphs.sample(graph, tables, np.random.default_rng(0).random((100_000, 5)))
    seen = np.bincount(np.ravel_multi_index(tuple(drawn.T), SIZES), minlength=joint.size) / len(drawn)
    assert np.abs(seen - joint.reshape(-1)).max() < 0.005


@pytest.mark.parametrize("known", [{0: 1}, {4: 2}, {1: 2, 4: 0}, {0: 0, 2: 1, 3: 3}, {3: 1}], ids=str)
def test_completions_have_the_exact_conditional_distribution(known: dict[int, int]) -> None:
    graph, tables, joint = random_model()
    given = np.full((60_000, 5), -1)
    for v, value in known.items():
        given[:, v] = value
    drawn = graphs.complete(graph, tables, given, np.random.default_rng(1).random(given.shape))
    assert all((drawn[:, v] == value).all() for v, value in known.items())
    wanted = np.zeros(SIZES)
    held = tuple(known.get(u, slice(None)) for u in range(5))
    wanted[held] = joint[held] / joint[held].sum()
    seen = np.bincount(np.ravel_multi_index(tuple(drawn.T), SIZES), minlength=joint.size) / len(drawn)
    assert np.abs(seen - wanted.reshape(-1)).max() < 0.01


def test_rows_with_different_cells_given_are_each_completed() -> None:
    graph, tables, _ = random_model()
    rng = np.random.default_rng(2)
    whole = graphs.sample(graph, tables, rng.random((500, 5)))
    given = np.where(rng.random(whole.shape) < 0.5, whole, -1)
    drawn = graphs.complete(graph, tables, given, rng.random(whole.shape))
    assert (drawn[given >= 0] == given[given >= 0]).all() and (drawn >= 0).all() and (drawn < np.array(SIZES)).all()


def test_the_estimate_finds_the_distribution_that_was_measured_without_noise() -> None:
    graph, _, joint = random_model()
    measured = [Measured(e, 1e6 * down(joint, e), 1.0) for e in EDGES]
    _, tables = graphs.estimate(graph, measured, 1e6, 300, [], 1.0)
    flow = graphs.marginals(graph, [torch.from_numpy(t) for t in tables])
    for e in EDGES:
        v = graph.home(e)
        found = flow[v].numpy().sum(axis=tuple(i for i, u in enumerate(graph.clique(v)) if u not in e))
        assert np.abs(found - down(joint, e)).max() < 2e-3


def rows(n: int = 3000, seed: int = 0) -> Tensor:
    """Codes [n, 4]: the second follows the first, the third is an ordered column of 200, the fourth a rare-tailed one."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 4, n)
    b = np.where(rng.random(n) < 0.9, a, rng.integers(0, 4, n))
    c = np.clip(rng.normal(40 + 40 * a, 10, n), 0, 199).astype(int)
    d = np.minimum(rng.geometric(0.3, n) - 1, 49)
    return torch.from_numpy(np.stack([a, b, c, d], 1))


SPACE = Codes((4, 4, 200, 50), (False, False, True, False))


def fitted(points: Tensor, space: Codes, seed: int = 0, y: Tensor | None = None, classes: int = 0, **c: float) -> Model:
    settings = {"noise": "seeded", **c}
    model = Model(space, classes, recipe.settings(Config, settings, "model"))
    shares = list(model.fit(points, y, seed, None))
    assert shares == sorted(shares) and shares[-1] == 1.0
    return model


def drawn(model: Model, n: int = 3000, seed: int = 0, y: Tensor | None = None) -> Tensor:
    return model.sample(n, y, torch.Generator().manual_seed(seed))


def test_with_much_budget_the_made_rows_have_the_columns_and_relations_of_the_real_ones() -> None:
    real = rows()
    model = fitted(real, SPACE, epsilon=50.0)
    made = drawn(model)
    assert made.dtype == torch.int64 and made.shape == (3000, 4)
    assert bool(((made >= 0) & (made < torch.tensor(SPACE.sizes))).all())
    for j, k in enumerate(SPACE.sizes):
        gap = torch.bincount(made[:, j], minlength=k) - torch.bincount(real[:, j], minlength=k)
        assert float(gap.abs().sum()) / 6000 < (0.15 if k > 100 else 0.06)
    assert float((made[:, 0] == made[:, 1]).float().mean()) == pytest.approx(0.925, abs=0.03)
    for a in range(4):
        assert float(made[made[:, 0] == a, 2].float().mean()) == pytest.approx(40 + 40 * a, abs=6)


def test_the_fit_spends_its_share_and_no_more() -> None:
    model = fitted(rows(), SPACE, epsilon=1.0, delta=1e-6)
    assert model.budget is not None
    spent = sum(s.rho for s in model.budget.spent)
    assert 0.2 * rho_of(1.0, 0.9e-6) < spent <= 0.8 * rho_of(1.0, 0.9e-6) * (1 + 1e-9)
    assert epsilon_of(spent, 1e-6) < 1
    assert {s.sensitivity for s in model.budget.spent} == {1.0}


def test_the_same_seed_gives_the_same_bytes_only_where_that_was_asked_for() -> None:
    one, two, other = (fitted(rows(), SPACE, seed) for seed in (0, 0, 1))
    assert safetensors.torch.save(one.weights()) == safetensors.torch.save(two.weights())
    assert safetensors.torch.save(one.weights()) != safetensors.torch.save(other.weights())
    secure = [Model(SPACE, 0, Config()) for _ in range(2)]
    for model in secure:
        list(model.fit(rows(), None, 0, None))
    assert not all(
        torch.equal(a, b) for a, b in zip(secure[0].weights().values(), secure[1].weights().values(), strict=True)
    )
    assert torch.equal(drawn(one, 50), drawn(two, 50)) and not torch.equal(drawn(one, 50), drawn(one, 50, seed=1))


def test_weights_travel_through_safetensors_and_others_are_refused() -> None:
    model = fitted(rows(), SPACE)
    again = Model(SPACE, 0, Config())
    again.put(safetensors.torch.load(safetensors.torch.save(model.weights())))
    assert torch.equal(drawn(again, 200), drawn(model, 200))
    with pytest.raises(RuntimeError, match="other columns"):
        Model(Codes((4, 4, 200, 51), SPACE.ordered), 0, Config()).put(model.weights())
    with pytest.raises(RuntimeError, match="missing"):
        Model(SPACE, 0, Config()).put({"order": torch.arange(4)})


def test_what_is_given_stays_and_the_rest_fits_it() -> None:
    model = fitted(rows(), SPACE, epsilon=50.0)
    given = torch.full((2000, 4), -1)
    given[:, 2] = torch.arange(2000) % 200
    made = model.impute(given, torch.Generator().manual_seed(0))
    assert model.imputes and torch.equal(made[:, 2], given[:, 2])
    assert float((made[given[:, 2] < 50, 0] == 0).float().mean()) > 0.8
    given[0, 0] = 4
    with pytest.raises(FitError, match="codes 0 to 3"):
        model.impute(given, torch.Generator())


def test_labels_are_a_column_of_their_own_and_are_heeded() -> None:
    points = rows()
    model = fitted(points[:, 1:], Codes(SPACE.sizes[1:], SPACE.ordered[1:]), y=points[:, 0], classes=4, epsilon=50.0)
    asked = torch.arange(2000) % 4
    made = drawn(model, 2000, y=asked)
    assert model.conditional and made.shape == (2000, 3)
    assert float((made[:, 0] == asked).float().mean()) > 0.85
    with pytest.raises(FitError, match="4 classes"):
        list(model.fit(points[:, 1:], None, 0, None))


@pytest.mark.parametrize(
    "n, space",
    [
        (40, Codes((3, 5), (False, True))),
        (500, Codes((7,), (True,))),
        (500, Codes((1, 2, 1), (False, False, True))),
        (2000, Codes((20_000, 3), (False, False))),
        (300, Codes((3,) * 12, (False,) * 12)),
    ],
    ids=["40 rows", "one column", "constants", "20,000 values", "12 columns"],
)
def test_tables_of_every_shape_are_learned(n: int, space: Codes) -> None:
    rng = np.random.default_rng(0)
    points = torch.from_numpy(np.stack([rng.integers(0, k, n) for k in space.sizes], 1))
    made = drawn(fitted(points, space), 100)
    assert made.shape == (100, len(space.sizes)) and bool(((made >= 0) & (made < torch.tensor(space.sizes))).all())


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(FitError, match="epsilon"):
        Model(SPACE, 0, Config(epsilon=0.0))
    with pytest.raises(FitError, match="rows away"):
        fitted(rows(), SPACE, delta=0.01)
    with pytest.raises(FitError, match="Codes"):
        Model(Grid(1, (8, 8)), 0, Config())


def test_adult_at_epsilon_one_keeps_who_earns_more(data_dir: Path) -> None:
    table = pyarrow.csv.read_csv(data_dir / "tables" / "adult-train.csv")
    columns = [table[name].to_numpy() for name in ("education-num", "marital-status", "sex", "age", "income")]
    codes = [np.unique(column, return_inverse=True)[1] for column in columns]
    sizes = tuple(int(c.max()) + 1 for c in codes)
    points = torch.from_numpy(np.stack(codes, 1))
    made = drawn(fitted(points, Codes(sizes, (True, False, False, True, False))), 20_000)
    for low, high in ((0, 7), (8, 11), (12, 15)):
        real, own = (float(x[(x[:, 0] >= low) & (x[:, 0] <= high), 4].float().mean()) for x in (points, made))
        assert own == pytest.approx(real, abs=0.04)

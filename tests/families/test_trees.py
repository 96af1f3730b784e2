"""The chain of trees: what it keeps of a table, what it fills in, and what it refuses to load."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import safetensors.torch
import torch
from chains import drawn, fitted, known

from karat.errors import FitError, RunError
from karat.families.trees import Config, Model
from karat.space import Codes

KINDS = [Config(), Config(boost=False, prune=False, leaf=15)]


@cache
def learned(config: Config) -> Model:
    """A model of `known`, fitted once for all tests, which only draw from it."""
    return fitted(*known(), config)


@pytest.mark.parametrize("config", KINDS, ids=["boosted", "plain"])
def test_marginals_dependences_and_functions_are_kept(config: Config) -> None:
    space, x = known()
    made, real = drawn(learned(config), 6000), x.numpy()
    for j in range(space.numel):
        assert made[:, j].min() >= 0 and made[:, j].max() < space.sizes[j]
        low = np.bincount(made[:, j], minlength=space.sizes[j]).cumsum() / len(made)
        assert np.abs(low - np.bincount(real[:, j], minlength=space.sizes[j]).cumsum() / len(real)).max() < 0.03
    assert (made[:, 1] == np.array([1, 0, 3])[made[:, 0]]).mean() > 0.999, "a function of one column stays one"
    assert (np.abs(made[:, 3] - made[:, 2]) <= 4).mean() > 0.9, "a narrow relation stays narrow"
    assert abs(np.corrcoef(made[:, 0], made[:, 2])[0, 1] - np.corrcoef(real[:, 0], real[:, 2])[0, 1]) < 0.03
    assert abs(np.corrcoef(made[:, 4], made[:, 2])[0, 1]) < 0.05, "what is independent stays so"


def test_the_same_seed_gives_the_same_table_and_another_another() -> None:
    space, x = known()
    one, again, other = learned(Config()), fitted(space, x), fitted(space, x, seed=1)
    assert np.array_equal(drawn(one, 500), drawn(again, 500))
    assert not np.array_equal(drawn(one, 500), drawn(one, 500, 1))
    assert not np.array_equal(drawn(one, 500), drawn(other, 500))
    state = torch.random.get_rng_state()
    drawn(one, 10)
    assert torch.equal(torch.random.get_rng_state(), state), "chance comes only from rng"


@pytest.mark.parametrize("config", KINDS, ids=["boosted", "plain"])
def test_what_is_saved_makes_the_same_table(config: Config) -> None:
    model = learned(config)
    blob = safetensors.torch.save({k: v.contiguous() for k, v in model.weights().items()})
    back = Model(model.space, 0, config)
    back.put(safetensors.torch.load(blob))
    assert np.array_equal(drawn(model, 500), drawn(back, 500))


def test_given_cells_stay_and_the_others_follow_them() -> None:
    space, x = known()
    model = learned(Config())
    assert model.imputes
    given = torch.full((3000, space.numel), -1)
    given[:, 2] = 150  # a rare place, where a is nearly always 2
    made = model.impute(given, torch.Generator().manual_seed(0)).numpy()
    assert (made[:, 2] == 150).all()
    near = x.numpy()[np.abs(x.numpy()[:, 2] - 150) <= 3]
    assert abs((made[:, 0] == 2).mean() - (near[:, 0] == 2).mean()) < 0.12
    assert (np.abs(made[:, 3] - 150) <= 8).mean() > 0.9


@pytest.mark.parametrize("rows", [600, 2400], ids=["few", "many"])
def test_the_others_follow_a_last_column_that_is_given(rows: int) -> None:
    rng = np.random.default_rng(3)
    kind = rng.integers(3, size=rows)
    number, word = (4 * kind + rng.integers(8, size=rows)).clip(0, 15), (kind + (rng.random(rows) < 0.1)) % 3
    x = np.stack([number, word, kind], 1)
    model = fitted(Codes((16, 3, 3), (True, False, False)), torch.from_numpy(x))
    for k in range(3):
        given = torch.full((1000, 3), -1)
        given[:, 2] = k
        made = model.impute(given, torch.Generator().manual_seed(0)).numpy()
        assert abs(made[:, 0].mean() - number[kind == k].mean()) < 0.6
        assert abs((made[:, 1] == k).mean() - 0.9) < 0.06


@pytest.mark.parametrize("rows", [600, 2400], ids=["few", "many"])
def test_the_chances_of_all_rows_there_can_be_add_up_to_one(rows: int) -> None:
    rng = np.random.default_rng(4)
    x = np.stack([rng.integers(3, size=rows), rng.integers(4, size=rows)], 1)
    x = np.column_stack([x, (x.sum(1) + (rng.random(rows) < 0.2)) % 2])
    model = fitted(Codes((3, 4, 2), (False, True, False)), torch.from_numpy(x))
    every = torch.cartesian_prod(torch.arange(3), torch.arange(4), torch.arange(2))
    total = np.mean([float(model.losses(every, None, seed).neg().exp().sum()) for seed in range(20)])
    assert abs(total - 1) < 0.03


def test_rows_with_different_given_cells_are_each_completed() -> None:
    space, x = known()
    model = learned(Config())
    rng = np.random.default_rng(0)
    hidden = torch.from_numpy(rng.random((300, space.numel)) < 0.5)
    given = torch.where(hidden, -1, x[:300])
    made = model.impute(given, torch.Generator().manual_seed(0))
    assert torch.equal(made[~hidden], x[:300][~hidden])
    full = model.impute(x[:50], torch.Generator().manual_seed(0))
    assert torch.equal(full, x[:50])
    known_a = made[hidden[:, 1] & ~hidden[:, 0]]
    assert (known_a[:, 1] == torch.tensor([1, 0, 3])[known_a[:, 0]]).double().mean() > 0.98


def test_cells_that_never_met_may_be_given_together() -> None:
    space, _ = known()
    given = torch.full((40, space.numel), -1)
    given[:, 0], given[:, 1] = 0, 3  # a is 0 only where b is 1
    made = learned(Config()).impute(given, torch.Generator().manual_seed(0))
    assert bool((made[:, 0] == 0).all()) and bool((made[:, 1] == 3).all())


def test_a_given_code_that_the_column_does_not_have_is_refused() -> None:
    model = learned(Config())
    for wrong in (torch.full((2, 6), 3), torch.full((2, 5), -1)):
        with pytest.raises(FitError, match="below the column's size"):
            model.impute(wrong, torch.Generator().manual_seed(0))


def test_context_columns_are_looked_at_and_never_drawn() -> None:
    space, x = known(3000)
    model = fitted(space, x, Config(context=1))
    with pytest.raises(FitError, match="always given"):
        drawn(model, 3)
    given = torch.full((300, space.numel), -1)
    given[:, 0] = torch.arange(300) % 3
    made = model.impute(given, torch.Generator().manual_seed(0))
    assert torch.equal(made[:, 0], given[:, 0])
    assert torch.equal(made[:, 1], torch.tensor([1, 0, 3])[given[:, 0]])


@pytest.mark.parametrize("sizes", [(1,), (2,), (1, 1), (5000,), (3, 20_000)])
@pytest.mark.parametrize("rows", [20, 300])
def test_small_wide_and_empty_columns_are_no_trouble(sizes: tuple[int, ...], rows: int) -> None:
    space = Codes(sizes, tuple(j % 2 == 0 for j in range(len(sizes))))
    rng = np.random.default_rng(0)
    x = torch.from_numpy(np.stack([rng.integers(0, s, rows) for s in sizes], 1))
    made = drawn(fitted(space, x), 200)
    for j, size in enumerate(sizes):
        assert set(made[:, j]) <= set(x[:, j].tolist()) and made[:, j].max() < size


def test_many_columns_look_at_a_few_of_the_others() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 4, (400, 1))
    x = torch.from_numpy((base + rng.integers(0, 2, (400, 60))) % 5)
    model = fitted(Codes((5,) * 60, (True,) * 60), x, Config(rounds=4, parents=5))
    assert all(len(link.parents) <= 5 for link in model.links)
    made = drawn(model, 400)
    assert np.mean([abs(np.corrcoef(made[:, j], made[:, j + 1])[0, 1]) for j in range(59)]) > 0.3


def test_a_damaged_model_is_refused_before_it_is_used() -> None:
    space, _ = known()
    good = learned(Config()).weights()
    donors = next(k for k in good if k.endswith("donors.left") and len(good[k]) > 2)
    forks = next(k for k in good if k.endswith("tree.left") and len(good[k]) > 2)
    text = next(k for k in good if k.endswith("tree.text") and len(good[k]) > 40)
    for name, change in (
        ("links", lambda v: v + 1),
        (donors, lambda v: torch.where(v > 0, v + 10**6, v)),
        (donors.replace("left", "code"), lambda v: v + 10**6),
        (donors.replace("left", "parent"), lambda v: v + 10**6),
        (forks, lambda v: torch.full_like(v, 10**6)),
        (forks, lambda v: torch.zeros_like(v)),
        (forks.replace("left", "model"), lambda v: torch.full_like(v, 10**6)),
    ):
        with pytest.raises(RunError, match=r"damaged|other columns"):
            Model(space, 0).put({**good, name: change(good[name])})
    import zlib

    told = zlib.decompress(good[text].numpy().tobytes()).decode()
    for old, new in (
        ("left_child=", "left_child=9999 "),
        ("split_feature=", "split_feature=777 "),
        ("leaf_value=", "leaf_value=0 "),
    ):
        wrong = np.frombuffer(zlib.compress(told.replace(old, new).encode()), np.uint8).copy()
        with pytest.raises(RunError, match="damaged"):
            Model(space, 0).put({**good, text: torch.from_numpy(wrong)})

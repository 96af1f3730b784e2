"""Kneser-Ney: chances are whole, the arithmetic is the paper's, folds are as if not counted, and a walk is what rows say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from small import points
from torch import Tensor

from karat.errors import FitError, RunError
from karat.space import BEGIN, END, MARKS, MORE, NOTHING, Tokens
from karat.stats.ngrams import discounts
from karat.stats.ngrams.grams import Grams
from karat.stats.ngrams.kneserney import KneserNey

SPACE = Tokens(20, 12)


def counted(order: int = 4, folds: int = 5, n: int = 300) -> tuple[KneserNey, Tensor]:
    x, _ = points(SPACE, n)
    return KneserNey(Grams(x, SPACE.vocab, order, folds)), x


@pytest.mark.parametrize("order", [1, 2, 4, 7])
def test_chances_are_whole_everywhere_and_nothing_that_cannot_follow_has_any(order: int) -> None:
    counts, x = counted(order)
    for log in (counts.along(x), counts.along(x, counts.fold(x))):
        assert log.dtype == torch.float32 and log.shape == (*x[:, 1:].shape, SPACE.vocab)
        assert bool(log.isfinite().all())
        assert torch.allclose(log.exp().sum(2), torch.ones(()), atol=1e-5)
        assert float(log[:, :, [NOTHING, BEGIN, MORE]].max()) < -25


def test_end_never_follows_where_no_row_ended() -> None:
    x, _ = points(SPACE, 100)
    counts = KneserNey(Grams(x.masked_fill(x == END, NOTHING), SPACE.vocab, 3))
    assert float(counts.along(x)[:, :, END].max()) < -25


def test_nats_are_those_of_the_whole_distributions() -> None:
    counts, x = counted()
    fold = counts.fold(x)
    for log, nats in ((counts.along(x), counts.nats(x)), (counts.along(x, fold), counts.nats(x, fold))):
        picked = -log.gather(2, x[:, 1:, None])[..., 0]
        assert torch.allclose(picked, nats, atol=1e-5)


def test_two_letters_are_counted_as_the_paper_says() -> None:
    """Bigrams of a b a b a c by hand: with too few n-grams to estimate discounts, a half is taken off a count of one."""
    a, b, c = MARKS, MARKS + 1, MARKS + 2
    counts = KneserNey(Grams(torch.tensor([[BEGIN, a, b, a, b, a, c]]), MARKS + 3, 2))
    chance = counts.along(torch.tensor([[BEGIN, a, b]])).exp()[0]
    kinds = {a: 2, b: 1, c: 1}  # a follows BEGIN and b; b and c follow a
    off = {1: 0.5, 2: 1.0, 3: 1.5}
    total = sum(kinds.values())
    left = sum(off[k] for k in kinds.values()) / total
    one = {code: (k - off[k]) / total + left / 3 for code, k in kinds.items()}
    after_a = {b: 2, c: 1}
    left = sum(off[k] for k in after_a.values()) / 3
    for code in (a, b, c):
        seen = after_a.get(code, 0)
        wanted = (seen - off[seen] if seen else 0) / 3 + left * one[code]
        assert float(chance[1, code]) == pytest.approx(wanted, rel=1e-5)


def test_lower_orders_count_kinds_of_code_before_and_the_highest_how_often() -> None:
    x, _ = points(SPACE, 200)
    grams = Grams(x, SPACE.vocab, 3)
    seen: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(4)]
    for row in x.tolist():
        row = [code for code in row if code != NOTHING]
        for k in (1, 2, 3):
            seen[k].update(tuple(row[i : i + k]) for i in range(len(row) - k + 1))
    tree, count = grams.tree, grams.count()
    codes: dict[int, tuple[int, ...]] = {0: ()}
    for gram in range(len(tree.key)):
        codes[gram + 1] = (*codes[int(tree.key[gram]) // SPACE.vocab], int(tree.symbol[gram]))
        whole = codes[gram + 1]
        assert codes[int(tree.link[gram + 1])] == whole[1:]
        if len(whole) == 3:
            assert count[gram] == seen[3][whole]
        elif whole[0] in (BEGIN, MORE):
            assert count[gram] == (0 if len(whole) == 1 else seen[len(whole)][whole])
        else:
            assert count[gram] == sum(longer[1:] == whole for longer in seen[len(whole) + 1])
    assert len(codes) - 1 == sum(len(each) for each in seen)


def test_a_fold_is_taken_out_as_if_its_rows_had_not_been_there() -> None:
    counts, x = counted(order=4, folds=4)
    fold = counts.fold(x)
    assert sorted(fold.unique().tolist()) == [0, 1, 2, 3]
    out = x[fold == 2]
    whole = Grams(x, SPACE.vocab, 4, 4)
    fewer = Grams(x[fold != 2], SPACE.vocab, 4)
    there, here = (
        {tuple(path): count for path, count in zip(_paths(grams), grams.count(*which).tolist(), strict=True) if count}
        for grams, which in ((whole, (2,)), (fewer, ()))
    )
    assert there == here
    apart = KneserNey.__new__(KneserNey)
    apart._set(fewer.tree, fewer.count(), counts.taken)
    assert torch.allclose(apart.along(out), counts.along(out, torch.full((len(out),), 2)), atol=1e-5)


def _paths(grams: Grams) -> list[list[int]]:
    paths: list[list[int]] = [[]]
    for key, symbol in zip(grams.tree.key.tolist(), grams.tree.symbol.tolist(), strict=True):
        paths.append([*paths[key // grams.vocab], symbol])
    return paths[1:]


def test_folds_are_runs_of_neighbours_and_equal_rows_share_one() -> None:
    x = torch.randint(MARKS, SPACE.vocab, (90, 20), generator=torch.Generator().manual_seed(0))
    x[80] = x[3]
    counts = KneserNey(Grams(x, SPACE.vocab, 3, 3))
    fold = counts.fold(x)
    assert fold[80] == fold[3] == 0
    others = torch.arange(90) != 80
    assert bool((fold[others].diff() >= 0).all())
    assert torch.equal(fold, counts.fold(torch.nn.functional.pad(x, (0, 5)))), "NOTHING at the end changes nothing"


def test_a_walk_says_what_rows_say() -> None:
    counts, x = counted(order=5)
    x = x[(x != NOTHING).all(1)][:40]
    want = counts.along(x)
    for n in (1, len(x)):
        walk = counts.walk(x[:n, :1])
        for place in range(1, x.shape[1]):
            assert torch.allclose(walk.logits(), want[:n, place - 1], atol=1e-5)
            walk.step(x[:n, place])
    walk = counts.walk(x[:, :9])
    walk.keep(torch.tensor([3, 7]))
    assert torch.allclose(walk.logits(), want[[3, 7], 8], atol=1e-5)


def test_codes_that_were_never_seen_break_the_context_and_stop_nothing() -> None:
    x, _ = points(Tokens(20, 12), 100)
    counts = KneserNey(Grams(x, 40, 4, 3))
    strange = torch.tensor([[BEGIN, 39, 38, 5, 6, 39, 7]])
    log = counts.along(strange)
    assert bool(log.isfinite().all()) and float(log[0, 0, 39]) > -15
    walk = counts.walk(strange[:, :6])
    assert torch.allclose(walk.logits()[0], log[0, 5], atol=1e-5)


def test_what_is_saved_comes_back_and_what_does_not_fit_together_is_refused() -> None:
    counts, x = counted()
    kept = {name: tensor.clone() for name, tensor in counts.weights().items()}
    again = KneserNey.put(kept, SPACE.vocab)
    assert torch.equal(again.along(x), counts.along(x))
    with pytest.raises(FitError, match="without folds"):
        again.along(x, torch.zeros(len(x), dtype=torch.long))
    for name in kept:
        with pytest.raises(RunError, match="train it anew"):
            KneserNey.put({k: v for k, v in kept.items() if k != name}, SPACE.vocab)
        with pytest.raises(RunError, match="train it anew"):
            KneserNey.put({**kept, name: kept[name][:-1]}, SPACE.vocab)
    with pytest.raises(RunError, match="train it anew"):
        KneserNey.put({**kept, "symbol": kept["symbol"].flip(0)}, SPACE.vocab)


def test_many_codes_need_more_than_one_number_to_sort_by() -> None:
    vocab = 5000
    x = torch.randint(MARKS, vocab, (50, 12), generator=torch.Generator().manual_seed(0))
    x[:, 0] = BEGIN
    x[25:] = x[:25]
    counts = KneserNey(Grams(x, vocab, 9, 3))
    assert counts.order == 9
    assert float(counts.nats(x)[:, 1:].mean()) < 2.5
    assert torch.allclose(counts.along(x[:2]).exp().sum(2), torch.ones(()), atol=1e-4)


def test_longer_ngrams_are_left_out_where_there_would_be_too_many() -> None:
    x, _ = points(SPACE, 200)
    full = Grams(x, SPACE.vocab, 6)
    few = Grams(x, SPACE.vocab, 6, most=int(full.tree.ends[3]))
    assert few.order == 3 and np.array_equal(few.tree.ends, full.tree.ends[:4])
    assert len(few.count()) == full.tree.ends[3]


def test_nothing_to_count_is_refused() -> None:
    with pytest.raises(FitError, match="no tokens"):
        Grams(torch.zeros(4, 5, dtype=torch.long), 12, 3)


def test_the_gradient_of_the_discounts_is_that_of_finite_differences() -> None:
    x, _ = points(SPACE, 200)
    grams = Grams(x, SPACE.vocab, 4, 4)
    base, levels = discounts._observed(grams)
    at = discounts.discounts(grams.tree, grams.count())[1:, :, 1:]
    _, slope = discounts._loss(base, levels, at)
    rng = np.random.default_rng(0)
    for _ in range(5):
        way = rng.standard_normal(at.shape)
        high, low = (discounts._loss(base, levels, at + sign * 1e-5 * way)[0] for sign in (1, -1))
        assert (high - low) / 2e-5 == pytest.approx(float((slope * way).sum()), rel=1e-4)


def test_fitted_discounts_suit_rows_that_were_not_counted_better_than_the_classic_ones() -> None:
    x, _ = points(SPACE, 600)
    noisy = torch.where(torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.1, x.roll(1, 0), x)
    noisy[:, 0] = BEGIN
    noisy = torch.where(noisy == NOTHING, MARKS, noisy)
    noisy = torch.where((noisy == BEGIN) | (noisy == MORE), MARKS, noisy)
    noisy[:, 0] = BEGIN
    seen, unseen = noisy[:400], noisy[400:]
    classic, fitted = (float(KneserNey(Grams(seen, SPACE.vocab, 6, f)).nats(unseen).mean()) for f in (0, 5))
    assert fitted < classic

"""What is our own agrees with well-kept libraries that compute the same: accountant, check digits, distances, shapes.

The libraries are the extra `peers`; a test whose library is absent says so.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from karat import privacy
from karat.assays.classifier import area
from karat.assays.neighbours import distances
from karat.assays.points.diversity import coverage, recall
from karat.assays.points.fidelity import density, frechet, kernel_distance, precision, radii
from karat.assays.table.columns import Trends, shapes
from karat.assays.text.variety import MIXTURES, frontier
from karat.content.table.personal import checks
from karat.views import Columns, TableView


def peer(name: str) -> Any:
    """The module of a peer library, or a test that is skipped and says which extra holds it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"needs {name} of the extra `peers`", exc_type=ImportError)


def samples(n: int, m: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(n, d, generator=rng), 1.2 * torch.randn(m, d, generator=rng) + 0.1


@pytest.mark.parametrize("sigma", [1.0, 3.0, 12.0])
def test_the_exact_epsilon_of_gaussian_noise_is_that_of_dp_accounting(sigma: float) -> None:
    peer("dp_accounting")
    pld = pytest.importorskip("dp_accounting.pld.privacy_loss_mechanism")
    theirs = pld.GaussianPrivacyLoss(sigma).get_delta_for_epsilon(privacy.gaussian_epsilon(sigma, 1e-6))
    assert theirs == pytest.approx(1e-6, rel=1e-6)


@pytest.mark.parametrize("rho", [0.01, 0.1, 1.0])
def test_the_epsilon_of_zcdp_is_that_of_dp_accounting_over_fine_orders(rho: float) -> None:
    peer("dp_accounting")
    rdp = pytest.importorskip("dp_accounting.rdp.rdp_privacy_accountant")
    orders = 1 + np.exp(np.linspace(-3, 7, 4001))
    theirs, _ = rdp.compute_epsilon(orders, orders * rho, 1e-6)
    assert privacy.epsilon_of(rho, 1e-6) == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("rho", [0.01, 0.1, 1.0])
def test_the_noise_of_a_count_costs_in_opendp_what_we_enter_for_it(rho: float) -> None:
    dp = peer("opendp.prelude")
    dp.enable_features("contrib")
    width = privacy.noise_width(rho)
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l2_distance(T=float)
    measured = dp.m.make_gaussian(*space, width).map(1.0)
    assert measured <= rho and measured == pytest.approx(rho, rel=0.02)  # the noise is rounded up to a sixteenth


def test_discrete_gaussian_noise_has_the_law_of_opendps() -> None:
    dp = peer("opendp.prelude")
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l2_distance(T=float)
    n = 20_000
    theirs = np.array(dp.m.make_gaussian(*space, 2.0)([0] * n))
    ours = privacy.discrete_gaussian(privacy.Source(0), n, 4, 1)
    ticks = np.arange(-9, 10)
    gap = [abs((theirs <= t).mean() - (ours <= t).mean()) for t in ticks]
    assert max(gap) < math.sqrt(math.log(2 / 1e-9) / n)  # two-sample Kolmogorov-Smirnov: false once in 1e9 runs


def numbers(n: int, size: int) -> list[str]:
    rng = np.random.default_rng(size)
    return ["".join(map(str, row)) for row in rng.integers(0, 10, (n, size))]


def test_check_digits_are_those_of_stdnum() -> None:
    peer("stdnum")
    from stdnum import luhn
    from stdnum.br import cpf
    from stdnum.cn import ric
    from stdnum.es import dni
    from stdnum.iso7064 import mod_97_10
    from stdnum.pl import pesel

    for digits in numbers(200, 15):
        assert checks.luhn_digit(digits) == luhn.calc_check_digit(digits)
        assert checks.iban_digits("DE", digits) == mod_97_10.calc_check_digits(digits + "DE")
    for digits in numbers(200, 17):
        assert checks.cn_digit(digits) == ric.calc_check_digit(digits + "0")
    for digits in numbers(200, 9):
        assert checks.cpf_digits(digits) == cpf._calc_check_digits(digits)
    for digits in numbers(200, 10):
        assert checks.pesel_digit(digits) == pesel.calc_check_digit(digits)
    for digits in numbers(200, 8):
        assert checks.LETTERS_DNI[int(digits) % 23] == dni.calc_check_digit(digits)


def test_what_stdnum_finds_valid_we_find_valid_and_the_other_way() -> None:
    peer("stdnum")
    from stdnum import iban, luhn
    from stdnum.br import cpf
    from stdnum.es import dni

    kept = {
        checks.iban: (
            iban.is_valid,
            ["GB82WEST12345698765432", "DE89370400440532013000", "FR1420041010050500013M02606"],
        ),
        checks.cpf: (cpf.is_valid, ["390.533.447-05"]),
        checks.dni: (dni.is_valid, ["54362315K", "12345678Z"]),
        checks.card: (luhn.is_valid, ["4111111111111111", "5500005555555559"]),
    }
    for ours, (theirs, known) in kept.items():
        for text in known:
            assert ours(text) and theirs(text), text
            for last in "0123456789":
                other = text[:-1] + last
                assert ours(other) == theirs(other), other


def test_precision_recall_density_and_coverage_are_those_of_prdc() -> None:
    prdc = peer("prdc")
    real, made = samples(300, 250, 6)
    theirs = prdc.compute_prdc(real.numpy(), made.numpy(), nearest_k=5)
    d = distances(real, made)
    r = radii(real, 5)
    ours = {
        "precision": float(precision(d, r).mean()),
        "recall": recall(d, radii(made, 5)),
        "density": float(density(d, r, 5).mean()),
        "coverage": coverage(d, r),
    }
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_the_frechet_distance_is_that_of_torchmetrics_and_of_a_matrix_square_root() -> None:
    from scipy.linalg import sqrtm

    real, made = (x.double() for x in samples(200, 150, 8))
    a, b = np.cov(real.numpy().T), np.cov(made.numpy().T)
    gap = real.mean(0) - made.mean(0)
    known = float(gap @ gap) + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet(real, made) == pytest.approx(known, rel=1e-8)
    peer("torchmetrics")
    fid = pytest.importorskip("torchmetrics.image.fid")
    theirs = fid._compute_fid(real.mean(0), torch.cov(real.T), made.mean(0), torch.cov(made.T))
    assert frechet(real, made) == pytest.approx(float(theirs), rel=1e-8)


def test_the_kernel_distance_is_that_of_torchmetrics() -> None:
    peer("torchmetrics")
    kid = pytest.importorskip("torchmetrics.image.kid")
    real, made = samples(150, 150, 8)  # theirs takes as many of each
    assert kernel_distance(real, made) == pytest.approx(float(kid.poly_mmd(real, made)), rel=1e-4)


def test_the_area_under_the_curve_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    score, positive = rng.normal(size=500).round(1), rng.random(500) < 0.3
    assert area(score, positive) == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


def test_mauves_divergence_is_the_area_of_the_published_formula() -> None:
    """Pillutla et al., eq. 3: the curve of exp(-5 KL) over mixtures, closed at (0, 1) and (1, 0)."""
    from scipy.integrate import trapezoid
    from scipy.stats import entropy

    p, q = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.2, 0.2, 0.5, 0.1])
    mixed = [w * p + (1 - w) * q for w in np.linspace(1e-6, 1 - 1e-6, MIXTURES)]
    x = [0.0, *(math.exp(-5 * entropy(q, r)) for r in mixed), 1.0]
    y = [1.0, *(math.exp(-5 * entropy(p, r)) for r in mixed), 0.0]
    order = np.lexsort((-np.array(y), x))
    assert frontier(p, q) == pytest.approx(trapezoid(np.array(y)[order], np.array(x)[order]), abs=1e-9)
    assert frontier(p, p) == pytest.approx(1.0, abs=1e-9)
    # of disjoint supports w^5 over (1 - w)^5, whose area is 1 / C(10, 5) where the mixtures are many
    assert frontier(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1 / math.comb(10, 5), abs=5e-4)


def table(n: int, seed: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = 0.6 * x + rng.normal(size=n) + shift
    c = (rng.random(n) < 1 / (1 + np.exp(-x - shift))).astype(float) + (rng.random(n) < 0.2)
    return np.stack([x, y, c], 1), c


def test_shapes_and_pairs_of_columns_are_those_of_sdmetrics() -> None:
    peer("sdmetrics")
    import pandas as pd
    from sdmetrics.column_pairs import ContingencySimilarity, CorrelationSimilarity
    from sdmetrics.single_column import KSComplement, TVComplement

    columns = Columns(("x", "y", "c"), ((), (), ("a", "b", "d")))
    real, made = (table(400, seed, shift)[0] for seed, shift in ((0, 0.0), (1, 0.4)))
    ours = shapes(TableView(columns, real), TableView(columns, made))
    frames = [
        pd.DataFrame({"x": v[:, 0], "y": v[:, 1], "c": np.array(["a", "b", "d"])[v[:, 2].astype(int)]})
        for v in (real, made)
    ]
    a, b = frames
    theirs = [KSComplement.compute(a[n], b[n]) for n in "xy"] + [TVComplement.compute(a["c"], b["c"])]
    assert ours == pytest.approx(theirs, abs=1e-9)
    trends = Trends(TableView(columns, real), [(0, 1)])
    theirs = CorrelationSimilarity.compute(a[["x", "y"]], b[["x", "y"]], coefficient="Spearman")
    assert trends.of(TableView(columns, made))[0] == pytest.approx(theirs, abs=1e-9)
    two = Columns(("c", "e"), (("a", "b", "d"), ("a", "b", "d")))
    real2, made2 = (np.stack([v[:, 2], np.roll(v[:, 2], 1)], 1) for v in (real, made))
    names = np.array(["a", "b", "d"])
    frames = [pd.DataFrame({n: names[v[:, j].astype(int)] for j, n in enumerate("ce")}) for v in (real2, made2)]
    pairs = Trends(TableView(two, real2), [(0, 1)])
    assert pairs.of(TableView(two, made2))[0] == pytest.approx(ContingencySimilarity.compute(*frames), abs=1e-9)

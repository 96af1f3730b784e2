"""What is our own agrees with well-kept libraries that compute the same: accountant, check digits, distances, shapes.

python-stdnum, prdc and torchmetrics come with the extra `dev`. Of the others (the extra `peers`), which are large or want older
versions of what we use, the values are kept in `peers.json`: each check uses them, and where the library is installed what it
computes must be what is kept. `python tests/assays/test_peers.py` asks the libraries that are there and writes them again.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from karat import privacy
from karat.assays.chance import wilson
from karat.assays.classifier import area
from karat.assays.neighbours import distances
from karat.assays.points.diversity import coverage, recall
from karat.assays.points.fidelity import density, frechet, kernel_distance, precision, radii
from karat.assays.points.neighbourhoods import prdc
from karat.assays.table.attacks import trying
from karat.assays.table.columns import Trends, shapes
from karat.assays.text.variety import divergence_curve, frontier
from karat.content.table.personal import checks
from karat.views import Columns, TableView

KEPT = Path(__file__).with_name("peers.json")
VALUES: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))


def peer(name: str) -> Any:
    """The module of a peer library of the extra `dev`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"needs {name} of the extra `dev`", exc_type=ImportError)


def accounting(sigma: float, rho: float) -> list[float]:
    """Our epsilon of Gaussian noise at 1e-6 and their delta for it; their epsilon of zCDP at 1e-6 over fine orders."""
    from dp_accounting.pld.privacy_loss_mechanism import GaussianPrivacyLoss
    from dp_accounting.rdp.rdp_privacy_accountant import compute_epsilon

    orders = 1 + np.exp(np.linspace(-3, 7, 4001))
    ours = privacy.gaussian_epsilon(sigma, 1e-6)
    return [
        ours,
        float(GaussianPrivacyLoss(sigma).get_delta_for_epsilon(ours)),
        float(compute_epsilon(orders, orders * rho, 1e-6)[0]),
    ]


def gaussian(width: float) -> Any:
    """OpenDP's discrete Gaussian noise on whole numbers."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    return dp.m.make_gaussian(dp.vector_domain(dp.atom_domain(T=int)), dp.l2_distance(T=float), width)


def cost(rho: float) -> list[float]:
    """The width of noise that we would give a count, and the zCDP that it costs by theirs."""
    width = privacy.noise_width(rho)
    return [width, float(gaussian(width).map(1.0))]


DRAWS, TICKS = 20_000, np.arange(-9, 10)


def noise() -> list[float]:
    """How often noise of width 2 is at most each tick."""
    draws = np.array(gaussian(2.0)([0] * DRAWS))
    return [float((draws <= t).mean()) for t in TICKS]


def columns() -> list[float]:
    """Shapes of three columns, the correlation of two numbers and the contingency of two categories."""
    import pandas as pd
    from sdmetrics.column_pairs import ContingencySimilarity, CorrelationSimilarity
    from sdmetrics.single_column import KSComplement, TVComplement

    names = np.array(["a", "b", "d"])
    a, b = (pd.DataFrame({"x": v[:, 0], "y": v[:, 1], "c": names[v[:, 2].astype(int)]}) for v in both())
    shape = [KSComplement.compute(a[n], b[n]) for n in "xy"] + [TVComplement.compute(a["c"], b["c"])]
    pair = CorrelationSimilarity.compute(a[["x", "y"]], b[["x", "y"]], coefficient="Spearman")
    twice = [pd.DataFrame({n: names[v[:, j].astype(int)] for j, n in enumerate("ce")}) for v in beside()]
    return [float(x) for x in (*shape, pair, ContingencySimilarity.compute(*twice))]


def mauve(p: list[int], q: list[int]) -> list[Any]:
    """The area under the divergence frontier and every fourth of its points, as the authors' package computes them."""
    from mauve.compute_mauve import compute_area_under_curve, get_divergence_curve_for_multinomials

    weights = np.linspace(1e-6, 1 - 1e-6, 25)
    curve = get_divergence_curve_for_multinomials(np.array(p) / sum(p), np.array(q) / sum(q), weights, 5)
    x, y = curve[np.argsort(curve[:, 0])].T
    u, v = curve[np.argsort(curve[:, 1])].T
    area = (compute_area_under_curve(x, y) + compute_area_under_curve(v, u)) / 2
    return [float(area), curve[::4].tolist()]


HISTOGRAMS = {
    "overlapping": ([5, 3, 2, 0], [2, 2, 5, 1]),
    "near": ([40, 25, 20, 10, 5], [38, 27, 18, 12, 5]),
    "reversed": ([1, 2, 4, 8, 16, 32], [32, 16, 8, 4, 2, 1]),
    "a mode lost": ([10, 10, 10, 10], [15, 15, 10, 0]),
    "a mode invented": ([15, 15, 10, 0], [10, 10, 10, 10]),
    "disjoint": ([1, 0], [0, 1]),
    "equal": ([3, 5, 2], [3, 5, 2]),
}
COUNTS = ((0, 50), (1, 500), (37, 500), (480, 500), (12, 2000))  # attacks that succeed, of how many


EVERY = 2000  # more descriptions than there are, so that none is left out


def targets() -> list[pd.DataFrame]:
    """Training, control and made rows, half of which are training rows, slightly altered."""
    rng = np.random.default_rng(7)

    def rows(n: int) -> pd.DataFrame:
        town = rng.choice(list("abcdef"), n, p=[0.5, 0.2, 0.1, 0.1, 0.06, 0.04])
        income, hours = rng.lognormal(3, 0.6, n), 20 + 20 * rng.random(n)
        job = np.where(rng.random(n) < 0.6, np.char.add("j", np.round(hours / 8).astype(int).astype(str)), "none")
        return pd.DataFrame({"town": town, "income": income, "job": job, "hours": hours, "age": rng.normal(40, 12, n)})

    train, control, made = rows(300), rows(300), rows(300)
    made.iloc[:150] = train.iloc[:150]
    made.loc[:149, ["income", "hours", "age"]] *= 1 + 0.002 * rng.standard_normal((150, 3))
    train.loc[:2, "town"], control.loc[:1, "town"], made.loc[9, "job"] = ["x", "y", "z"], ["z", "w"], "j9"
    made.loc[[7, 8], "town"] = ["x", "y"]
    return [train, control, made]


def tries() -> dict[str, list[float]]:
    """By attack on those rows: its successes on training and on control rows, the risk beyond control, and its interval."""
    from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator

    train, control, made = targets()
    same = {"ori": train, "syn": made, "control": control, "n_attacks": 300}
    halves = (["town", "income"], ["job", "hours", "age"])
    told = {"town": False, "job": False, "hours": True}
    asked = {
        "singling out": SinglingOutEvaluator(**{**same, "n_attacks": EVERY}).evaluate(mode="univariate"),
        "linkability": LinkabilityEvaluator(**same, aux_cols=halves).evaluate(n_jobs=1),
        **{
            name: InferenceEvaluator(
                **same, aux_cols=[c for c in made if c != name], secret=name, regression=number
            ).evaluate(n_jobs=1)
            for name, number in told.items()
        },
    }
    out = {}
    for name, one in asked.items():
        found, risk = one.results(), one.risk()
        out[name] = [float(x) for x in (found.n_success, found.n_control, risk.value, *risk.ci)]
    return out


def attacks(count: int, n: int) -> list[float]:
    """The success rate of an attack and its error at 95%."""
    from anonymeter.stats.confidence import success_rate

    return [float(x) for x in success_rate(n, count, 0.95)]


ASKED: dict[str, Callable[[], Any]] = {  # by the library's name and what is asked of it
    "dp-accounting": lambda: {
        f"{sigma}, {rho}": accounting(sigma, rho) for sigma, rho in ((1.0, 0.01), (3.0, 0.1), (12.0, 1.0))
    },
    "opendp": lambda: {"cost": {str(rho): cost(rho) for rho in (0.01, 0.1, 1.0)}, "noise": noise()},
    "sdmetrics": columns,
    "anonymeter": lambda: {**{f"{count} of {n}": attacks(count, n) for count, n in COUNTS}, "attacks": tries()},
    "mauve-text": lambda: {name: mauve(p, q) for name, (p, q) in HISTOGRAMS.items()},
}


def kept(library: str) -> Any:
    """The values of a library of the extra `peers` as they were computed once."""
    return VALUES[library]["values"]


def installed(library: str) -> str:
    """Its version, or "" where it is not installed."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def numbers_of(values: Any) -> list[float]:
    if isinstance(values, dict | list):
        return [x for each in (values.values() if isinstance(values, dict) else values) for x in numbers_of(each)]
    return [float(values)]


@pytest.mark.skipif(not any(map(installed, ASKED)), reason="needs a library of the extra `peers`")
def test_what_is_kept_of_a_peer_is_what_it_computes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for library in filter(installed, ASKED):
            exact = (
                1e-6 if library != "opendp" else math.sqrt(2 * math.log(2 / 1e-9) / DRAWS)
            )  # its noise is drawn anew
            assert numbers_of(ASKED[library]()) == pytest.approx(numbers_of(kept(library)), abs=exact), library


def samples(n: int, m: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(n, d, generator=rng), 1.2 * torch.randn(m, d, generator=rng) + 0.1


@pytest.mark.parametrize("sigma, rho", [(1.0, 0.01), (3.0, 0.1), (12.0, 1.0)])
def test_the_epsilon_of_gaussian_noise_and_of_zcdp_is_that_of_dp_accounting(sigma: float, rho: float) -> None:
    asked, delta, epsilon = kept("dp-accounting")[f"{sigma}, {rho}"]
    assert privacy.gaussian_epsilon(sigma, 1e-6) == pytest.approx(asked, rel=1e-9) and delta == pytest.approx(
        1e-6, rel=1e-6
    )
    assert privacy.epsilon_of(rho, 1e-6) == pytest.approx(epsilon, rel=1e-5)


@pytest.mark.parametrize("rho", [0.01, 0.1, 1.0])
def test_the_noise_of_a_count_costs_in_opendp_what_we_enter_for_it(rho: float) -> None:
    asked, measured = kept("opendp")["cost"][str(rho)]
    assert privacy.noise_width(rho) == pytest.approx(asked, rel=1e-12)
    assert measured <= rho and measured == pytest.approx(rho, rel=0.02)  # the noise is rounded up to a sixteenth


def test_discrete_gaussian_noise_has_the_law_of_opendps() -> None:
    ours = privacy.discrete_gaussian(privacy.Source(0), DRAWS, 4, 1)
    gap = [abs(theirs - (ours <= t).mean()) for t, theirs in zip(TICKS, kept("opendp")["noise"], strict=True)]
    assert max(gap) < math.sqrt(math.log(2 / 1e-9) / DRAWS)  # two-sample Kolmogorov-Smirnov: false once in 1e9 runs


@pytest.mark.parametrize("count, n", COUNTS)
def test_how_often_an_attack_succeeds_is_known_as_well_as_anonymeter_says(count: int, n: int) -> None:
    rate, error = kept("anonymeter")[f"{count} of {n}"]
    assert wilson(count, n) == pytest.approx((max(0.0, rate - error), min(1.0, rate + error)), rel=1e-3, abs=1e-5)


def test_attacks_succeed_as_often_as_those_of_anonymeter_on_the_same_rows() -> None:
    frames = targets()
    names = tuple(frames[0].columns)
    levels = [
        () if name in ("income", "hours", "age") else tuple(sorted(set().union(*(f[name] for f in frames))))
        for name in names
    ]
    columns = Columns(names, tuple(levels))
    train, control, made = (
        TableView(
            columns,
            np.stack(
                [f[c] if not k else [k.index(x) for x in f[c]] for c, k in zip(names, levels, strict=True)], 1
            ).astype(float),
        )
        for f in frames
    )
    known = kept("anonymeter")["attacks"]
    ours = {"linkability": [trying.linked(side, made, ([0, 1], [2, 3, 4])) for side in (train, control)]}
    for name in ("town", "job", "hours"):
        ours[name] = [trying.inferred(side, made, [names.index(name)])[0] for side in (train, control)]
    found = [
        trying.Predicate(((j, sign, x),))
        for j, column in enumerate(made.values.T)
        for sign, x in single(column, bool(levels[j]))
    ]
    alone = [p for p in found if p.holds(made).sum() == 1]
    ours["singling out"] = [trying.singled(side, alone) for side in (train, control)]
    for name, (hits, held) in ours.items():
        assert [hits, held] == known[name][:2], name
        risk, error = trying.Tally(hits, n := EVERY if name == "singling out" else 300, held, n).risk
        clipped = np.clip([risk, risk - error, risk + error], 0, 1)
        assert clipped == pytest.approx(known[name][2:], rel=1e-3), name


def single(column: np.ndarray, choices: bool) -> list[tuple[int, float]]:
    """Sign and value of what may hold of one cell alone: its least, its greatest, a value that no other cell has."""
    values, counts = np.unique(column, return_counts=True)
    ends = [] if choices else [(-1, float(values[0])), (1, float(values[-1]))]
    return [*ends, *((0, float(x)) for x in values[counts == 1])]


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


@pytest.mark.parametrize("case", ["apart", "far from zero", "one point twice", "one point alone"])
def test_whole_sets_have_the_precision_recall_density_and_coverage_that_prdc_finds_in_double_precision(
    case: str,
) -> None:
    public = peer("prdc")
    real, made = (x.double() for x in samples(700, 650, 6))
    if case == "far from zero":
        real, made = real + 1000, made + 1000
    if case == "one point twice":
        made[::2] = made[1::2]
    if case == "one point alone":
        made = real[:1] + 1e-3 * made
    theirs = public.compute_prdc(real.numpy(), made.numpy(), nearest_k=5)
    assert prdc(real, made, 5)._asdict() == pytest.approx(theirs, abs=1e-12)


def test_balls_to_a_neighbour_that_there_is_not_are_refused() -> None:
    with pytest.raises(ValueError, match="k = 5 for 5 real and 9 made records"):
        prdc(torch.zeros(5, 2), torch.zeros(9, 2), 5)


@pytest.mark.parametrize("rank", [40, 5])
def test_the_frechet_distance_of_many_columns_is_that_of_a_matrix_square_root(rank: int) -> None:
    from scipy.linalg import sqrtm

    rng = torch.Generator().manual_seed(0)
    real, made = (torch.randn(90, rank, generator=rng).double() @ torch.randn(rank, 300).double() for _ in range(2))
    if rank == 40:  # of full rank
        real, made = (torch.cat([x, torch.randn(400, 300, generator=rng).double()]) for x in (real, made))
    a, b = np.cov(real.numpy().T), np.cov(made.numpy().T)
    gap = real.mean(0) - made.mean(0)
    known = float(gap @ gap) + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet(real, made) == pytest.approx(known, rel=1e-6)


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


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_the_divergence_frontier_and_its_area_are_those_of_the_published_mauve(name: str) -> None:
    p, q = (np.array(side, float) for side in HISTOGRAMS[name])
    area, points = kept("mauve-text")[name]
    assert frontier(p, q) == pytest.approx(area, abs=1e-9)
    assert divergence_curve(p, q)[::4] == pytest.approx(np.array(points), abs=1e-9)


def table(n: int, seed: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = 0.6 * x + rng.normal(size=n) + shift
    c = (rng.random(n) < 1 / (1 + np.exp(-x - shift))).astype(float) + (rng.random(n) < 0.2)
    return np.stack([x, y, c], 1), c


def both() -> list[np.ndarray]:
    return [table(400, seed, shift)[0] for seed, shift in ((0, 0.0), (1, 0.4))]


def beside() -> list[np.ndarray]:
    """Two categories, of which the second is that of the row before."""
    return [np.stack([v[:, 2], np.roll(v[:, 2], 1)], 1) for v in both()]


def test_shapes_and_pairs_of_columns_are_those_of_sdmetrics() -> None:
    columns, two = Columns(("x", "y", "c"), ((), (), ("a", "b", "d"))), Columns(("c", "e"), (("a", "b", "d"),) * 2)
    real, made = (TableView(columns, cells) for cells in both())
    real2, made2 = (TableView(two, cells) for cells in beside())
    pairs = [Trends(real, [(0, 1)]).of(made)[0], Trends(real2, [(0, 1)]).of(made2)[0]]
    assert [*shapes(real, made), *pairs] == pytest.approx(kept("sdmetrics"), abs=1e-9)


if __name__ == "__main__":
    VALUES |= {
        library: {"version": installed(library), "values": ask()}
        for library, ask in ASKED.items()
        if installed(library)
    }
    KEPT.write_text(json.dumps(VALUES, indent=1) + "\n", encoding="utf-8")

"""Tables through the real command line: refusals in a line or two, rules and given cells kept, same seed same bytes."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import karat_process

from karat import cli
from karat.run import Run

QUICK = ["--threads", "1", "--set", "model.rounds=4"]
N = 1500


def run_cli(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = 0
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    seen = capsys.readouterr()
    return code, seen.out, seen.err


def done(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What is printed by a command that must succeed."""
    code, out, err = run_cli(capsys, *arguments)
    assert code == 0, err
    return out


def orders() -> pd.DataFrame:
    """A table in which rules hold, as its file has it: every cell a string."""
    r = np.random.default_rng(3)
    start = pd.Timestamp("2021-01-01") + pd.to_timedelta(r.integers(0, 900, N), unit="D")
    end = start + pd.to_timedelta(r.integers(1, 60, N), unit="D")
    cents, qty, age = np.rint(100 * r.lognormal(3, 0.8, N)).astype(int), r.integers(1, 12, N), r.integers(16, 90, N)
    city = r.choice(["Rome", "Paris", "Bonn", "Lyon"], N)
    married = np.where((age > 20) & (r.random(N) < 0.5), "yes", "no")
    low = r.integers(300, 700, N)
    high = low + r.integers(0, 99, N)
    frame = {
        "ref": [f"R-{i:06d}" for i in range(N)],
        "start": start.strftime("%Y-%m-%d"),
        "end": end.strftime("%Y-%m-%d"),
        "price": [f"{c / 100:.2f}" for c in cents],
        "qty": qty,
        "total": [f"{c / 100:.2f}" for c in cents * qty],
        "city": city,
        "country": [{"Rome": "IT", "Bonn": "DE"}.get(c, "FR") for c in city],
        "age": age,
        "married": married,
        "spouse": np.where(married == "yes", r.choice(["works", "home"], N), ""),
        "low": [f"{x / 10:.1f}" for x in low],
        "high": [f"{x / 10:.1f}" for x in high],
        "label": r.integers(0, 2, N),
        "note": r.choice(["a", "b", ""], N),
    }
    return pd.DataFrame(frame).astype(str)


RULES = """
[columns]
age = { low = 16, high = 89 }
[[constraint]]
rule = "start < end"
[[constraint]]
rule = "total = price * qty"
[[constraint]]
rule = "low <= high"
[[constraint]]
rule = "0.01 <= price <= 2000"
[[constraint]]
unique = ["ref"]
[[constraint]]
together = ["city", "country"]
[[constraint]]
rule = "if married = 'yes' then spouse is not missing"
[[constraint]]
rule = "if married = 'no' then spouse is missing"
[[constraint]]
rule = "if age <= 20 then married = false"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with orders.csv, rules.toml and the run `run` on them."""
    folder = tmp_path_factory.mktemp("orders")
    orders().to_csv(folder / "orders.csv", index=False)
    (folder / "rules.toml").write_text(RULES)
    cli.main(
        [
            "train",
            str(folder / "orders.csv"),
            "--schema",
            str(folder / "rules.toml"),
            "--out",
            str(folder / "run"),
            *QUICK,
        ]
    )
    return folder


def kept(file: Path, count: int) -> pd.DataFrame:
    """The made rows, once every rule is checked by arithmetic on the printed cells and every cell by its form."""
    real, made = orders(), pd.read_csv(file, dtype=str, keep_default_na=False)
    assert len(made) == count and list(made.columns) == list(real.columns)
    cents = {
        name: made[name].str.replace(".", "", regex=False).astype(int) for name in ("price", "total", "low", "high")
    }
    age = made["age"].astype(int)
    assert (made["start"] < made["end"]).all()
    assert (cents["total"] == cents["price"] * made["qty"].astype(int)).all()
    assert (
        (cents["low"] <= cents["high"]).all() and cents["price"].between(1, 200_000).all() and age.between(16, 89).all()
    )
    assert made["ref"].is_unique and not made["ref"].isin(real["ref"]).any()
    pairs = pd.MultiIndex.from_frame(made[["city", "country"]])
    assert pairs.isin(pd.MultiIndex.from_frame(real[["city", "country"]])).all()
    assert ((made["married"] == "yes") == (made["spouse"] != "")).all()
    assert (made["married"][age <= 20] == "no").all()
    forms = {
        "ref": r"R-\d{6,}",
        "start": r"\d{4}-\d\d-\d\d",
        "end": r"\d{4}-\d\d-\d\d",
        "price": r"\d+\.\d\d",
        "qty": r"\d+",
        "total": r"\d+\.\d\d",
        "age": r"\d\d",
        "low": r"\d+\.\d",
        "high": r"\d+\.\d",
        "label": "[01]",
    }
    for name, form in forms.items():
        assert made[name].str.fullmatch(form).all(), name
    return made


@pytest.mark.parametrize("n", [5_000, pytest.param(100_000, marks=pytest.mark.exam)])
def test_every_rule_holds_in_many_rows(n: int, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done(capsys, "make", place / "run", "-n", n, "--out", place / "many.csv", "--overwrite")
    kept(place / "many.csv", n)


@pytest.mark.parametrize(
    ("given", "query"),
    [
        ("age=30..40", "age >= '30' and age <= '40'"),
        ("married=yes, city=Rome", "married == 'yes' and country == 'IT'"),
        ("qty=3, price=17.35", "total == '52.05'"),
        ("start=2022-05-05, end=2022-05-09", "start == '2022-05-05' and end == '2022-05-09'"),
        ("end=2022-03-01..2022-03-31", "end >= '2022-03-01' and end <= '2022-03-31'"),
        ("low=49.3, high=49.3", "low == '49.3' and high == '49.3'"),
        ("country!=FR", "country != 'FR'"),
        ("note=", "note == ''"),
        ("label=1", "label == '1'"),
    ],
)
def test_what_is_given_is_in_every_row(given: str, query: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done(capsys, "make", place / "run", "-n", 600, "--out", place / "given.csv", "--given", given, "--overwrite")
    made = kept(place / "given.csv", 600)
    assert len(made.query(query)) == 600


@pytest.mark.parametrize("column", ["city", "label", "married", "qty", "spouse"])
def test_values_are_balanced_to_the_row(column: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done(capsys, "make", place / "run", "-n", 660, "--out", place / "even.csv", "--balance", column, "--overwrite")
    counts = kept(place / "even.csv", 660)[column].value_counts()
    assert set(counts.index) == set(orders()[column]) - {""} and counts.max() - counts.min() <= 1


def test_partial_rows_keep_their_cells_byte_for_byte(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = orders().sample(200, random_state=1).reset_index(drop=True)
    part = real.mask(np.random.default_rng(2).random(real.shape) < 0.4, "")
    part = part[["city", "price", "country", "age", "start", "end", "qty", "married", "spouse", "low", "high", "label"]]
    part.to_csv(place / "part.csv", index=False)
    done(capsys, "make", place / "run", "--given", place / "part.csv", "--out", place / "filled.csv")
    made = kept(place / "filled.csv", 200)
    for name in part.columns:
        there = part[name] != ""
        assert (made[name][there] == part[name][there]).all(), name


def test_the_same_seed_is_the_same_bytes(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    done(capsys, "train", place / "orders.csv", "--schema", place / "rules.toml", "--out", run, *QUICK)
    assert next(run.glob("model-*")).read_bytes() == next((place / "run").glob("model-*")).read_bytes()
    for name, of, seed in (("a", place / "run", 0), ("b", run, 0), ("other", run, 5)):
        done(capsys, "make", of, "-n", 200, "--seed", seed, "--out", tmp_path / f"{name}.csv")
    made, again, other = ((tmp_path / f"{name}.csv").read_bytes() for name in ("a", "b", "other"))
    assert made == again != other


def test_a_run_makes_wherever_it_is_moved(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "run", tmp_path / "elsewhere")
    done(capsys, "make", tmp_path / "elsewhere", "-n", 50, "--seed", 3, "--out", tmp_path / "a.csv")
    done(capsys, "make", place / "run", "-n", 50, "--seed", 3, "--out", tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_fit_that_is_asked_to_stop_does_and_can_be_begun_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    r = np.random.default_rng(0)
    base = r.normal(size=(3000, 1))
    pd.DataFrame(np.round(base + r.normal(size=(3000, 16)), 3)).to_csv(tmp_path / "wide.csv", index=False)
    run = tmp_path / "run"
    fit = karat_process("train", "wide.csv", "--out", "run", "--threads", "1", cwd=tmp_path)
    fit.until(lambda: Run.is_run(run) and Run.open(run).spec["status"] == "training")
    again, _, said = run_cli(capsys, "train", run, "--threads", "1")
    assert again == 2 and "another process" in said, "two processes never work on one run"
    fit.send_signal(signal.SIGTERM)
    _, err = fit.communicate(timeout=120)
    assert fit.returncode == 143 and err.startswith("karat: stopped at") and len(err.splitlines()) <= 2, err
    assert Run.open(run).spec["status"] == "interrupted" and not list(run.glob("model-*"))
    shutil.rmtree(run)
    done(capsys, "train", tmp_path / "wide.csv", "--out", run, "--set", "model.boost=false", *QUICK)


BODY = b"".join(b"%d,%d,x%d\n" % (i, i * i % 7, i % 3) for i in range(300))
GOOD = b"a,b,c\n" + BODY


def _half_a_parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": np.arange(1000)}), out)
    return out.getvalue()[: len(out.getvalue()) // 2]


FILES = {
    "empty.csv": (b"", "is empty"),
    "mark.csv": (b"\xef\xbb\xbf", "blank"),
    "header.csv": (b"a,b\n", "no rows"),
    "open.csv": (GOOD + b'5,"open,1\n6,7,8\n', "line 302: the quote"),
    "twice.csv": (b"a,b,a\n" + BODY, "line 1 names the column 'a' twice"),
    "short.csv": (GOOD + b"1,2\n", "line 302 has 2 fields"),
    "long.csv": (GOOD + b"1,2,3,4\n", "line 302 has 4 fields"),
    "nul.csv": (GOOD + b"1,\x00,2\n", "line 302 holds a NUL byte"),
    "bytes.csv": (GOOD + b"1,2,\xff\xfe\n", "line 302 holds bytes that are not UTF-8"),
    "endless.csv": (b"a,b\n1,2\n" + b"x" * (20 * 2**20), "line 3 is longer than 16 MB"),
    "wide.csv": (b",".join(b"c%d" % i for i in range(20_000)) + b"\n", "20,000 columns"),
    "title.csv": (b"Report 2024\n\n" + GOOD, "line 3 has 3 fields where the header has 1"),
    "sheet.csv": (b"PK\x03\x04" + bytes(500), "zip archive"),
    "cut.csv.gz": (gzip.compress(GOOD)[:-50], "cut short"),
    "half.parquet": (_half_a_parquet(), "cut short or damaged"),
    "text.parquet": (GOOD, "not Parquet"),
    "half.sqlite": (b"SQLite format 3\x00" + bytes(300), "cannot be read"),
    "page.csv": (b"\n<!doctype HTML>\n<p>Log in</p>\n" * 40, "web page"),
    "rows.csv": (b'{"a": 1}\n' * 40, "JSON"),
}


def refused(capsys: pytest.CaptureFixture[str], folder: Path, said: str, *arguments: object) -> None:
    """The command ends with code 2 and one or two lines that hold `said`, and leaves nothing behind."""
    before = set(folder.rglob("*"))
    code, out, err = run_cli(capsys, *arguments)
    assert code == 2, (code, out, err)
    assert said in err and err.startswith("karat: ") and len(err.splitlines()) <= 2 and len(err) < 700, err
    assert not set(folder.rglob("*")) - before


@pytest.mark.parametrize("name", list(FILES))
def test_a_bad_file_is_named_with_what_is_wrong(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(FILES[name][0])
    for verb in ("look", "train"):
        refused(capsys, tmp_path, FILES[name][1], verb, name)
    assert name in run_cli(capsys, "train", name)[2]


SCHEMAS = {
    "[columns\n": "not valid TOML",
    '[colums]\na = { kind = "integer" }': "did you mean 'columns'?",
    '[columns]\nz = { kind = "integer" }': "line 2: unknown column: 'z'",
    '[columns]\nb = { kind = "integr" }': "did you mean 'integer'?",
    "[columns]\nb = { plces = 2 }": "did you mean 'places'?",
    '[columns]\nb = { kind = "date" }': "column 'b', row 1",
    "[columns]\nb = { low = 5, high = 1 }": "low = 5 is above high = 1",
    'target = "q"': "unknown target column",
    '[[constraint]]\nrule = "b <"': "is not understood",
    '[[constraint]]\nrule = "b < zz"': "'zz', which is no column",
    '[[constraint]]\nrule = "c < 3"': "holds no numbers",
    "[[constraint]]\nrule = \"__import__('os').getcwd() < b\"": "is no column",
    '[[constraint]]\nrul = "b < 3"': "wanted one of rule, unique, together",
    '[[constraint]]\nunique = ["b"]': "break the rule 'unique b', the first in line",
    '[[constraint]]\nrule = "b > 3"': "break the rule",
}


@pytest.mark.parametrize("text", list(SCHEMAS))
def test_a_bad_schema_is_named_with_what_is_wrong(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_bytes(GOOD)
    Path("s.toml").write_text(text)
    refused(capsys, tmp_path, SCHEMAS[text], "train", "t.csv", "--schema", "s.toml")


WISHES = [
    (["--given", "age=abc"], "'abc' is no value of 'age'"),
    (["--given", "age=17.5"], "whole numbers"),
    (["--given", "agee=3"], "the nearest is 'age'"),
    (["--given", "city=Rom"], "the nearest is 'Rome'"),
    (["--given", "city"], "no such file"),
    (["--given", "age=30..20"], "from high to low"),
    (["--given", "city=Rome, city=Bonn"], "twice"),
    (["--given", 'city="Rome'], "never closes"),
    (["--given", "age="], "no training row has 'age' missing"),
    (["--given", "city=Rome, country=FR"], "occur together"),
    (["--given", "total=0.01"], "total"),
    (["--given", "age=99"], "cannot keep both"),
    (["--given", "city=" + "x" * 5000], "no training row has it"),
    (["--given", "part.csv"], "column 'age', row 1: 'old' is no integer"),
    (["--balance", "start"], "those of few values are"),
    (["--balance", "nothing"], "no such column"),
    (["--balance", "city", "--given", "city=Rome"], "both speak of 'city'"),
    (["--balance", "city", "--given", "part.csv"], "partial rows"),
    (["--class", "Rome"], "--class: not for table content, which is asked for with --given, --balance"),
    (["-n", "0"], "at least 1"),
    (["--out", "made.ods"], "is written as .csv"),
    (["--out", "part.csv/made.csv"], "cannot write to part.csv"),
]


@pytest.mark.parametrize(("wish", "said"), WISHES)
def test_a_bad_wish_is_answered(
    wish: list[str],
    said: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("part.csv").write_text("age,city\nold,Rome\n")
    if said.startswith("'abc'") or "partial" in said:
        Path("part.csv").write_text("age,city\n30,Rome\n")
    refused(
        capsys, tmp_path, said, "make", place / "run", *(["--out", "made.csv"] if "--out" not in wish else []), *wish
    )


ORDERS = [
    (["--set", "data.colour=3"], "table data has the settings"),
    (["--set", "data.rows=0"], "at least 1"),
    (["--set", "data.target=zz"], "is no column"),
    (["--set", "data.query=select 1"], "is not a database"),
    (["--set", "data.encoding=klingon"], "is not known"),
    (["--set", "data.holdout=2.0"], "between 0 and 1"),
    (["--set", "model.leaf=-1"], "at least 0"),
    (["--set", "model.leef=3"], "Did you mean model.leaf?"),
    (["--set", "model.context=2"], "for related tables"),
    (["--epsilon", "1", "--recipe", "trees"], "the recipe marginals only"),
    (["--epsilon", "0"], "above 0"),
    (["--epsilon", "-1"], "above 0"),
    (["--epsilon", "nan"], "above 0"),
    (["--schema", "none.toml"], "cannot be read"),
    (["--out", "RUN"], "already holds a run"),
    (["--out", "t.csv"], "is a file"),
]


@pytest.mark.parametrize(("settings", "said"), ORDERS)
def test_a_bad_order_to_train_leaves_no_run(
    settings: list[str],
    said: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_bytes(GOOD)
    refused(capsys, tmp_path, said, "train", "t.csv", *(str(place / "run") if s == "RUN" else s for s in settings))


def test_an_assay_compares_like_with_like(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_bytes(GOOD)
    for real, made, said in (
        ("t.csv", "digits", "compare like with like"),
        ("digits", "t.csv", "compare like with like"),
        ("t.csv", place / "orders.csv", "that table lacks 'a', 'b', 'c'"),
        ("t.csv", "reference:alchemist", "no reference 'alchemist'"),
    ):
        code, _, err = run_cli(capsys, "assay", "--real", real, "--made", made, "--threads", "1")
        assert code == 2 and said in err and len(err.splitlines()) <= 2, err
    for wish, said in (
        (["--target", "zz"], "'zz' is no column"),
        (["-n", "3"], "too few"),
        (["--encoder", "."], "pictures"),
    ):
        code, _, err = run_cli(capsys, "assay", place / "run", *(["-n", 60] if "-n" not in wish else []), *wish)
        assert code == 2 and said in err, err


def test_data_that_changed_since_training_are_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, run = tmp_path / "t.csv", tmp_path / "run"
    file.write_bytes(GOOD)
    done(capsys, "train", file, "--out", run, *QUICK)
    for text, said in ((GOOD.replace(b"7,0,x1", b"7,5,x1"), "has changed"), (GOOD + b"900,1,x1\n", "has changed")):
        file.write_bytes(text)
        code, _, err = run_cli(capsys, "assay", run, "-n", 60)
        assert code == 2 and said in err, err
    file.unlink()
    code, _, err = run_cli(capsys, "assay", run, "-n", 60)
    assert code == 2 and "cannot be read again" in err
    file.write_bytes(GOOD)
    done(capsys, "assay", run, "-n", 60)
    report = json.loads((run / "report" / "report.json").read_text())
    assert report["findings"]

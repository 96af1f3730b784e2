"""Options are written once: the dataclass is what Python, the command line and the workflow read."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path

import pandas as pd
import pytest

import karat
from karat import cli, options
from karat.errors import DataError

KINDS = {
    "look": options.LookOptions,
    "train": options.TrainOptions,
    "assay": options.AssayOptions,
    "make": options.MakeOptions,
    "check": options.CheckOptions,
    "key": options.KeyOptions,
    "demo": options.DemoOptions,
}


def fields(kind: type) -> list[dataclasses.Field[object]]:
    return list(dataclasses.fields(kind))


@pytest.mark.parametrize("verb", KINDS)
def test_a_verb_has_the_names_and_defaults_of_its_options(verb: str) -> None:
    own = inspect.signature(getattr(karat, verb)).parameters
    wanted = {
        f.name: inspect.Parameter.empty if f.default is dataclasses.MISSING else f.default for f in fields(KINDS[verb])
    }
    assert {name: p.default for name, p in own.items()} == wanted
    assert all(not isinstance(p.annotation, str) for p in own.values()), "types, not their names"


@pytest.mark.parametrize("verb", KINDS)
def test_every_option_has_help_and_a_flag(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    described = re.findall(r"(?m)^    (\w+)\n        \S", KINDS[verb].__doc__ or "")
    assert sorted(described) == sorted(f.name for f in fields(KINDS[verb]))
    cli.main([verb, "--help"])
    told = capsys.readouterr().out
    for name in described:
        flag = {"label": "class", "n": "number"}.get(name, name.replace("_", "-"))
        assert f"--{flag}" in told, name


@pytest.mark.parametrize("verb", KINDS)
def test_an_argument_that_is_no_option_is_refused_by_its_name(verb: str) -> None:
    with pytest.raises(TypeError, match="minuts"):
        getattr(karat, verb)("digits", minuts=1)


@pytest.mark.parametrize("verb", KINDS)
def test_options_cannot_be_changed_once_they_are_given(verb: str) -> None:
    first = [] if verb in ("demo", "key") else ["digits"]
    given = KINDS[verb](*first)
    with pytest.raises(dataclasses.FrozenInstanceError):
        given.threads = 2


def test_look_measures_the_recipe_that_is_used_and_with_probe_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{k},{'ab'[k % 2]},{k * 7 % 13}" for k in range(200)]
    (tmp_path / "small.csv").write_text("\n".join(["height,kind,weight", *lines]) + "\n")
    told = karat.look(tmp_path / "small.csv", threads=1)
    assert told["recipes"][0]["minutes"] > 0
    assert all("minutes" not in row for row in told["recipes"][1:]) and len(told["recipes"]) > 1
    seen = capsys.readouterr().out
    assert "--probe measures each" in seen
    assert seen.index("columns, as inferred") < seen.index("recipes that fit"), "the data are shown first"
    none = karat.look(tmp_path / "small.csv", threads=1, probe=False)
    assert all("minutes" not in row for row in none["recipes"])


def test_a_run_makes_a_frame_or_files_that_hold_the_same(tmp_path: Path) -> None:
    lines = [f"{k % 90},{'ab'[k % 2]},{k * 7 % 13}" for k in range(300)]
    (tmp_path / "small.csv").write_text("\n".join(["height,kind,weight", *lines]) + "\n")
    run = karat.train(tmp_path / "small.csv", recipe="cart", out=tmp_path / "run", threads=1)
    assert "cart on small.csv, trained" in repr(run)
    made = run.make(20, seed=4)
    assert list(made.columns) == ["height", "kind", "weight"] and len(made) == 20
    assert made["height"].dtype.kind in "if" and set(made["kind"]) <= {"a", "b"}
    (file,) = karat.open(tmp_path / "run").make(20, seed=4, out=tmp_path / "made.csv")
    assert pd.read_csv(file).equals(made.astype(pd.read_csv(file).dtypes))
    assert set(run.make(10, given="kind=a")["kind"]) == {"a"}
    assert run.synthesizer().codec.name == "table"
    with pytest.raises(karat.KaratError, match="at least 1"):
        run.make(0)


def test_a_run_makes_by_the_defaults_of_the_verb() -> None:
    agreed = {n: p.default for n, p in inspect.signature(karat.Run.make).parameters.items() if n != "self"}
    wanted = {f.name: f.default for f in fields(options.MakeOptions)}
    assert agreed == {name: wanted[name] for name in agreed}, "the defaults of `karat.make`"


def test_few_rows_are_looked_at_and_what_training_would_need_is_said(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n,c\n" + "".join(f"{i * 7 % 11},{'ab'[i % 2]}\n" for i in range(20)))
    info = karat.look(tmp_path / "t.csv", write_schema=tmp_path / "s.toml", threads=1)
    assert (info["count"], info["recipes"]) == (20, [])
    assert [column["name"] for column in info["columns"]] == ["n", "c"]
    said = " ".join(info["warnings"])
    assert "about 200, and `train` wants 32 at least" in said and "at least 20 of each" in said
    assert "n = {" in (tmp_path / "s.toml").read_text().replace("  ", " ")
    with pytest.raises(DataError, match=r"holds 20 rows; a generator needs about 200, and never fewer than 32"):
        karat.train(tmp_path / "t.csv", out=tmp_path / "run", threads=1)


def test_a_share_to_set_aside_may_be_a_number_in_python(tmp_path: Path) -> None:
    data = tmp_path / "d.csv"
    data.write_text("a,b\n" + "\n".join(f"{i % 7},{i % 5}" for i in range(200)))
    run = karat.train(data, holdout=0.5, recipe="marginals", out=tmp_path / "run")
    spec = json.loads((tmp_path / "run" / "karat.json").read_text())
    assert run is not None and spec["holdout"] == 0.5

"""What six small data sets of all kinds give today, from `look` to the report, so that a move of code changes none of it.

Golden files hold what was seen and on which processor. There the bytes must be the same; elsewhere, where the last bits of
numbers differ, the words of `look` and the shape of the report must be. `python tests/frozen/test_frozen.py NAME...` writes
them anew: only where the commit says why.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import re
import sqlite3
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import karat
from karat import cli
from karat.run import LAYOUT, Run

GOLDEN = Path(__file__).parent / "golden"
VOLATILE = (
    "AIGC",
    "date",
    "karat",
    "torch",
    "python",
    "run",
    "threads",
    "device",
    "precision",
)  # facts that name the moment
SECONDS = ("generation cost", "computing")  # inputs of the verdict that the machine's speed decides
NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*(?:e[-+]?\d+)?)")


def pictures(folder: Path) -> list[str]:
    """Two classes of 12 x 12 grey pictures: bars that lie and bars that stand."""
    rng = np.random.default_rng(0)
    for i in range(160):
        pixels = rng.integers(0, 40, (12, 12)).astype(np.uint8)
        at = int(rng.integers(2, 9))
        if i % 2:
            pixels[at : at + 2] = 220
        else:
            pixels[:, at : at + 2] = 220
        place = folder / "bars" / ("lying" if i % 2 else "standing")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{i:03d}.png")
    return ["bars", "--steps", "12", "--recipe", "vae", "--set", "model.width=8", "--set", "train.precision=fp32"]


def sounds(folder: Path) -> list[str]:
    """Short tones of two heights."""
    rng = np.random.default_rng(1)
    (folder / "tones").mkdir()
    for i in range(80):
        high = i % 2
        t = np.arange(int(rng.integers(1800, 2400))) / 8000
        x = (
            np.sin(2 * np.pi * (880 if high else 330) * rng.uniform(0.95, 1.05) * t)
            * np.exp(-4 * t)
            * rng.uniform(0.4, 0.9)
        )
        with wave.open(str(folder / "tones" / f"{'high' if high else 'low'}_{i}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(np.rint(x * 32767).astype("<i2").tobytes())
    settings = ["--set", "model.width=8", "--set", "model.critic=0", "--set", "train.precision=fp32"]
    return ["tones", "--labels", "{label}_{n}", "--steps", "8", *settings]


def texts(folder: Path) -> list[str]:
    """Sentences of a little grammar, with their kind."""
    rng = np.random.default_rng(2)
    who, does, what = (
        ("the cat", "a dog", "my aunt"),
        ("sees", "likes", "paints"),
        ("a tree", "the sea", "old boats", "rain"),
    )
    with (folder / "notes.jsonl").open("w", encoding="utf-8") as file:
        for i in range(240):
            words = " and ".join(
                f"{who[rng.integers(3)]} {does[rng.integers(3)]} {what[rng.integers(4)]}" for _ in range(2 + i % 3)
            )
            file.write(json.dumps({"text": f"{words}, {i}."}) + "\n")
    return ["notes.jsonl", "--recipe", "ngram"]


def rows(folder: Path) -> list[str]:
    """A table with a rule in its schema, missing cells, dates, money and a key."""
    rng = np.random.default_rng(3)
    lines = ["id,joined,plan,seats,price,total,note"]
    for i in range(400):
        plan = ("basic", "team", "firm")[rng.choice(3, p=[0.5, 0.3, 0.2])]
        seats = int(rng.integers(1, 9)) * (1 if plan == "basic" else 5)
        price = {"basic": 9.5, "team": 8.0, "firm": 6.25}[plan]
        day = np.datetime64("2024-01-01") + int(rng.integers(0, 600))
        note = "" if rng.random() < 0.4 else ("late", "early", "vip")[rng.integers(3)]
        lines.append(f"{1000 + i},{day},{plan},{seats},{price:.2f},{price * seats:.2f},{note}")
    (folder / "plans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "plans.toml").write_text('[[constraint]]\nrule = "total = round(seats * price, 2)"\n', encoding="utf-8")
    return ["plans.csv", "--schema", "plans.toml", "--set", "model.rounds=20"]


def sequence(folder: Path) -> list[str]:
    """A table learned by a net, a few steps of it."""
    rng = np.random.default_rng(4)
    lines = ["x,y,kind"]
    for _ in range(300):
        x = rng.normal()
        lines.append(f"{x:.3f},{2 * x + rng.normal() / 4:.3f},{'up' if x > 0 else 'down'}")
    (folder / "lines.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["lines.csv", "--recipe", "autoregressive", "--steps", "8", "--set", "train.precision=fp32"]


def related(folder: Path) -> list[str]:
    """A database of owners and their animals."""
    rng = np.random.default_rng(5)
    with contextlib.closing(sqlite3.connect(folder / "farm.db")) as db:
        db.execute("create table owner (id integer primary key, city text)")
        db.execute(
            "create table animal (id integer primary key, owner_id integer references owner(id), kind text, kilos real)"
        )
        for i in range(120):
            city = ("Oslo", "Bergen")[rng.integers(2)]
            db.execute("insert into owner values (?, ?)", (i + 1, city))
            for _ in range(int(rng.poisson(2 if city == "Oslo" else 4))):
                kind = ("hen", "cow")[rng.integers(2)]
                kilos = round(float(rng.normal(2 if kind == "hen" else 500, 0.2 if kind == "hen" else 40)), 1)
                db.execute("insert into animal (owner_id, kind, kilos) values (?, ?, ?)", (i + 1, kind, kilos))
        db.commit()
    return ["farm.db", "--set", "model.rounds=10"]


KINDS: dict[str, Callable[[Path], list[str]]] = {
    "pictures": pictures,
    "sounds": sounds,
    "texts": texts,
    "rows": rows,
    "sequence": sequence,
    "related": related,
}
SLOW = ("pictures", "sounds", "sequence")  # a judge that learns, or a net


def processor() -> str:
    """What decides the last bits of a number."""
    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith(("cpu family", "model\t"))), "")
    versions = f"torch {torch.__version__} numpy {np.__version__}"
    versions = f"torch {torch.__version__} numpy {np.__version__}"
    return f"{platform.machine()} {model} {torch.backends.cpu.get_cpu_capability()} {versions}"


def _cpuinfo() -> list[str]:
    place = Path("/proc/cpuinfo")
    return place.read_text().splitlines() if place.is_file() else []


def said(*words: str) -> str:
    """What the command prints; it must end well."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            cli.main(words)
        except SystemExit as end:
            assert end.code in (0, None), out.getvalue()
    return out.getvalue()


def watch(name: str, folder: Path) -> dict[str, Any]:
    """Looks at, learns, makes and judges the data `name` in `folder`, the current one; all that must stay as it is."""
    source, *settings = KINDS[name](folder)
    shared = [
        w
        for pair in zip(settings[::2], settings[1::2], strict=True)
        if pair[0] in ("--schema", "--labels")
        for w in pair
    ]
    seen: dict[str, Any] = {"look": said("look", source, "--no-probe", "--threads", "1", *shared)}
    said("train", source, *settings, "--out", "run", "--threads", "1")
    goal = folder / ("made" if name in ("pictures", "sounds", "related") else _made(source))
    karat.make("run", n=24, out=goal, threads=1)
    seen["made"] = {p.name: _bytes(p) for p in (sorted(goal.iterdir()) if goal.is_dir() else [goal])}
    said("assay", "run", "-n", "200", "--threads", "1")
    report = json.loads((folder / "run" / "report" / "report.json").read_text(encoding="utf-8"))
    seen["report"] = _settled(report)
    seen["kept"] = {"layout": LAYOUT, "forms": forms(Run.open(folder / "run"))}
    return seen


def forms(run: Run) -> dict[str, list[str]]:
    """What each file of a run is made of: names and types of tensors, keys of JSON; numbers in names do not count."""
    out = {"karat.json": _keys(run.spec), "codec.json": _keys(run.get("codec.json"))}
    for name, blob in (("model", run.load_model()), ("checkpoint", run.load_checkpoint()), ("gates", run.load_gates())):
        if blob is not None:
            tensors = safetensors.torch.load(blob)
            out[name] = sorted({NUMBER.sub("#", f"{key} {tensor.dtype}") for key, tensor in tensors.items()})
    return out


def _keys(value: Any, before: str = "") -> list[str]:
    if isinstance(value, list):
        return sorted({key for each in value for key in _keys(each, before)})
    if isinstance(value, dict):
        return sorted(
            {key for name, each in value.items() for key in [f"{before}{name}", *_keys(each, f"{before}{name}.")]}
        )
    return []


def _made(source: str) -> str:
    return "made" + "".join(Path(source).suffixes)


def _bytes(path: Path) -> str:
    """The digest of a file; of what names its run, of the rest."""
    blob = path.read_bytes()
    return (
        "named"
        if b"run" in blob and path.suffix in (".png", ".wav", ".json", ".parquet")
        else hashlib.sha256(blob).hexdigest()
    )


def _settled(value: Any) -> Any:
    """The report without what names the moment, the place and the seconds."""
    if isinstance(value, dict):
        return {k: _settled(v) for k, v in value.items() if k not in (*VOLATILE, "cost", "curves", "seconds")}
    if isinstance(value, list):
        return [_settled(v) for v in value if not (isinstance(v, dict) and v.get("name") in SECONDS)]
    return value


def _worded(value: Any) -> Any:
    """The same without its numbers."""
    if isinstance(value, dict):
        return {k: _worded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_worded(v) for v in value]
    if isinstance(value, str):
        return NUMBER.sub("#", value)
    return None if isinstance(value, int | float) and not isinstance(value, bool) else value


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.exam) if n in SLOW else n for n in KINDS])
def test_nothing_changed_that_no_commit_explains(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    golden = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    told = "a file of a run has another form, or keeps another thing: raise LAYOUT in run/record.py, then write this file anew"
    seen = json.loads(json.dumps(watch(name, tmp_path)))
    assert seen["kept"] == golden["seen"]["kept"], told
    if golden["processor"] == processor():
        assert seen == golden["seen"]
    else:
        assert shape(seen) == shape(golden["seen"])


def shape(seen: dict[str, Any]) -> dict[str, Any]:
    """What no processor may change: the words of `look`, the names of the files, the parts of the report and its findings.

    What a net has learned differs from the last bits on, and with it what is raised and said of it.
    """
    report = seen["report"]
    findings = [(f["key"], f.get("table"), sorted(f)) for f in report["findings"]]
    return {"look": _worded(seen["look"]), "made": list(seen["made"]), "report": sorted(report), "findings": findings}


def main(names: list[str]) -> None:
    """Writes the golden files of `names`."""
    import tempfile

    os.environ["COLUMNS"] = "120"
    torch.set_num_threads(1)
    GOLDEN.mkdir(exist_ok=True)
    for name in names:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            seen = watch(name, Path(folder))
        before = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["seen"]["kept"]
        if seen["kept"] != before and before["layout"] == LAYOUT:
            raise SystemExit(f"{name}: what a run keeps has another form; raise LAYOUT in run/record.py first")
        text = json.dumps({"processor": processor(), "seen": seen}, indent=1, sort_keys=True, ensure_ascii=False)
        (GOLDEN / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:] or list(KINDS))

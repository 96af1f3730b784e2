"""What CONTRIBUTING shows works exactly as printed: a family, and where a date's form, a finding, a tracker and a format go."""

from __future__ import annotations

import ast
import json
import re
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import karat
from karat import cli, trackers
from karat.assays import discovery, keys, points, table, text
from karat.assays.text import texts
from karat.content import recognise
from karat.content.table.io import formats, sources
from karat.content.table.schema import datetimes as moments
from karat.content.table.tables import Tables
from karat.errors import DataError
from karat.provenance import containers
from karat.provenance.label import Label
from karat.provenance.reading import labelled, read_label
from karat.run import Run
from karat.views import TextView

TEXT = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
FAMILY = next(block for block in BLOCKS if not block.startswith("#"))
SHOWN = {m[1]: m[2] for block in BLOCKS if (m := re.match(r"# ([\w/]+\.py)[^\n]*\n(.*)", block, re.DOTALL))}


def test_each_example_is_short_and_lies_in_a_place_that_there_is() -> None:
    assert max(map(len, TEXT.splitlines())) <= 180
    assert len([line for line in FAMILY.splitlines() if line.strip()]) <= 40
    assert "arxiv.org" in FAMILY, "a family names its paper"
    assert all(len(code.splitlines()) <= 20 for code in SHOWN.values())
    for place in SHOWN:
        assert (Path(karat.__file__).parent / place).parent.is_dir(), place


def test_the_printed_family_trains_continues_makes_and_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flow.py").write_text(FAMILY, encoding="utf-8")
    command = ["train", "digits", "--family", "flow.py", "--threads", "1", "--set", "train.precision=fp32"]
    cli.main([*command, "--steps", "30", "--out", "r", "--set", "model.width=64"])
    run = Run.open(Path("r"))
    assert run.spec["status"] == "trained" and run.spec["recipe"]["model"] == {"width": 64}
    history = run.lines("history.jsonl")
    assert history[-1]["nats"] < history[0]["nats"], "it learns"
    cli.main(["train", "r", "--steps", "40", "--threads", "1"])
    files = karat.make("r", n=4, out=tmp_path / "new", threads=1)
    assert len(files) == 4
    assay = karat.assay("r", n=150, threads=1)
    assert assay.findings and "flow" in capsys.readouterr().out


def module(place: str) -> ModuleType:
    """The printed file as a module."""
    made = ModuleType(Path(place).stem)
    exec(compile(SHOWN[place], place, "exec"), made.__dict__)
    return made


def test_the_printed_form_of_dates_is_found_read_and_printed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    days = [date(2021, 3, 1) + timedelta(days=9 * i) for i in range(90)]
    cells = pa.array([d.strftime("%Y_%m_%d") for d in days])
    ones = np.ones(len(cells), np.int64)
    assert moments.find(cells, ones) is None, "today it is no date"
    form = ast.literal_eval(SHOWN["content/table/schema/datetimes.py"])
    monkeypatch.setattr(moments, "_DATES", (*moments._DATES, form))
    found = moments.find(cells, ones)
    assert found is not None and (found.kind, found.format, found.even) == ("date", form, 1.0)
    micros, _ = moments.read(cells, found.format, found.zone)
    assert micros.to_pylist()[0] == (days[0] - date(1970, 1, 1)).days * 86_400_000_000
    assert moments.write(micros, found.format, found.zone).equals(cells)


def test_the_printed_finding_is_made_beside_all_others_and_speaks_of_its_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = eval(SHOWN["assays/keys.py"], vars(keys).copy())
    assert set(row).isdisjoint(keys.KEYS)
    monkeypatch.setitem(keys.KEYS, *next(iter(row.items())))
    (tmp_path / "questions.py").write_text(SHOWN["assays/text/questions.py"], encoding="utf-8")
    monkeypatch.setattr(text, "__path__", [*text.__path__, str(tmp_path)])
    rng = np.random.default_rng(0)
    words = ["the", "sea", "was", "calm", "and", "no", "ship", "came", "to", "harbour", "we", "left", "in", "spring"]

    def passages(n: int, asking: float) -> TextView:
        ends = np.where(rng.random(n) < asking, "?", ".")
        return TextView(tuple(" ".join(rng.choice(words, 12)) + end for end in ends))

    train, unseen = passages(300, 0.1), passages(150, 0.1)
    for asking, raised in ((0.1, False), (0.9, True)):
        found = {f.key: f for f in texts.examine(train, unseen, passages(150, asking))}
        assert found["questions"].raised is raised and len(found) > 10, found["questions"].summary
    sys.modules.pop("karat.assays.text.questions", None)


@pytest.mark.parametrize("view", ["table", "points"])
def test_the_same_file_in_the_folder_of_another_view_is_found_as_well(
    view: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(keys.KEYS, *next(iter(eval(SHOWN["assays/keys.py"], vars(keys).copy()).items())))
    code = SHOWN["assays/text/questions.py"].replace('"?" in text for text in side.texts', "row > 0 for row in side.x")
    (tmp_path / "questions.py").write_text(code, encoding="utf-8")
    folder = {"table": table, "points": points}[view]
    monkeypatch.setattr(folder, "__path__", [str(tmp_path)])
    case = SimpleNamespace(made=Side(np.ones(200)), unseen=Side(np.zeros(200)))
    (found,) = discovery.examined(folder, case)
    assert found.raised and found.value == 1
    sys.modules.pop(f"karat.assays.{view}.questions", None)


@dataclass(frozen=True)
class Side:
    x: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


def test_the_printed_tracker_writes_what_a_training_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "trackers"
    folder.mkdir()
    (folder / "lines.py").write_text(SHOWN["trackers/lines.py"], encoding="utf-8")
    monkeypatch.setattr(trackers, "__path__", [*trackers.__path__, str(folder)])
    karat.train(
        "digits",
        recipe="mlp-gan",
        steps=6,
        out=tmp_path / "r",
        threads=1,
        set=["train.precision=fp32"],
        track=["lines"],
    )
    sys.modules.pop("karat.trackers.lines", None)
    lines = [json.loads(line) for line in (tmp_path / "r/lines.jsonl").read_text().splitlines()]
    assert lines and lines[-1]["step"] == 6 and "fraction" in lines[0]


def test_the_printed_format_of_tables_is_read_recognised_and_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "formats"
    folder.mkdir()
    (folder / "ltsv.py").write_text(SHOWN["content/table/io/formats/ltsv.py"], encoding="utf-8")
    data = tmp_path / "visits.ltsv"
    data.write_text("".join(f"page:{'ab'[i % 2]}\tseconds:{i % 7 + 10 * (i % 2)}\n" for i in range(120)))
    with pytest.raises(DataError):
        recognise(data)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(folder)])
    try:
        assert recognise(data) is Tables
        run = karat.train(data, steps=5, out=tmp_path / "r", threads=1)
        (made,) = run.make(50, out=tmp_path / "made.ltsv")
        again = sources.open_table(made, {})
    finally:
        sys.modules.pop("karat.content.table.io.formats.ltsv", None)
    assert again.cells.column_names[:2] == ["page", "seconds"] and again.cells.num_rows == 50
    assert set(again.cells["page"].to_pylist()) == {"a", "b"}
    assert {len(seconds) for seconds in again.cells["seconds"].to_pylist()} <= {1, 2}


def test_the_printed_container_keeps_one_label_that_the_verdict_reads_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    svg = module("provenance/forms/svg.py")
    row = eval(SHOWN["provenance/containers.py"], {**vars(containers), "svg": svg})
    picture, label = b"<svg xmlns='http://www.w3.org/2000/svg'/>", Label("karat", "r--1", "x", "0")
    path = tmp_path / "a.svg"
    path.write_bytes(picture)
    monkeypatch.setitem(containers.CONTAINERS, *next(iter(row.items())))
    assert labelled(path) is False
    container = containers.CONTAINERS[".svg"]
    path.write_bytes(container.write(container.write(picture, label), label))
    assert labelled(path) is True and path.read_bytes().count(b"AIGC") == 1
    found = read_label(path)
    assert found is not None and found.fields == label.fields(f"sha256:{container.digest(picture)}")
    with pytest.raises(DataError, match="no SVG"):
        container.write(b"GIF89a", label)

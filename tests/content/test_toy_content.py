"""A new kind of content is one folder, and no other line: looked at, learned, judged, made, and read again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import karat
from karat import cli, content
from karat.errors import DataError

TOY = Path(__file__).parents[1] / "toy_content"


@pytest.fixture
def dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three clouds of their own colours, with the folder that reads them beside those of the install."""
    monkeypatch.setattr(content, "__path__", [*content.__path__, str(TOY)])
    monkeypatch.delitem(sys.modules, "karat.content.dots", raising=False)
    rng = np.random.default_rng(0)
    of = rng.integers(0, 3, 240)
    places = np.clip(
        np.array([[0.2, 0.2], [0.5, 0.8], [0.8, 0.3]])[of] + 0.06 * rng.standard_normal((240, 2)), 0, 0.999
    )
    path = tmp_path / "clouds.dots"
    path.write_text(
        "".join(f"{x:.4f} {y:.4f} {('red', 'green', 'blue')[c]}\n" for (x, y), c in zip(places, of, strict=True))
    )
    return path


def test_one_folder_is_all_that_a_new_kind_of_content_needs(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = karat.train(dots, out=tmp_path / "r", threads=1)
    assert "dots of 3 colours" in capsys.readouterr().out
    assay = karat.assay(run, n=100, threads=1)
    assert {"two-sample auc", "column shapes", "missing classes", "copy rate"} <= {f.key for f in assay}
    assert not assay["missing classes"].raised
    made = karat.make(run, n=30, out=tmp_path / "new.dots", threads=1)
    assert [path.name for path in made][0] == "new.dots"
    again = content.recognise(tmp_path / "new.dots").read(tmp_path / "new.dots", {})
    assert len(again.records) == 30 and set(again.facts["colours"]) <= {"red", "green", "blue"}
    label = json.loads((tmp_path / "new.dots.label.json").read_text())
    assert "AIGC" in label and list(label["sha256"]) == ["new.dots"]
    cli.main(["assay", "--real", str(dots), "--made", "new.dots", "--threads", "1"])
    assert "missing classes" in capsys.readouterr().out


def test_a_file_of_the_new_kind_is_nobody_elses_without_its_folder(dots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert content.recognise(dots).name == "dots"
    assert content.codec_named("dots").name == "dots"
    monkeypatch.setattr(content, "__path__", content.__path__[:-1])
    with pytest.raises(DataError):
        content.recognise(dots)
    with pytest.raises(DataError, match="no codec for 'dots'"):
        content.codec_named("dots")


def test_the_folders_of_the_install_are_named_in_order_and_none_is_found_twice() -> None:
    assert content.found() == ()
    folder = Path(content.__file__).parent
    assert {path.parent.name for path in folder.glob("*/__init__.py")} == content.OURS

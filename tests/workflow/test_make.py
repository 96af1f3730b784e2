"""What is made is written as ordinary files, each labelled; the same seed gives the same bytes."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import karat
from karat.errors import FitError, RunError
from karat.provenance.containers import CONTAINERS
from karat.run import Run

TINY = [
    "train.precision=fp32",
    "model.latent=6",
    "model.width=8",
    "model.hidden=16",
    "model.components=10",
    "model.iterations=3",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return karat.train("digits", steps=60, out=tmp_path_factory.mktemp("runs") / "r", threads=1, set=TINY)


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A GAN that was not told the labels."""
    return karat.train(
        "digits",
        recipe="gan",
        steps=4,
        out=tmp_path_factory.mktemp("runs") / "g",
        threads=1,
        set=["train.precision=fp32", "model.width=8", "model.critic_width=8"],
    )


def labelled(data: bytes, run: Run) -> None:
    assert run.id in str(CONTAINERS[".png"].words(data))


def test_a_folder_of_pictures_each_with_its_label(run: Run, tmp_path: Path) -> None:
    files = karat.make(run, n=12, out=tmp_path / "new", seed=3, threads=1)
    assert len(files) == 12 and all(f.suffix == ".png" for f in files)
    for file in files:
        with Image.open(file) as picture:
            assert picture.size == (8, 8) and picture.mode == "L"
        labelled(file.read_bytes(), run)
    beside = json.loads((tmp_path / "new" / "label.json").read_text())
    assert run.id in json.dumps(beside) and all(f.name in json.dumps(beside) for f in files)
    again = karat.make(run, n=12, out=tmp_path / "again", seed=3, threads=1)
    assert [f.read_bytes() for f in files] == [f.read_bytes() for f in again], "the same seed, the same bytes"
    other = karat.make(run, n=12, out=tmp_path / "other", seed=4, threads=1)
    assert [f.read_bytes() for f in files] != [f.read_bytes() for f in other]


@pytest.mark.parametrize("name", ["x.aac", "x.csv", "x.unknown"])
def test_a_name_of_another_form_is_refused_and_makes_no_folder(run: Run, name: str, tmp_path: Path) -> None:
    with pytest.raises(FitError, match=r"written into a folder, or with a name ending in \.png"):
        karat.make(run, n=1, out=tmp_path / name, threads=1)
    assert not (tmp_path / name).exists()
    assert len(karat.make(run, n=2, out=tmp_path / "new-1.2", threads=1)) == 2


def test_making_fewer_into_a_folder_leaves_none_of_the_former(run: Run, tmp_path: Path) -> None:
    karat.make(run, n=9, out=tmp_path / "new", threads=1)
    files = karat.make(run, n=4, out=tmp_path / "new", overwrite=True, threads=1)
    assert sorted(p.name for p in (tmp_path / "new").glob("*.png")) == sorted(f.name for f in files)


def test_arrays_and_zips_hold_the_same_pictures_as_the_folder(run: Run, tmp_path: Path) -> None:
    files = karat.make(run, n=10, out=tmp_path / "new", seed=1, threads=1)
    pictures = np.stack([np.asarray(Image.open(f)) for f in files])
    karat.make(run, n=10, out=tmp_path / "x.npy", seed=1, threads=1)
    assert np.array_equal(np.load(tmp_path / "x.npy", allow_pickle=False), pictures)
    karat.make(run, n=10, out=tmp_path / "x.npz", seed=1, threads=1)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as box:
        assert np.array_equal(box["images"], pictures) and run.id in str(box["label"])
    karat.make(run, n=10, out=tmp_path / "x.zip", seed=1, threads=1)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.testzip() is None and len(archive.namelist()) == 10
        for name, picture in zip(sorted(archive.namelist()), pictures, strict=True):
            data = archive.read(name)
            labelled(data, run)
            assert np.array_equal(np.asarray(Image.open(BytesIO(data))), picture)
    assert run.id in (tmp_path / "x.npy.label.json").read_text(), "an array has no place for a label"
    for name in ("x.npz", "x.zip"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert run.id in archive.comment.decode() and not (tmp_path / f"{name}.label.json").exists()


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.zip"])
def test_the_same_seed_gives_the_same_file(run: Run, tmp_path: Path, name: str) -> None:
    karat.make(run, n=5, out=tmp_path / "a" / name, seed=1, threads=1)
    first = (tmp_path / "a" / name).read_bytes()
    karat.make(run, n=5, out=tmp_path / "b" / name, seed=1, threads=1)
    assert (tmp_path / "b" / name).read_bytes() == first


def test_one_class_on_request(run: Run, blind: Run, tmp_path: Path) -> None:
    karat.make(run, n=6, out=tmp_path / "seven.npz", label="7", threads=1)
    with np.load(tmp_path / "seven.npz", allow_pickle=False) as box:
        assert box["labels"].tolist() == [7] * 6
    with pytest.raises(FitError, match="there are: 0, 1, 2"):
        karat.make(run, n=6, out=tmp_path / "x.npz", label="eleven")
    with pytest.raises(FitError, match="its recipe was not conditional"):
        karat.make(blind, n=6, out=tmp_path / "x.npz", label="7")
    assert not (tmp_path / "x.npz").exists()


def test_a_persons_own_files_are_never_mixed_with_ours(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(RunError, match="did not make"):
        karat.make(run, n=2, out=tmp_path)
    with pytest.raises(RunError, match="is there already"):
        karat.make(run, n=2, out=tmp_path / "holiday.jpg")
    files = karat.make(run, n=2, out=tmp_path / "holiday.jpg", overwrite=True)
    assert {f.parent for f in files} == {tmp_path / "holiday"}, "several are a folder"
    assert "holiday.jpg names one picture: the 2 are files in the folder holiday" in capsys.readouterr().out
    with pytest.raises(FitError, match="written into a folder"):
        karat.make(run, n=2, out=tmp_path / "holiday.bmp")
    assert (tmp_path / "holiday.jpg").read_bytes() == b"x"


def test_the_default_place_is_in_the_run_and_the_ledger_counts(blind: Run) -> None:
    files = karat.make(blind, n=3, threads=1)
    assert {f.parent for f in files} == {blind.path / "made"}
    lines = [json.loads(line) for line in (blind.path / "ledger.jsonl").read_text().splitlines()]
    assert [line for line in lines if line.get("verb") == "make"][-1]["items"] == 3

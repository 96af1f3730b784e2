"""`karat make --sign`: every made file is signed, in a folder, alone and in shards, and is checked where the run is not."""

from __future__ import annotations

from pathlib import Path

import pytest

import karat
from karat.errors import FitError
from karat.run import Run

pytest.importorskip("cryptography", reason="signatures want karat[sign]")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "t.txt").write_text("\n\n".join(f"Line {i} of many" + ", and more" * (i % 3) + "." for i in range(200)))
    return karat.train(folder / "t.txt", recipe="ngram", out=folder / "run", threads=1)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("key") / "k"
    karat.key(out=folder, name="Example Ltd")
    return folder


def signatures(place: Path, key: Path) -> set[tuple[str, str | None]]:
    """State and signer of every file, by who has no run at hand."""
    found = karat.check(place, trust=[key]).files
    return {(one.state, result.issuer) for one in found for result in one.results if result.type == "signature"}


@pytest.mark.parametrize("shards", [None, 2])
def test_the_files_of_a_folder_are_signed_together_and_may_be_made_again(
    shards: int | None, run: Run, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / ("out" if shards is None else "out.txt")
    made = karat.make(run, n=4, out=out, sign=key, shards=shards, threads=1)
    assert signatures(out, key) == {("intact", "Example Ltd")}
    first = next(path for path in made if path.suffix == ".txt")
    first.write_text("Something else.")
    assert signatures(first, key) == {("edited", "Example Ltd")}
    first.unlink()
    if shards is None:  # shards that are whole are kept, and one that was changed is nobody's to replace
        karat.make(run, n=4, out=out, sign=key, overwrite=True, threads=1, seed=1)
        assert signatures(out, key) == {("intact", "Example Ltd")}


def test_a_file_is_signed_beside_and_neither_is_replaced_unasked(
    run: Run, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "x.jsonl"
    karat.make(run, n=4, out=out, sign=key, threads=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.jsonl", "x.jsonl.label.json", "x.jsonl.signature.json"]
    assert signatures(out, key) == {("intact", "Example Ltd")}
    (tmp_path / "x.jsonl.signature.json").rename(tmp_path / "aside")
    (found,) = karat.check(out, run=run.path).files
    assert found.state == "stripped" and "its signature was taken off" in found.says
    (tmp_path / "aside").rename(tmp_path / "x.jsonl.signature.json")
    (tmp_path / "x.jsonl.label.json").unlink()
    assert signatures(out, key) == {("stripped", "Example Ltd")}
    karat.make(run, n=4, out=out, sign=key, threads=1, seed=1, overwrite=True)
    assert signatures(out, key) == {("intact", "Example Ltd")}


def test_what_cannot_be_signed_is_refused_before_anything_is_made(run: Run, key: Path, tmp_path: Path) -> None:
    with pytest.raises(FitError, match="karat key --out"):
        karat.make(run, n=4, out=tmp_path / "x.txt", sign=tmp_path / "no", threads=1)
    with pytest.raises(FitError, match="goes with --sign"):
        karat.make(run, n=4, out=tmp_path / "x.txt", time_stamp="http://localhost", threads=1)
    assert not list(tmp_path.iterdir())

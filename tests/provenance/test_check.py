"""Stripped, edited, relabelled, signed by another key: told apart for each form, by the run, by the signature, by the label."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from contents import WRITERS
from records import spec

import karat
from karat.errors import FitError
from karat.output import BESIDE, digest_of, to_json
from karat.provenance.containers import container_of
from karat.provenance.edits import edited
from karat.provenance.label import Label, label_record
from karat.provenance.signing import Key, Signer, make_key
from karat.provenance.signing.detached import BESIDE as SIGNED
from karat.run import Run
from karat.workflow import checking

pytest.importorskip("cryptography", reason="signatures want karat[sign]")

RUN = "abc123"
OTHER = Label("someone", "theirs", "seed7", "0.1")


def label_of(path: Path) -> Label:
    return Label("karat", RUN, f"seed0-{path.stem}", "0.1")


def put_label(path: Path, label: Label) -> None:
    """As `karat make` does: inside, or in a file beside."""
    container = container_of(path.name)
    if container is not None:
        path.write_bytes(container.write(path.read_bytes(), label))
    else:
        found = digest_of(path)
        assert found is not None
        path.with_name(path.name + BESIDE).write_bytes(to_json(label_record(label, {path.name: found})))


def strip(path: Path) -> None:
    container = container_of(path.name)
    if container is not None:
        data = path.read_bytes()
        path.write_bytes(edited(data, container.put(data, None)))
    else:
        path.with_name(path.name + BESIDE).unlink()


def rewrite(path: Path) -> None:
    """As a program does that knows nothing of labels."""
    path.with_name(path.name + BESIDE).unlink(missing_ok=True)
    WRITERS[path.suffix](path, False, False)


def edit(path: Path) -> None:
    """Other content under the same label, its digest and all."""
    container, before = container_of(path.name), path.read_bytes()
    WRITERS[path.suffix](path, False, True)
    if container is not None:
        (sealed,) = {json.loads(text)["ReservedCode1"] for key, text in container.words(before) if key == "AIGC"}
        path.write_bytes(container.write(path.read_bytes(), label_of(path), lambda *_: sealed))


def relabel(path: Path) -> None:
    put_label(path, OTHER)


HARM: dict[str, tuple[Callable[[Path], None], str]] = {
    "untouched": (lambda _: None, "intact"),
    "stripped": (strip, "stripped"),
    "rewritten": (rewrite, "stripped"),
    "edited": (edit, "edited"),
    "relabelled": (relabel, "relabelled"),
}


PLAIN = (".png", ".csv", ".parquet")
SOME = [pytest.param(suffix, marks=() if suffix in PLAIN else pytest.mark.exam) for suffix in WRITERS]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key of one's own, and one of a stranger."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("Mine", "Mallory"):
        (folder / name).mkdir()
        for file, blob in make_key(name).items():
            (folder / name / file).write_bytes(blob)
            (folder / name / file).chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    """A run that remembers a file of each form, those files, and the same with a signature beside."""
    folder = tmp_path_factory.mktemp("made")
    run = Run.create(folder / "run", {**spec(), "id": RUN})
    signer = Signer(Key.read(keys / "Mine"), "0.1")
    for name in ("plain", "signed"):
        (folder / name).mkdir()
        for suffix in WRITERS:
            path = folder / name / f"{suffix[1:]}{suffix}"
            WRITERS[suffix](path, False, False)
            put_label(path, label_of(path))
            if name == "signed":
                blob = signer.beside([path], path.parent)
                assert blob is not None
                path.with_name(path.name + SIGNED).write_bytes(blob)
    checking.remember(run, sorted((folder / "plain").glob("*.*")))
    return folder


def copied(made: Path, name: str, suffix: str, to: Path) -> Path:
    for path in (made / name).glob(f"{suffix[1:]}.*"):
        shutil.copy2(path, to)
    return to / f"{suffix[1:]}{suffix}"


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(("harm", "state"), HARM.values(), ids=list(HARM))
def test_what_was_done_to_a_file_is_told_by_the_run_that_made_it(
    harm: Callable[[Path], None], state: str, suffix: str, made: Path, tmp_path: Path
) -> None:
    path = copied(made, "plain", suffix, tmp_path)
    harm(path)
    (found,) = karat.check(path, run=made / "run").files
    assert found.state == state, found.says
    record = next(result for result in found.results if result.type == "record")
    assert (record.outcome, record.validation_state) == (
        ("not_detected", "absent") if state == "edited" else ("detected", "trusted")
    )


@pytest.mark.parametrize("suffix", SOME)
@pytest.mark.parametrize(("harm", "state"), HARM.values(), ids=list(HARM))
def test_what_was_done_to_a_file_is_told_by_its_signature_alone(
    harm: Callable[[Path], None],
    state: str,
    suffix: str,
    made: Path,
    keys: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = copied(made, "signed", suffix, tmp_path)
    harm(path)
    (found,) = karat.check(path, trust=[keys / "Mine"]).files
    assert found.state == state, found.says
    (signature,) = (result for result in found.results if result.type == "signature")
    assert signature.validation_state == ("trusted" if state == "intact" else "invalid")


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_that_another_key_has_signed_is_said_to_be_so(
    suffix: str, made: Path, keys: Path, tmp_path: Path
) -> None:
    path = copied(made, "signed", suffix, tmp_path)
    blob = Signer(Key.read(keys / "Mallory"), "0.1").beside([path], path.parent)
    assert blob is not None
    path.with_name(path.name + SIGNED).write_bytes(blob)
    (found,) = karat.check(path, run=made / "run", trust=[keys / "Mine"]).files
    assert found.state == "other key" and "Mallory" in found.says


def test_a_signature_that_cannot_be_checked_here_is_said_to_be_there_and_counts_for_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)  # as where it is not installed
    path = copied(made, "signed", ".csv", tmp_path)
    (found,) = karat.check(path, run=made / "run").files
    (signature,) = (result for result in found.results if result.type == "signature")
    assert (found.state, signature.outcome, signature.validation_state) == ("intact", "detected", "absent")
    with pytest.raises(FitError, match="karat\\[sign\\]"):
        karat.key(out=tmp_path / "k")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"form": "karat signature 1", "files": {"csv.csv": 3}}'])
def test_a_damaged_signature_is_invalid_or_none(damage: bytes, made: Path, tmp_path: Path) -> None:
    path = copied(made, "signed", ".csv", tmp_path)
    path.with_name(path.name + SIGNED).write_bytes(damage)
    (found,) = karat.check(path, run=made / "run").files
    assert found.state == ("edited" if b"form" in damage else "intact")

"""`karat check` and `karat key` as a person meets them: what is said, what ends with 1, what a program reads."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from records import spec

import karat
from karat import cli
from karat.errors import FitError, RunError
from karat.output import digest, digest_of
from karat.provenance.containers import CONTAINERS
from karat.provenance.label import Label, label_record, plain_seal
from karat.run import Run
from karat.workflow import checking
from karat.worth.ledger import Entry, Ledger


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run with three pictures in its folder `made`, and a ledger of three lines."""
    monkeypatch.chdir(tmp_path)
    found = Run.create(tmp_path / "runs" / "r", spec(id="abc"))
    (found.path / "made").mkdir()
    for i in range(3):
        path = found.path / "made" / f"{i}.png"
        Image.fromarray(np.full((4, 4, 3), 40 * i, np.uint8)).save(path)
        path.write_bytes(CONTAINERS[".png"].write(path.read_bytes(), Label("karat", "abc", f"seed0-{i}", "0.1")))
        Ledger(found.path / "ledger.jsonl").append(Entry("make", f"2026-01-0{i + 1}", "ok", 1.0, 1.0, 0.0))
    files = {path.name: str(digest_of(path)) for path in (found.path / "made").iterdir()}
    record = label_record(Label("karat", "abc", "seed0", "0.1"), files)  # the folder's own label names them too
    (found.path / "made" / "label.json").write_text(json.dumps(record))
    checking.remember(found, sorted((found.path / "made").glob("*.png")))
    return found


def told(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, str]:
    code = 0
    try:
        cli.main(command)
    except SystemExit as error:
        code = int(error.code or 0)
    return code, capsys.readouterr().out


def test_a_file_is_told_by_each_technique_in_aligned_lines(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = told(capsys, "check", str(run.path / "made" / "1.png"))
    first, *lines = out.splitlines()
    assert code == 0 and first == f"{run.path / 'made' / '1.png'}: intact; as it was when it was made"
    assert lines[0] == "  label in the file  detected        trusted  karat, run abc"
    assert lines[1] == "  label beside it    not detected"
    assert len({line.index("not") for line in lines if "not" in line}) == 1


def test_what_has_no_label_is_never_called_made_by_a_human(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "own.png")
    code, out = told(capsys, "check", str(tmp_path / "own.png"))
    assert code == 0 and "no label found; that says nothing about who made it" in out and "human" not in out


def test_where_no_run_is_near_it_is_said_how_to_ask_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "far").mkdir()
    monkeypatch.chdir(tmp_path / "far")
    Image.open(run.path / "made" / "1.png").save("copy.png")
    assert "--run RUN asks whether that run made it" in told(capsys, "check", "copy.png")[1]
    out = told(capsys, "check", "copy.png", "--run", str(run.path))[1]
    assert "stripped" in out and "--run" not in out


def test_a_folder_counts_and_names_what_is_not_intact_and_strict_ends_with_1(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run.path / "made"
    assert told(capsys, "check", str(folder), "--strict")[0] == 0
    Image.open(folder / "2.png").save(folder / "2.png")
    code, out = told(capsys, "check", str(folder), "--strict")
    assert code == 1 and "3 files: 2 intact, 1 stripped" in out
    assert f"{folder / '2.png'}  stripped  its label was taken off: made as abc/seed0-2" in out
    assert told(capsys, "check", str(folder))[0] == 0


def test_a_program_reads_results_in_the_shape_of_content_provenance_checks(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = told(capsys, "check", str(run.path / "made" / "0.png"), "--json")
    found = json.loads(out)
    label = next(result for result in found["results"] if result["type"] == "label")
    assert {"type", "outcome", "validation_state", "issuer", "model", "generated_at"} <= set(label)
    assert (label["outcome"], label["validation_state"], label["issuer"]) == ("detected", "trusted", "karat")
    assert found["states"] == {"intact": 1} and found["files"][0]["results"] == found["results"]


def test_a_run_says_which_line_of_which_chain_was_harmed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "check", str(run.path), "--strict")[0] == 0
    ledger = run.path / "ledger.jsonl"
    lines = ledger.read_text().splitlines()
    ledger.write_text("\n".join([lines[0], lines[1].replace("2026-01-02", "2026-01-09"), lines[2]]) + "\n")
    code, out = told(capsys, "check", str(run.path), "--strict")
    assert code == 1 and "ledger.jsonl  BROKEN       3 lines; line 2 was changed" in out
    assert "made.jsonl    holds        1 line, unbroken, sealed by you" in out
    assert len(Ledger(ledger).entries()) == 3  # and costs nothing


@pytest.mark.parametrize("place", ["runs", "runs/r"])
def test_of_a_run_and_of_a_folder_of_runs_it_checks_what_was_made_and_none_of_what_a_run_keeps(
    run: Run, place: str, tmp_path: Path
) -> None:
    (run.path / "samples").mkdir()
    (run.path / "samples" / "1.html").write_text("<p>no whole page</p>")
    Image.open(run.path / "made" / "2.png").save(run.path / "made" / "2.png")
    found = karat.check(tmp_path / place)
    assert found.states == {"intact": 2, "stripped": 1}
    assert any(part.name.endswith("made.jsonl") and part.holds for part in found.parts)


def test_what_the_run_remembers_vouches_for_nothing_once_its_chain_is_broken(run: Run) -> None:
    path = run.path / "made.jsonl"
    path.write_text(path.read_text().replace("seed0-0", "seed0-9"))
    (found,) = karat.check(run.path / "made" / "1.png").files
    states = {result.type: result.validation_state for result in found.results}
    assert found.state == "intact" and states["record"] == "valid" and states["label"] == "valid"


def test_the_numbers_of_a_report_carry_their_label_as_a_key(run: Run, tmp_path: Path) -> None:
    numbers = {"format": 1, "title": "é, gan", "verdict": {"word": "gold", "sum": [1.5, None]}}
    found = digest(json.dumps(numbers, sort_keys=True).encode())
    label = Label("karat", "report", found[:16], "0.1")
    told = {"AIGC": label.fields(plain_seal({}, found)), **numbers}
    path = tmp_path / "report.json"
    for word, state in (("gold", "intact"), ("lead", "edited")):
        path.write_text(json.dumps(told, indent=1, ensure_ascii=False).replace("gold", word))
        (checked,) = karat.check(path).files
        assert checked.state == state and checked.results[0].outcome == "detected"


def test_what_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(FitError, match="is not there"):
        karat.check(tmp_path / "no.png")


def test_a_key_is_private_is_not_replaced_unasked_and_signs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cryptography", reason="signatures want karat[sign]")
    from karat.provenance.signing import Key

    code, out = told(capsys, "key", "--out", str(tmp_path / "k"), "--name", "Example Ltd")
    assert code == 0 and f"keep {tmp_path / 'k' / 'key.pem'} to yourself" in out
    assert stat.S_IMODE((tmp_path / "k" / "key.pem").stat().st_mode) == 0o600
    assert Key.read(tmp_path / "k").sign(b"x")
    with pytest.raises(RunError, match="is there already"):
        karat.key(out=tmp_path / "k")
    (tmp_path / "k" / "key.pem").chmod(0o644)
    with pytest.raises(FitError, match="chmod 600"):
        Key.read(tmp_path / "k")


@pytest.mark.exam
def test_rows_without_a_label_and_in_another_order_are_known_by_the_watermark_of_their_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "d.csv").write_text(
        "a,b,c\n"
        + "".join(
            f"{x:.3f},{y},{x * y:.2f}\n" for x, y in zip(rng.normal(size=1500), rng.integers(0, 40, 1500), strict=True)
        )
    )
    run = karat.train(tmp_path / "d.csv", recipe="cart", out=tmp_path / "run", threads=1)
    for name, marked in (("marked", True), ("plain", False)):
        karat.make(run, n=1000, out=tmp_path / f"{name}.csv", watermark=marked, threads=1)
        head, *rows = (tmp_path / f"{name}.csv").read_text().splitlines()
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows.csv").write_text("\n".join([head, *reversed(rows)]) + "\n")
        (found,) = karat.check(tmp_path / name / "rows.csv", run=run.path).files
        mark = next(result for result in found.results if result.type == "watermark")
        assert found.state == "edited", "the rows are known, in whatever order"
        assert mark.outcome == ("detected" if marked else "not_detected")
        assert not marked or mark.false_positive_rate == 0.001

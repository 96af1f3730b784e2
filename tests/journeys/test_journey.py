"""From raw files to a verdict, on real data small enough for a laptop, in Python and by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_digits

import karat
from karat import cli
from karat.options import ReviewOptions
from karat.provenance.reading import read_label
from karat.run import Run
from karat.workflow.people.reviewing import looked

TINY = ["model.components=40", "model.iterations=5"]


def test_digits_to_a_verdict_in_python(tmp_path: Path) -> None:
    run = karat.train("digits", steps=110, out=tmp_path / "r", threads=1, set=["train.precision=fp32", *TINY])
    assert isinstance(run, Run) and run.spec["status"] == "trained"
    assay = karat.assay(run, n=400, threads=1)
    assert assay.verdict.sentence.startswith("Unproven: nobody has said whether this data may be used")
    states = {r.name: r.state for r in assay.verdict.reasons if r.kind == "gate"}
    assert "fail" not in (states.pop("privacy"), states.pop("copying")), "110 steps give no training picture back"
    assert states == {"rights": "unknown", "labels": "pass"}
    cost = next((i for i in assay.verdict.inputs if i.name == "generation cost"), None)
    assert cost is not None and "other work included" in cost.basis, (
        "an assay draws: what one costs is known before `make`"
    )
    told = assay.to_dict()
    assert len(json.loads(json.dumps(told))["findings"]) == len(assay.findings) > 10
    for f in assay.findings:
        assert f.low <= f.high and f.real == f.real, "a finding has its interval and the score of real data"
    assert assay["coverage"].value > 0.2, "a short training is not noise"
    page = assay.save(tmp_path / "copy.html").read_text(encoding="utf-8")
    assert "<html" in page and assay.verdict.sentence.split(": ", 1)[1][:30] in page
    assert json.loads(assay.save(tmp_path / "copy.json").read_text(encoding="utf-8"))
    assert "<table" in assay._repr_html_()
    files = karat.make(run, n=5, out=tmp_path / "new", threads=1)
    assert len(files) == 5
    karat.make(run, n=4, threads=1)
    asked: list[int] = []
    for n in (4, 5):
        place = looked(run.path, ReviewOptions(run, n=n), lambda run, n: asked.append(n)).place
        assert place == run.path / "made", "and neither its label nor the record of what was made"
    assert asked == [64], "five are more than were made"
    card = tmp_path / "r" / "report" / "card.md"
    shown, label = card.read_text(encoding="utf-8"), read_label(card)
    assert shown.endswith(str(run.card())) and str(tmp_path) not in shown
    assert label is not None and label.intact and label.count == 1
    assert [f"| {f.name} |" in shown for f in assay] == [f.state != "cannot tell" for f in assay]


def test_digits_to_a_verdict_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ["--set", "model.width=8", "--set", "model.critic_width=8", "--set", "train.precision=fp32"]
    cli.main(["train", "digits", "--recipe", "gan", "--samples", "3000", "--threads", "1", *settings])
    assert Run.is_run(tmp_path / "runs" / "digits-gan")
    cli.main(["assay", "runs/digits-gan", "-n", "300", "--threads", "1", "--require", "coverage>=0"])
    cli.main(["make", "runs/digits-gan", "-n", "3", "--threads", "1"])
    out = capsys.readouterr().out
    assert "unseen real" in out and "report:" in out and "made 3" in out
    report = tmp_path / "runs" / "digits-gan" / "report" / "report.html"
    assert report.read_text(encoding="utf-8").count("data:image/png") > 3, (
        "made, real, by class and as training went on"
    )


def test_a_reference_of_known_worth_is_judged_without_training(tmp_path: Path) -> None:
    assay = karat.assay(real="digits", made="reference:noise", n=100, out=tmp_path / "report", threads=1)
    assert {"precision", "two-sample auc", "frechet distance"} <= {f.name for f in assay.findings if f.raised}
    assert assay.verdict.word == "bubble" and "almost nothing that is made looks real" in assay.verdict.sentence
    assert assay.verdict.to_dict() and (tmp_path / "report" / "report.html").is_file()


@pytest.mark.exam
def test_a_flat_folder_with_one_bad_file_in_a_hundred_trains_and_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, picture in enumerate(load_digits().images[:298]):
        Image.fromarray((picture * 15).astype("uint8")).save(folder / f"{i:04d}.png")
    (folder / "zz-not-a-picture.png").write_text("this is a text file")
    (folder / "zz-cut.png").write_bytes((folder / "0000.png").read_bytes()[:40])
    run = karat.train(str(folder), steps=110, out=tmp_path / "r", threads=1, set=["train.precision=fp32", *TINY])
    said = capsys.readouterr().out
    assert "zz-not-a-picture.png" in said and "zz-cut.png" in said, "what was skipped is listed"
    assert run.spec["status"] == "trained" and run.spec["classes"] == []
    assay = karat.assay(run, n=200, threads=1)
    assert assay.verdict.word == "unproven" and not {"usefulness", "missing classes"} & {f.name for f in assay.findings}
    (folder / "zz-third.png").write_text("one too many")
    (folder / "zz-fourth.png").write_text("two too many")
    with pytest.raises(karat.KaratError, match="zz-"):
        karat.train(str(folder), steps=5, out=tmp_path / "s", threads=1)


@pytest.mark.exam
def test_mnist_as_it_is_published_trains_and_is_judged(data_dir: Path, tmp_path: Path) -> None:
    if not (data_dir / "images" / "mnist").is_dir():
        pytest.skip("images/mnist is not in the data folder")
    mnist = str(data_dir / "images" / "mnist")
    changes = ["train.precision=fp32", "model.width=8", "model.hidden=32", "model.components=20", "model.iterations=3"]
    run = karat.train(mnist, steps=30, out=tmp_path / "r", threads=1, set=changes)
    assert run.spec["classes"] == list("0123456789")
    files = karat.make(run, n=20, out=tmp_path / "x.npz", label="7", threads=1)
    assert files[0].is_file()

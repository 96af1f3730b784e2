"""A disk that is full from some moment on: each verb says so in a line, and nothing of before is lost."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from files import tree
from shim import Shim, faults
from small import TINY

import karat
from karat.chain import Chain
from karat.errors import KaratError
from karat.review.decisions import Decision, Decisions
from karat.run import Run

FULL = os.strerror(errno.ENOSPC)


def said(act: Callable[[], Any], root: Path, at: int) -> str | None:
    """What `act` says where the disk is full from the step `at` on; None where it ended well all the same."""
    with faults(Shim(root, "write", at, errno.ENOSPC, True)):
        try:
            act()
        except KaratError as error:
            assert "\n" not in str(error)
            return str(error)
    return None


def steps(act: Callable[[], Any], root: Path) -> int:
    with faults(Shim(root, "write")) as shim:
        act()
    return shim.count


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, rng = tmp_path_factory.mktemp("full"), np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.integers(0, 9, 120), "b": rng.choice(list("xyz"), 120), "c": rng.normal(size=120)})
    table.to_csv(folder / "t.csv", index=False)
    run = karat.train(folder / "t.csv", out=folder / "r", threads=1)
    karat.make(run, n=9, out=folder / "r" / "made" / "x.csv", threads=1)
    return run


def copied(run: Run, to: Path) -> Path:
    return Path(shutil.copytree(run.path, to))


def test_a_key_is_made_whole_or_not_at_all_and_an_older_one_stays(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="keys want karat[sign]")
    karat.key(name="Old", out=tmp_path / "old")
    before = tree(tmp_path / "old")
    count = steps(lambda: karat.key(name="New", out=tmp_path / "counted"), tmp_path)
    for at in range(1, count + 1, max(1, count // 8)):
        place = tmp_path / f"new{at}"
        told = said(lambda place=place: karat.key(name="New", out=place), tmp_path, at)
        assert told is None or FULL in told
        assert (len(tree(place)) == len(before)) if told is None else not tree(place), f"full at {at}"
        told = said(lambda: karat.key(name="New", out=tmp_path / "old", overwrite=True), tmp_path, at)
        after = tree(tmp_path / "old")
        assert after == before or told is None and len(after) == len(before), f"full at {at}: old and new are not mixed"
        before = after


def test_a_review_keeps_each_decision_that_it_said_it_had(run: Run, tmp_path: Path) -> None:
    path = copied(run, tmp_path / "r")
    decisions = Decisions(path / "review" / "decisions.jsonl")
    for name in ("a", "b"):
        decisions.add(Decision("accept", "Ann", "r1", name=name))
    count = steps(lambda: decisions.add(Decision("accept", "Ann", "r1", name="c")), path)
    assert count
    for at in range(1, count + 1):
        names = [one.name for one in decisions.all()]
        told = said(lambda: decisions.add(Decision("reject", "Ann", "r1", name="d")), path, at)
        assert told is None or FULL in told
        again = Decisions(decisions.path)
        assert [one.name for one in again.all()] in (names, [*names, "d"]) and (
            told or len(list(again.all())) > len(names)
        )
        again.add(Decision("accept", "Ann", "r1", name="e"))  # when there is room again
        assert not Chain(decisions.path).audit().breaks


def test_what_is_checked_is_told_where_nothing_can_be_written(run: Run, tmp_path: Path) -> None:
    path = copied(run, tmp_path / "r")
    whole = karat.check(path).to_dict()
    with faults(Shim(tmp_path, None, 1, errno.ENOSPC, True)) as shim:
        assert karat.check(path).to_dict() == whole
    assert shim.count == 0, "check writes nothing"


def test_a_card_takes_no_others_place_by_halves(run: Run, tmp_path: Path) -> None:
    path = copied(run, tmp_path / "r")
    card, place = karat.open(path).card(), tmp_path / "card.md"
    place.write_text("before")
    count = steps(lambda: card.save(tmp_path / "other.md"), tmp_path)
    for at in range(1, count + 1):
        told = said(lambda: card.save(place), tmp_path, at)
        assert told is not None and (FULL in told or "exists" in told or "there" in told)
        assert place.read_text() == "before"
        fresh = tmp_path / f"{at}.md"
        told = said(lambda fresh=fresh: card.save(fresh), tmp_path, at)
        assert (told is not None and not fresh.exists()) or fresh.read_bytes() == (tmp_path / "other.md").read_bytes()


@pytest.mark.exam
def test_an_assay_leaves_the_report_of_before_or_a_whole_new_one(run: Run, tmp_path: Path) -> None:
    path = copied(run, tmp_path / "r")
    assay = lambda: karat.assay(path, n=60, threads=1, overwrite=True)  # noqa: E731
    assay()
    before = tree(path / "report")
    count = steps(assay, path)
    for at in range(1, count + 1, max(1, count // 6)):
        here = Path(shutil.copytree(path, tmp_path / f"full{at}"))
        old = tree(here / "report")
        told = said(lambda here=here: karat.assay(here, n=60, threads=1, overwrite=True), here, at)
        assert told is None or FULL in told, f"full at {at}"
        assert tree(here / "report") == old or (told is None and tree(here / "report").keys() == before.keys())
        assert not Chain(here / "ledger.jsonl").audit().breaks
        assert Run.open(here).load_model()


@pytest.mark.exam
def test_a_training_that_keeps_the_best_weights_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    def train(out: Path) -> Any:
        return karat.train(
            "digits", recipe="vae", steps=20, out=out, threads=1, set=[*TINY, "train.save_seconds=0"], keep_best=True
        )

    count = steps(lambda: train(tmp_path / "whole"), tmp_path)
    goal = Run.open(tmp_path / "whole").spec["models"][0]
    for at in range(1, count + 1, max(1, count // 5)):
        out = tmp_path / f"full{at}"
        told = said(lambda out=out: train(out), out, at)
        assert told is None or FULL in told, f"full at {at}"
        if not Run.is_run(out):
            train(out)
        elif Run.open(out).spec["status"] != "trained":
            karat.train(str(out), threads=1)
        assert Run.open(out).spec["models"][0] == goal, f"full at {at}: the same weights in the end"

"""What people say of made things: nothing said is lost, who does not look is named, and the numbers are what was said."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from good import COST, GOOD, PAYS, PRECISION
from PIL import Image

from karat.chain import Chain
from karat.content.showing import Passage, Pixels, Row, things
from karat.errors import DataError, FitError
from karat.options import ReviewOptions
from karat.output import digest
from karat.review.decisions import Decision, Decisions, standing
from karat.review.outcome import kappa, outcome
from karat.review.plan import promise, queue, wanted
from karat.review.session import IDLE, Session
from karat.workflow.people.preferring import compare
from karat.workflow.people.reviewing import Looked, decisions_of, mended, reviewed_of
from karat.worth.prices import Prices
from karat.worth.reviewed import Reviewed
from karat.worth.verdict import Verdict, judge


def pictures(folder: Path, n: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(n):
        grey = np.zeros((8, 8), np.uint8)
        grey[i % 8, :], grey[:, int(rng.integers(8))] = 255, 128
        Image.fromarray(grey).save(folder / f"{i:03d}.png")
    return folder


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def session(folder: Path, n: int, reviewer: str = "mei", **how: object) -> Session:
    return Session(things(folder), Decisions(folder.parent / "d.jsonl"), "5%", n, reviewer, **how)  # type: ignore[arg-type]


def look_at_all(one: Session, clock: Clock, says: Callable[[Session], tuple[str, str]], seconds: float = 1.0) -> None:
    while one.look is not None:
        one.show()
        clock.now += seconds
        one.decide(*says(one))


def careful(one: Session) -> tuple[str, str]:
    """Rejects what is scrambled, and every seventh of the made things for good."""
    assert one.look is not None
    if one.look.role == "scrambled":
        return "reject", "unrealistic"
    return ("reject", "damaged") if one.look.role != "real" and one.look.at % 7 == 0 else ("accept", "")


def test_the_plans_are_the_exact_binomial_ones_and_the_promise_has_its_interval() -> None:
    assert (wanted("5%", 10**6), wanted("1%", 10**6), wanted("all", 77), wanted("5%", 40)) == (59, 299, 77, 40)
    assert "fewer than 5.0% have one, as --plan 5% asks" in promise("5%", 59, 0)
    assert "as --plan" not in promise("5%", 58, 0) and "as --plan" not in promise("1%", 59, 0)
    assert "3.4% (95% interval 0.4% to 11.7%, Clopper-Pearson)" in promise("5%", 59, 2)
    for odd in ("5", "0%", "100%", "many"):
        with pytest.raises(FitError, match="--plan"):
            wanted(odd, 100)


def test_every_thing_is_looked_at_once_and_some_come_again_behind_their_first_look() -> None:
    looks = queue(100, 40, 30, "mei", 5)
    roles = [look.role for look in looks]
    assert (roles.count("made"), roles.count("again"), roles.count("real"), roles.count("scrambled")) == (40, 3, 3, 3)
    first = {look.at: i for i, look in enumerate(looks) if look.role == "made"}
    assert len(first) == 40
    assert all(i > first[look.at] for i, look in enumerate(looks) if look.role == "again")
    other = queue(100, 40, 30, "tom", 5)
    assert other != looks, "in another order"
    assert {x.at for x in other if x.role == "made"} == set(first), "but the same things"


def test_a_review_goes_on_where_it_was_left_and_what_was_taken_back_is_another_line(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 12)
    one = session(folder, 12)
    for answer in ("accept", "reject", "accept"):
        one.show()
        one.decide(answer)
    assert one.undo()
    again = session(folder, 12)
    assert [d.verdict for d in again.done] == ["accept", "reject"] and again.look == one.look
    lines = (tmp_path / "d.jsonl").read_text().splitlines()
    assert len(lines) == 4 and json.loads(lines[3])["verdict"] == "undo"
    assert Chain(tmp_path / "d.jsonl").audit().holds
    assert (tmp_path / "d.jsonl").stat().st_mode & 0o077 == 0
    assert not session(folder, 12, "tom").done, "another reviewer begins anew"
    assert not session(tmp_path / "p", 11).done, "as does another plan"


def test_a_decision_is_about_the_bytes_that_were_shown_and_hidden_ones_are_not_written_down(tmp_path: Path) -> None:
    folder, clock = pictures(tmp_path / "p", 12), Clock()
    real = Pixels(np.full((8, 8, 3), 7, np.uint8))
    one = session(folder, 12, reals=[real] * 3, clock=clock)
    look_at_all(one, clock, careful)
    for d in one.done:
        if d.role in ("made", "again"):
            assert d.mark == digest((folder / d.name).read_bytes())
        else:
            assert (d.name, d.mark) == ("", "")
    assert {d.role for d in one.done} == {"made", "again", "real", "scrambled"}


def test_a_pause_counts_for_two_minutes_and_is_said(tmp_path: Path) -> None:
    clock = Clock()
    one = session(pictures(tmp_path / "p", 6), 6, clock=clock)
    one.show()
    clock.now += 4000
    assert (one.decide("accept").seconds, one.done[-1].idle) == (IDLE, True)
    one.show()
    clock.now += 600
    mended = one.decide("edit", mended="x.png", mending=590.0)
    assert (mended.seconds, mended.mending, mended.idle) == (10.0, 590.0, False)


def test_acceptance_seconds_and_agreement_are_what_was_said(tmp_path: Path) -> None:
    folder, clock = pictures(tmp_path / "p", 21), Clock()
    one = session(folder, 21, clock=clock)
    look_at_all(one, clock, careful, 2.0)
    found = outcome(Decisions(tmp_path / "d.jsonl").all())
    assert (found.reviewed.accepted, found.reviewed.seen, found.faults) == (18, 21, 3)
    assert found.reviewed.seconds == pytest.approx(2.0) and not found.reviewed.stamps
    assert found.reviewers[0].scrambled == (0, 3) and all(a == b for a, b in found.reviewers[0].again)
    look_at_all(session(folder, 21, "tom", clock=clock), clock, lambda one: ("reject", "other"))
    both = outcome(Decisions(tmp_path / "d.jsonl").all())
    assert both.reviewed.accepted == 0 and len(both.between) == 21, "what one of two rejects is not accepted"
    assert "with each other" in both.reviewed.agreement


@pytest.mark.parametrize(
    ("says", "seconds", "named"),
    [
        (lambda one: ("accept", ""), 2.0, "accepted 3 of 3 things that were scrambled"),
        (careful, 0.05, "sooner than anybody can have seen them"),
    ],
)
def test_who_accepts_without_looking_is_named_with_what_shows_it(
    says: Callable[[Session], tuple[str, str]], seconds: float, named: str, tmp_path: Path
) -> None:
    folder, clock = pictures(tmp_path / "p", 15), Clock()
    look_at_all(session(folder, 15, "tom", clock=clock), clock, says, seconds)
    found = outcome(Decisions(tmp_path / "d.jsonl").all())
    assert found.reviewed.unknown and found.reviewed.seen == 0
    (stamp,) = found.reviewed.stamps
    assert named in stamp and "tom" not in stamp, "a report is shown to others"
    assert f"the reviewer 'tom' {stamp.removeprefix('a reviewer ')}: a rubber stamp" in " ".join(found.lines())
    look_at_all(session(folder, 15, "mei", clock=clock), clock, careful)
    both = outcome(Decisions(tmp_path / "d.jsonl").all())
    assert both.reviewed.seen == 15 and both.reviewed.stamps == (stamp,), "the other one's decisions count"


def test_decisions_about_what_another_model_made_do_not_count() -> None:
    made = [Decision("accept", "mei", "r", mark=f"{i}", seconds=1, model="model-a") for i in range(20)]
    assert outcome(made, "model-a").reviewed.seen == 20 and outcome(made, "model-b").reviewed.seen == 0


def test_kappa_is_cohens() -> None:
    # Cohen 1960: of 200, 25 + 60 agreed upon by chance corrected
    pairs = [(True, True)] * 45 + [(True, False)] * 15 + [(False, True)] * 25 + [(False, False)] * 15
    assert kappa(pairs) == pytest.approx((0.60 - 0.54) / (1 - 0.54))
    assert kappa([]) is None and kappa([(True, True)] * 5) is None


def test_an_undo_takes_back_ones_own_last_decision_only() -> None:
    a, b = (Decision("accept", who, "r", mark=who) for who in ("mei", "tom"))
    assert standing([a, b, replace(a, verdict="undo")]) == [b]
    assert standing([replace(a, verdict="undo"), a, b]) == [a, b]


def test_a_line_that_no_reviewer_wrote_is_no_decision(tmp_path: Path) -> None:
    kept = Decisions(tmp_path / "d.jsonl")
    kept.add(Decision("accept", "mei", "r"))
    for odd in ({"verdict": "bless"}, {"seconds": -1.0}, {"idle": "no"}, {"name": 3}):
        kept.put({"verdict": "accept", "reviewer": "mei", "review": "r", **odd})
    assert len(list(kept.all())) == 1


def test_rows_passages_and_pictures_are_things_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,age\n王芳,39\nAnn,\n")
    rows = things(tmp_path / "t.csv")
    assert [r.show() for r in rows] == [Row((("name", "王芳"), ("age", "39"))), Row((("name", "Ann"), ("age", None)))]
    assert rows[0].mark() != rows[1].mark() and rows[0].name == "t.csv:1"
    (tmp_path / "t.txt").write_text("one\n<|endoftext|>\ntwo\n")
    assert [t.show() for t in things(tmp_path / "t.txt")] == [Passage("one"), Passage("two")]
    (tmp_path / "l.jsonl").write_text(json.dumps({"text": "很长的话" * 20}, ensure_ascii=False) + "\n")
    assert [t.show() for t in things(tmp_path / "l.jsonl")] == [Passage("很长的话" * 20)]
    folder = pictures(tmp_path / "p", 3)
    for name in ("t.txt.label.json", "p/label.json", "p/signature.json", "t.csv.signature.json"):
        (tmp_path / name).write_text('[{"no": "content"}]')
    assert len(things(tmp_path)) == 2 + 2 + 1 + 3 and isinstance(things(folder)[0].show(), Pixels)
    every = [t.name for t in things(tmp_path)]
    assert every == ["l.jsonl", "p/000.png", "p/001.png", "p/002.png", "t.csv:1", "t.csv:2", "t.txt:1", "t.txt:2"]
    before = things(tmp_path).mark
    (tmp_path / "t.csv").write_text("name,age\n王芳,39\nAnne,\n")
    assert things(tmp_path).mark != before, "what was made anew is another review"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing that can be shown"):
        things(tmp_path / "empty")


def test_a_damaged_picture_is_shown_as_what_is_wrong_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"\x89PNG but no picture")
    one = session(folder, 1)
    while one.look is not None and one.look.role != "made":
        one.show()
        one.decide("reject")
    shown = one.show()
    assert isinstance(shown, Passage) and "a.png cannot be shown" in shown.text


def test_a_file_whose_name_is_no_text_is_reviewed_like_any_other(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 1)
    os.rename(folder / "000.png", os.fsencode(folder) + b"/\xff.png")
    one = session(folder, 1)
    look_at_all(one, Clock(), careful)
    assert len(session(folder, 1).done) == len(one.done) == 3


def test_a_folder_is_not_compared_with_itself(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "made", 3)
    one, again = (Looked(place, things(folder), None) for place in (folder, folder / ".." / folder.name))
    with pytest.raises(FitError, match="was named twice"):
        compare(one, again, ReviewOptions(folder))


def test_every_option_of_a_review_is_described() -> None:
    described = re.findall(r"(?m)^    (\w+)\n        \S", ReviewOptions.__doc__ or "")
    assert described == [f.name for f in fields(ReviewOptions)]


@pytest.mark.parametrize("label", ["p/label.json", "p.label.json", "p/made.csv.label.json"])
def test_what_was_mended_carries_the_label_of_what_it_was_made_from(label: str, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 1)
    (tmp_path / label).write_text('{"AIGC": {"Label": "1"}, "sha256": {"0.png": "ab"}}')
    found = Looked(folder, things(folder), None)
    assert [mended(found, "0.png", blob) for blob in (b"one", b"two")] == ["0.png", "0-2.png"]
    kept = tmp_path / "p.edited"
    beside = json.loads((kept / "0-2.png.label.json").read_text())
    assert beside["AIGC"] == {"Label": "1"} and beside["sha256"] == {"0-2.png": digest(b"two")}
    assert (kept / "0.png").read_bytes() == b"one"


# The verdict ------------------------------------------------------------------------------------------------------------


def judged(people: Reviewed | None, prices: Prices = PAYS, thing_by_thing: bool = True) -> Verdict:
    far = replace(PRECISION, value=0.8, low=0.78, high=0.82, raised=True)
    return judge([*GOOD, far], COST, prices, rights=None, labelled=True, people=people, reviewed=thing_by_thing)


def test_the_verdict_moves_as_the_acceptance_does() -> None:
    undeclared = replace(PAYS, acceptance=None, review_seconds_per_item=None)
    assert judged(None, undeclared).word == "unproven"
    assert judged(Reviewed(199, 200, 1.5, 0.1), undeclared).word == "gold"
    assert judged(Reviewed(20, 200, 1.5, 0.1), undeclared).word == "unproven"
    cheap, dear = (
        {b.name: b for b in judged(Reviewed(n, 200, 1.5, 0.1), undeclared).inputs}["accepted share"].middle()
        for n in (198, 100)
    )
    assert cheap > 0.97 and dear == pytest.approx(0.5, abs=0.02)


def test_what_was_measured_counts_in_place_of_what_is_declared_and_both_are_said() -> None:
    declared = replace(PAYS, acceptance=(50, 50), review_seconds_per_item=60.0)
    inputs = {i.name: i for i in judged(Reviewed(10, 200, 1.5, 0.1, "kappa 0.9"), declared).inputs}
    share, seconds = inputs["accepted share"], inputs["review seconds"]
    assert (share.tag, seconds.tag) == ("measured", "measured") and share.middle() < 0.1 and seconds.a == 1.5
    assert (
        "10 of 200" in share.basis
        and "kappa 0.9" in share.basis
        and "acceptance in prices.toml is not used" in share.basis
    )
    assert "review_seconds_per_item in prices.toml is not used" in seconds.basis
    rows = {i.name: i for i in judged(Reviewed(10, 200, 1.5, 0.1), PAYS, False).inputs}
    assert rows["accepted share"].middle() < 0.1, "rows that people looked at count as well"


def test_a_rubber_stamp_makes_the_acceptance_unknown_whatever_is_declared() -> None:
    stamp = "the reviewer 'tom' accepted 10 of 10 things that were scrambled and look like nothing"
    v = judge(GOOD, COST, PAYS, rights=None, labelled=True, people=Reviewed(stamps=(stamp,)))
    assert v.word == "unproven" and stamp in next(r.text for r in v.reasons if r.name == "reviewers")
    assert v.settle is not None and "karat review RUN --reviewer NAME" in v.settle.what
    assert {i.name: i.tag for i in v.inputs}["accepted share"] == "assumed"
    fine = judge(GOOD, COST, PAYS, rights=None, labelled=True, people=Reviewed(58, 59, 2.0, 0.1, "", (stamp,)))
    assert fine.word == "gold" and stamp in {i.name: i.basis for i in fine.inputs}["accepted share"]


def test_decisions_that_somebody_laid_there_or_changed_are_no_acceptance(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 12)
    own = Decisions(decisions_of(folder, None))
    clock = Clock()
    look_at_all(Session(things(folder), own, "all", 12, "mei", clock=clock), clock, careful)
    kept = own.path.read_bytes()
    assert reviewed_of(folder).seen == 12
    own.path.write_bytes(kept.replace(b'"reject"', b'"accept"'))
    changed = reviewed_of(folder)
    assert changed.unknown and "changed" in changed.stamps[0]
    own.path.with_name(f"{own.path.name}.head").unlink()
    plain = [{k: v for k, v in json.loads(line).items() if k not in ("line", "before")} for line in kept.splitlines()]
    own.path.write_text("".join(f"{json.dumps(line)}\n" for line in plain))
    assert reviewed_of(folder).unknown, "lines of no chain"
    own.path.unlink()
    assert not reviewed_of(folder).unknown, "nobody has looked"


# Several windows --------------------------------------------------------------------------------------------------------


def test_what_was_decided_in_another_window_is_taken_up_and_a_press_is_known_again(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 12)
    one, two = session(folder, 12), session(folder, 12)
    one.decide("accept", seconds=1.25, press="a1")
    assert two.look != one.look
    two.read_again()
    assert two.look == one.look and two.done[0].seconds == 1.25 and two.presses == {"a1"}
    assert two.undo("u1") and two.presses == {"a1", "u1"}
    one.read_again()
    assert not one.done and one.presses == {"a1", "u1"}, "what was taken back is still known"
    assert not session(folder, 12, "tom").presses


def test_seconds_that_a_page_measured_are_held_to_the_same_limits(tmp_path: Path) -> None:
    one = session(pictures(tmp_path / "p", 6), 6)
    assert (one.decide("accept", seconds=4000).seconds, one.done[-1].idle) == (IDLE, True)
    mended = one.decide("edit", mended="x.png", mending=9.0, seconds=10.0)
    assert (mended.seconds, mended.mending) == (1.0, 9.0)

"""A chain of records says where it was changed, and what happens to it never costs a record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from karat.chain import Chain


@pytest.fixture(autouse=True)
def key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


def chain(folder: Path, n: int = 6) -> Chain:
    found = Chain(folder / "c.jsonl")
    for i in range(1, n + 1):
        found.append({"what": f"record {i}"})
    return found


def changed(lines: list[str], i: int) -> list[str]:
    return [*lines[: i - 1], lines[i - 1].replace("record", "forged"), *lines[i:]]


HARM: dict[str, tuple[Callable[[list[str]], list[str]], list[str]]] = {
    "nothing": (lambda x: x, []),
    "the first is changed": (lambda x: changed(x, 1), ["line 1 was changed"]),
    "one is changed": (lambda x: changed(x, 3), ["line 3 was changed"]),
    "the last is changed": (lambda x: changed(x, 6), ["line 6 was changed"]),
    "the first is taken out": (lambda x: x[1:], ["line 1 was taken out"]),
    "two are taken out": (lambda x: x[:2] + x[4:], ["lines 3 to 4 were taken out"]),
    "the end is cut": (lambda x: x[:4], ["lines 5 to 6 were cut off the end"]),
    "all are taken out": (lambda x: [], ["lines 1 to 6 were cut off the end"]),
    "one is moved up": (lambda x: [x[0], x[1], x[3], x[2], *x[4:]], ["line 3 was moved"]),
    "one stands twice": (lambda x: [*x[:3], x[1], *x[3:]], ["line 2 was moved", "line 2 was put in by another hand"]),
    "one is put at the end": (lambda x: [*x, '{"what": "record 7"}'], ["line 7 was put in by another hand"]),
    "one is put in between": (lambda x: [*x[:2], '{"what": "x"}', *x[2:]], ["line 3 was put in by another hand"]),
    "one is no record any more": (lambda x: [*x[:2], "x", *x[3:]], ["line 3 was changed"]),
}


@pytest.mark.parametrize(("harm", "said"), HARM.values(), ids=list(HARM))
def test_a_chain_says_which_line_was_harmed_and_how(
    harm: Callable[[list[str]], list[str]], said: list[str], tmp_path: Path
) -> None:
    found = chain(tmp_path)
    lines = harm(found.path.read_text().splitlines())
    found.path.write_text("".join(line + "\n" for line in lines))
    assert sorted(map(str, found.audit().breaks)) == sorted(said)
    before = [str(x) for x in found.audit().breaks if x.what != "added"]  # a later line vouches for what stands there
    found.append({"what": "later"})
    assert list(found.records())[-1] == {"what": "later"}
    after = [str(x).replace("cut off the end", "taken out") for x in found.audit().breaks]
    assert [str(x).replace("cut off the end", "taken out") for x in before] == [
        x for x in after if "another hand" not in x
    ]


def test_a_head_that_goes_with_the_end_is_missed_also_after_the_next_record(tmp_path: Path) -> None:
    found = chain(tmp_path)
    found.path.write_text("".join(line + "\n" for line in found.path.read_text().splitlines()[:4]))
    found.path.with_name("c.jsonl.head").unlink()
    assert [x.what for x in found.audit().breaks] == ["head"]
    found.append({"what": "later"})
    assert found.audit().unsealed == (5,)


def test_a_chain_that_another_hand_wrote_anew_lacks_the_seal_also_after_the_next_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chain(tmp_path / "mine").audit().sealed is True
    with monkeypatch.context() as other:
        other.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
        found = chain(tmp_path / "theirs", 3)
    assert found.audit().holds and found.audit().sealed is False
    found.append({"what": "mine"})
    assert found.audit().sealed is True and found.audit().unsealed == (4,)


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_line_that_a_crash_has_torn_breaks_nothing(cut: int, tmp_path: Path) -> None:
    found = chain(tmp_path, 3)
    whole, head = found.path.read_bytes(), found.path.with_name("c.jsonl.head").read_bytes()
    found.append({"what": "torn"})
    found.path.write_bytes(found.path.read_bytes()[:-cut])
    found.path.with_name("c.jsonl.head").write_bytes(head)
    found.append({"what": "later"})
    assert found.audit().breaks == () and found.audit().unsealed == ()
    assert found.path.read_bytes().startswith(whole) and found.audit().lines == (5 if cut == 1 else 4)


def test_a_file_of_before_it_was_a_chain_goes_on_as_one(tmp_path: Path) -> None:
    found = Chain(tmp_path / "c.jsonl")
    found.path.write_text('{"what": "old"}\n\nnonsense\n')
    found.append({"what": "new"})
    found.append({"what": "newer"})
    assert found.audit().older == 2 and found.audit().holds
    assert [x["what"] for x in found.records()] == ["old", "new", "newer"]
    found.path.write_text(found.path.read_text().replace("nonsense", "Nonsense"))
    assert [str(x) for x in found.audit().breaks] == ["line 2 was changed"]


def test_a_line_longer_than_any_record_is_bound_by_the_next_one(tmp_path: Path) -> None:
    found = chain(tmp_path, 2)
    with found.path.open("a") as file:
        file.write("x" * 300_000)
    found.append({"what": "later"})
    assert found.audit().holds and found.audit().lines == 4
    assert json.loads(list(found.lines())[-1])["line"] == 4

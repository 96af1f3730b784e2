"""A folder from a stranger: what it says was made or begun there deletes nothing and writes nothing outside it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from karat.errors import RunError
from karat.output import INSIDE, STAGE, Folder, Output, digest, goes_on, to_json
from karat.provenance.label import Label, label_record
from karat.run import BEGUN, Draft

LABEL, REQUEST = Label("karat", "r", "seed0", "1"), {"n": 2}
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture
def goal(tmp_path: Path) -> Path:
    """A folder that a stranger gave, beside a file and a folder of the person's own."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    (tmp_path / "letter.txt").write_text("dear")
    (tmp_path / "goal").mkdir()
    return tmp_path / "goal"


def untouched(goal: Path) -> bool:
    return (goal.parent / "letter.txt").read_text() == (goal.parent / "mine" / "letter.txt").read_text() == "dear"


def unfinished(goal: Path, **more: Any) -> None:
    """The journal of an interrupted make of `REQUEST`, which a stranger can foresee."""
    (goal / STAGE).mkdir(exist_ok=True)
    record = {**label_record(LABEL, {}), "unfinished": digest(to_json(REQUEST)), **more}
    (goal / STAGE / INSIDE).write_text(json.dumps(record))


def made(goal: Path, overwrite: bool = False, names: tuple[str, ...] = ("a.txt", "b.txt")) -> Folder:
    with Folder(Output(overwrite), goal, LABEL, REQUEST) as folder:
        for name in names:
            folder.write(name, b"made")
    return folder


OUTSIDE = ["../letter.txt", "{}/letter.txt", "x/../../letter.txt", "../mine/letter.txt", "mine/../../mine/letter.txt"]


@pytest.mark.parametrize("name", [*OUTSIDE, "\0", "", ".", "..", "a/b/c", 5, None, ["x"]])
def test_a_journal_that_names_files_elsewhere_deletes_none_of_them(name: Any, goal: Path) -> None:
    name = name.format(goal.parent) if isinstance(name, str) else name
    unfinished(goal, leaving=[name])
    with pytest.raises(RunError, match=STAGE):
        made(goal)
    assert untouched(goal)


@pytest.mark.parametrize("name", [*OUTSIDE, "\0", "..", "a/b/c"])
def test_a_label_that_names_files_elsewhere_deletes_none_of_them(name: str, goal: Path) -> None:
    (goal / INSIDE).write_text(json.dumps(label_record(LABEL, {name.format(goal.parent): "0" * 64})))
    with pytest.raises(RunError, match="did not make"):
        made(goal, overwrite=True)
    assert untouched(goal)


@pytest.mark.parametrize("where", ["", STAGE])
def test_a_linked_folder_among_made_files_is_not_written_or_deleted_through(where: str, goal: Path) -> None:
    unfinished(goal, leaving=["sub/letter.txt"])
    (goal / where / "sub").symlink_to(goal.parent / "mine")
    with pytest.raises(RunError, match="sub"):
        made(goal, names=("sub/letter.txt", "sub/new.txt"))
    assert untouched(goal) and os.listdir(goal.parent / "mine") == ["letter.txt"]


@pytest.mark.parametrize("text", [DEEP, "[]", "{}", '{"sha256": []}', "\ud800".encode("utf-16-le", "surrogatepass")])
def test_a_label_that_is_none_is_not_believed(text: str | bytes, goal: Path) -> None:
    (goal / STAGE).mkdir()
    for place in (goal / INSIDE, goal / STAGE / INSIDE):
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert not goes_on(goal, REQUEST)
    with pytest.raises(RunError, match="did not make"):
        made(goal, overwrite=True)


@pytest.mark.parametrize("where", [INSIDE, f"{STAGE}/{INSIDE}"])
def test_a_pipe_in_place_of_a_label_is_not_waited_for(where: str, goal: Path) -> None:
    (goal / STAGE).mkdir()
    os.mkfifo(goal / where)
    assert not goes_on(goal, REQUEST)
    with pytest.raises(RunError):
        made(goal)


def test_a_hidden_folder_that_karat_did_not_make_stays(goal: Path) -> None:
    (goal / STAGE).mkdir()
    (goal / STAGE / "novel.txt").write_text("mine")
    with pytest.raises(RunError, match=STAGE):
        made(goal)
    assert (goal / STAGE / "novel.txt").read_text() == "mine"


def test_an_interrupted_make_still_goes_on_and_one_of_another_request_gives_way(goal: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Folder(Output(), goal, LABEL, REQUEST) as folder:
        folder.write("sub/a.txt", b"made")
        folder.flush()
        raise KeyboardInterrupt
    assert goes_on(goal, REQUEST)
    assert made(goal, names=("sub/a.txt", "b.txt")).paths[0].read_bytes() == b"made"
    (goal / STAGE).mkdir()  # killed between the folder and its journal
    (goal / STAGE / ".0123456789abcdef.01234567.part").write_bytes(b"half")
    made(goal, overwrite=True)
    unfinished(goal, unfinished="0" * 64)
    made(goal, overwrite=True)
    assert sorted(os.listdir(goal)) == ["a.txt", "b.txt", INSIDE]


@pytest.mark.parametrize("name", ["x/../new.txt", "x/../goal/new.txt", "x/y/../../new.txt"])
def test_a_way_back_through_a_folder_that_is_not_there_leaves_no_folder_behind(name: str, goal: Path) -> None:
    with pytest.raises(RunError, match="not there"):
        Output().write(goal / name, b"made")
    Output().write(goal / ".." / "goal" / "new.txt", b"made")
    assert os.listdir(goal) == ["new.txt"]


# A run that was begun -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [[".."], ["../mine"], ["mine"], ["{}/mine"], ["\0"], ["."], [""], "letter.txt", {"..": 1}, [5], DEEP]
)
def test_a_folder_that_says_a_run_was_begun_in_it_loses_only_what_a_run_begins_with(names: Any, goal: Path) -> None:
    (goal / "mine").mkdir()
    (goal / "mine" / "letter.txt").write_text("dear")
    said = names if names is DEEP else json.dumps(names).replace("{}", str(goal.parent))
    (goal / BEGUN).write_text(said)
    with pytest.raises(RunError, match="which is no run"), Draft(goal):
        pass
    assert untouched(goal) and (goal / "mine" / "letter.txt").read_text() == "dear"

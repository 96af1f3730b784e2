"""A run from a stranger runs no code, reads and writes nothing outside itself unasked, and damage is said in a line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import karat
from karat import cli
from karat.content.table.io.sql import read_database
from karat.errors import DataError, FitError, RunError
from karat.run import Run
from karat.trust import answered_for, signed

ROWS = "".join(f"{i % 7},{'ab'[i % 2]},{i * i % 11}\n" for i in range(60))
FAMILY = """
from dataclasses import dataclass
from pathlib import Path
import torch
from karat.families.generator import Fitted
from karat.space import Codes
Path("ran").write_text("it ran")

@dataclass(frozen=True)
class Config:
    pass

class Model(Fitted):
    spaces = (Codes,)
    def __init__(self, space, classes, config=Config()):
        super().__init__()
        self.space, self.classes = space, classes
        self.kept = torch.nn.Buffer(torch.zeros(60, space.numel, dtype=torch.long))
    def fit(self, points, y, seed, seconds):
        self.kept[: min(60, len(points))] = points[:60]
        yield 1.0
    def sample(self, n, y, rng):
        return self.kept[torch.randint(40, (n,), generator=rng)]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("n,c,m\n" + ROWS)
    return tmp_path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    (folder / "data.csv").write_text("n,c,m\n" + ROWS)
    karat.train(folder / "data.csv", out=folder / "r", threads=1)
    return folder


@pytest.fixture
def run(table: Path, here: Path) -> Path:
    shutil.copytree(table / "r", here / "r")
    return here / "r"


def say(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and what was said of an error: at most two lines."""
    code = 0
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    _, err = capsys.readouterr()
    assert "Traceback" not in err and len(err.strip().splitlines()) <= 2, err
    return code, err


def changed(run: Path, **keys: Any) -> None:
    spec = json.loads((run / "karat.json").read_text())
    (run / "karat.json").write_text(json.dumps({**spec, **keys}))


def test_what_a_strangers_run_lets_go_wrong_is_said_of_it_and_an_own_ones_stays_a_fault(run: Path) -> None:
    with pytest.raises(IndexError), answered_for(Run.open(run)):
        [].pop()
    changed(run, seal=None)
    with (
        pytest.raises(RunError, match=r"not made by you .* \(IndexError: .*damaged or forged"),
        answered_for(Run.open(run)),
    ):
        [].pop()
    with pytest.raises(DataError, match="as it was"), answered_for(Run.open(run)):
        raise DataError("as it was")


@pytest.mark.parametrize("kind", ["models", "checkpoints", "recipe"])
def test_what_an_own_run_learned_is_signed_so_that_a_forged_model_is_no_fault_of_ours(kind: str, run: Path) -> None:
    forged = {
        "models": [f"model-{'0' * 16}.safetensors"],
        "checkpoints": [f"{1:010d}-{'0' * 16}.safetensors"],
        "recipe": {"family": "trees"},
    }[kind]
    changed(run, **{kind: forged})
    with pytest.raises(RunError, match=r"or was changed since.*\(ValueError: probs"), answered_for(Run.open(run)):
        raise ValueError("probs")


def test_a_run_that_is_continued_is_signed_anew_and_a_strangers_stays_one(here: Path) -> None:
    how: dict[str, Any] = {"recipe": "tvae", "set": ["train.precision=fp32"], "threads": 1}
    karat.train(here / "data.csv", steps=2, out=here / "mine", **how)
    assert signed(Run.open(here / "mine").spec)
    karat.train(here / "mine", steps=4, threads=1)
    assert signed(Run.open(here / "mine").spec)
    changed(here / "mine", signature=None)
    karat.train(here / "mine", steps=6, threads=1)
    spec = Run.open(here / "mine").spec
    assert spec["step"] == 6 and not signed(spec)


# A family from a file -----------------------------------------------------------------------------------------------


def test_a_run_that_names_a_python_file_runs_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("evil.py").write_text(FAMILY.replace("it ran", "evil"))
    recipe = json.loads((run / "karat.json").read_text())["recipe"]
    digest = hashlib.sha256(Path("evil.py").read_bytes()).hexdigest()
    for family in ("evil.py", str(Path("evil.py").absolute()), "../evil.py", f"{run}/evil.py"):
        for given in ("", digest):
            changed(run, recipe={**recipe, "family": family, "digest": given})
            for command in (["make", run], ["assay", run], ["train", run, "--minutes", "1"]):
                code, err = say(capsys, *command)
                assert code == 2 and ("--family" in err or "does not have" in err), err
    assert not Path("ran").exists()


@pytest.mark.parametrize("where", ["{}", "[fields]\n{}", "[codes]\n{}"])
def test_a_recipe_that_names_a_python_file_runs_nothing(
    where: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("evil.py").write_text(FAMILY)
    first = "" if where == "{}" else 'family = "vae"\n'
    Path("mine.toml").write_text(first + where.format('family = "evil.py"\n'))
    code, err = say(capsys, "train", "data.csv", "--recipe", "mine.toml", "--out", "r")
    assert code == 2 and "add --family evil.py" in err and not Path("ran").exists()
    code, err = say(capsys, "train", "data.csv", "--recipe", "mine.toml", "--out", "r", "--family", "other.py")
    assert code == 2 and not Path("ran").exists()


def test_a_named_family_trains_and_is_asked_for_again_by_its_digest(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own.py").write_text(FAMILY)
    Path("mine.toml").write_text('family = "own.py"\n')
    code, err = say(capsys, "train", "data.csv", "--recipe", "mine.toml", "--family", "own.py", "--out", "r")
    assert code == 0 and Path("ran").exists(), err
    kept = Run.open(Path("r")).spec["recipe"]
    assert kept["family"] == "own.py" and kept["digest"] == hashlib.sha256(FAMILY.encode()).hexdigest()
    monkeypatch.delitem(__import__("sys").modules, f"karat_family_{kept['digest']}")  # as in a process of its own
    Path("ran").unlink()
    code, err = say(capsys, "make", "r", "-n", "3")
    assert code == 2 and "add --family own.py" in err and not Path("ran").exists()
    Path("other.py").write_text(FAMILY + "\n")
    code, err = say(capsys, "make", "r", "-n", "3", "--family", "other.py")
    assert code == 2 and "is not the family that the run was trained with" in err and not Path("ran").exists()
    code, err = say(capsys, "make", "r", "-n", "3", "--family", "own.py")
    assert code == 0 and Path("ran").exists(), err
    code, err = say(capsys, "assay", "r", "-n", "40", "--family", "own.py")
    assert code == 0, err


def test_a_family_is_not_asked_for_where_the_run_has_none(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.py").write_text(FAMILY)
    code, err = say(capsys, "make", run, "-n", "3", "--family", "own.py")
    assert code == 2 and "leave --family out" in err and not Path("ran").exists()


# Links ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["samples", "ledger.jsonl", "made", "report", "history.jsonl", "karat.json", "x/y"])
def test_a_run_that_holds_a_link_out_of_itself_is_refused_by_name(
    name: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = run.parent / "victim"
    victim.mkdir()
    (victim / "mine").write_text("mine")
    there = run / name
    if there.is_dir():
        shutil.rmtree(there)
    there.unlink(missing_ok=True)
    there.parent.mkdir(exist_ok=True)
    goal = victim if "." not in name else victim / "mine"
    if name == "karat.json":
        goal = victim / "karat.json"
        shutil.copy(run.parent / "r" / "codec.json", goal)
    there.symlink_to(goal)
    for command in (["make", run, "-n", "3"], ["assay", run], ["train", run, "--minutes", "1"]):
        code, err = say(capsys, *command)
        assert code == 2 and str(there) in err and "link" in err
    assert (victim / "mine").read_text() == "mine"
    assert {p.name for p in victim.iterdir()} <= {"mine", "karat.json"}


def test_a_pipe_in_a_run_is_refused_and_not_waited_for(run: Path) -> None:
    os.mkfifo(run / "diagnostics")
    with pytest.raises(RunError, match="neither a file nor a folder"):
        Run.open(run)


def test_a_link_that_is_laid_while_a_run_is_open_is_not_written_through(run: Path) -> None:
    victim = run.parent / "victim"
    victim.write_text("mine")
    opened = Run.open(run)
    (run / "history.jsonl").unlink(missing_ok=True)
    (run / "history.jsonl").symlink_to(victim)
    with pytest.raises((RunError, OSError)):
        opened.append("history.jsonl", {"fraction": 1.0})
    shutil.rmtree(run / "samples")
    (run / "samples").symlink_to(run.parent)
    with pytest.raises(RunError, match="is a link"):
        opened.file("samples/100.png")
    (run / f"karat.json.{os.getpid()}.part").symlink_to(victim)
    opened.update({})
    assert victim.read_text() == "mine"


def test_a_run_that_is_itself_reached_by_a_link_is_as_any(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("short").symlink_to(run)
    code, err = say(capsys, "make", "short", "-n", "3", "--out", "made.csv")
    assert code == 0, err


# The data that a run names ------------------------------------------------------------------------------------------


def test_a_run_of_this_user_reads_its_data_unasked(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = say(capsys, "assay", run, "-n", "40")
    assert code == 0, err


def test_data_that_a_stranger_names_are_shown_and_not_opened(
    run: Path, capsys: pytest.CaptureFixture[str], table: Path
) -> None:
    secret = run.parent / "secret.csv"
    os.mkfifo(secret)  # who opens it waits for ever
    changed(run, data=str(secret))
    for command in ("assay", "train"):
        code, err = say(capsys, command, run, *(["--minutes", "1"] if command == "train" else []))
        assert code == 2 and ("was not made by you" in err or "is fitted" in err), (command, err)
    changed(run, data=str(table / "data.csv"), options={"query": "select 1"})
    code, err = say(capsys, "assay", run, "-n", "40", "--data", table / "data.csv")
    assert code == 2 and "query='select 1'" in err and "--trust-data" in err
    changed(run, data=str(run.parent / "data.csv"), options={})
    code, err = say(capsys, "assay", run, "-n", "40", "--trust-data")
    assert code == 0, err
    code, err = say(capsys, "assay", run, "-n", "40")
    assert code == 2, "an agreement is for once"


@pytest.mark.parametrize("key", ["id", "data", "options", "holdout", "fingerprint", "seal"])
def test_a_seal_holds_all_that_a_run_says_of_its_data(key: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = {
        "id": "f00",
        "data": str(run / "other"),
        "options": {"rows": 50},
        "holdout": 0.2,
        "fingerprint": "0f",
        "seal": "0" * 64,
    }[key]
    changed(run, **{key: other})
    code, err = say(capsys, "assay", run, "-n", "40")
    assert code == 2 and "was not made by you" in err


def test_another_user_s_run_is_a_stranger_s(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(run.parent / "state"))
    code, err = say(capsys, "assay", run, "-n", "40")
    assert code == 2 and "was not made by you" in err
    karat.train("data.csv", out=run.parent / "mine", threads=1)
    key = run.parent / "state" / "karat" / "key"
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_bytes()) == 32
    assert say(capsys, "assay", "mine", "-n", "40")[0] == 0
    key.chmod(0o644)  # others may have read it
    assert say(capsys, "assay", "mine", "-n", "40")[0] == 2


@pytest.fixture
def server() -> Iterator[tuple[int, list[bytes]]]:
    """A PostgreSQL server that asks whoever connects for a password in the clear, and what it was sent."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    while data := connection.recv(4096):
                        heard.append(data)
                        if data[:1] == b"p":  # a password; asked again, a client sends it again without end
                            break
                        if data[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):  # SSLRequest, GSSENCRequest
                            connection.sendall(b"N")
                        else:
                            connection.sendall(b"R\0\0\0\x08\0\0\0\x03")
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], heard
    listener.close()


def test_a_server_that_a_stranger_names_never_gets_a_password_of_this_user(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, server: tuple[int, list[bytes]]
) -> None:
    pytest.importorskip("psycopg")
    port, heard = server
    Path("pass").write_text("*:*:*:*:from-a-file\n")
    Path("pass").chmod(0o600)
    monkeypatch.setenv("PGPASSWORD", "from-the-environment")
    changed(run, data=f"postgresql://you@127.0.0.1:{port}/x", options={"table": "t"})
    code, err = say(capsys, "assay", run)
    assert code == 2 and "--trust-data" in err and not heard, "nothing is asked before it is agreed to"
    code, err = say(capsys, "assay", run, "--trust-data")
    assert code == 2 and heard and b"from-the-environment" not in b"".join(heard)
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PGPASSFILE", str(Path("pass").absolute()))
    assert say(capsys, "assay", run, "--trust-data")[0] == 2
    assert b"from-a-file" not in b"".join(heard) and os.environ["PGPASSFILE"].endswith("pass")
    changed(run, data=f"postgresql://you@127.0.0.1:{port}/x?passfile={Path('pass').absolute()}")
    code, err = say(capsys, "assay", run, "--trust-data")
    assert code == 2 and "'passfile'" in err and b"from-a-file" not in b"".join(heard)
    with pytest.raises(DataError):  # named by the person, it gets what it asks for, as ever
        read_database(f"postgresql://you@127.0.0.1:{port}/x", None, "t", None)
    assert b"from-a-file" in b"".join(heard)


# Moved data -------------------------------------------------------------------------------------------------------


def test_data_that_moved_are_found_again_by_data_and_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "model.latent=4", "--set", "model.width=8", "--set", "train.precision=fp32"]
    command = ["train", "data.csv", "--recipe", "gan", "--steps", "4", "--out", "r", "--threads", "1"]
    assert say(capsys, *command, *settings)[0] == 0
    Path("elsewhere").mkdir()
    Path("data.csv").rename("elsewhere/rows.csv")
    for arguments in (["assay", "r"], ["train", "r", "--steps", "6"]):
        code, err = say(capsys, *arguments)
        assert code == 2 and "--data" in err and "data.csv" in err
    Path("other.csv").write_text("n,c,m\n" + ROWS.replace("9", "8"))
    code, err = say(capsys, "assay", "r", "--data", "other.csv")
    assert code == 2 and "holds other data" in err and "fingerprint" in err
    assert say(capsys, "train", "r", "--steps", "6", "--data", "elsewhere/rows.csv")[0] == 0
    assert Run.open(Path("r")).spec["data"] == str(Path("elsewhere/rows.csv").absolute())
    code, err = say(capsys, "assay", "r", "-n", "40")
    assert code == 0, "the new place is kept, and sealed"
    Path("elsewhere/rows.csv").rename("third.csv")
    code, err = say(capsys, "assay", "r", "-n", "40", "--data", "third.csv")
    assert code == 0 and Run.open(Path("r")).spec["data"].endswith("third.csv"), err


def test_a_run_keeps_the_schema_it_learned_with(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.toml").write_text('[columns]\nn = { kind = "category" }\n')
    assert say(capsys, "train", "data.csv", "--schema", "s.toml", "--out", "r", "--threads", "1")[0] == 0
    assert "s.toml" not in (here / "r" / "karat.json").read_text()
    for change in (lambda: Path("s.toml").write_text('[columns]\nn = { kind = "integer" }\n'), Path("s.toml").unlink):
        change()
        code, err = say(capsys, "assay", "r", "-n", "40")
        assert code == 0, err
    (here / "r" / "schema.toml").write_text("")
    code, err = say(capsys, "assay", "r", "-n", "40")
    assert code == 2 and "schema.toml is damaged" in err


def test_a_frame_is_kept_in_its_run_and_moves_with_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pandas = pytest.importorskip("pandas")
    karat.train(pandas.read_csv("data.csv"), out=here / "a" / "r", threads=1)
    Path("a").rename("b")
    assert say(capsys, "assay", "b/r", "-n", "40")[0] == 0


# Databases --------------------------------------------------------------------------------------------------------


def test_a_view_of_duckdb_over_a_file_is_refused(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n" + "1,x\n" * 40)
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute(f"create view v as select * from read_csv('{secret}')")
        connection.execute("create table t as select range as a from range(40)")
    assert read_database(tmp_path / "d.duckdb", None, "t", None).cells.num_rows == 40
    for query, name in (
        (None, "v"),
        (f"select * from read_csv('{secret}')", None),
        (f"select * from '{secret}'", None),
    ):
        with pytest.raises(DataError, match="cannot be read"):
            read_database(tmp_path / "d.duckdb", query, name, None)


def test_a_query_of_sqlite_reads_its_own_file_and_no_other(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        with sqlite3.connect(tmp_path / name) as connection:
            connection.execute("create table t (x)")
            connection.executemany("insert into t values (?)", [(i,) for i in range(40)])
            connection.execute("create view v as select x, upper('a') as y from t")
            connection.execute("create view w as select load_extension('x') from t")
    assert read_database(tmp_path / "a.db", None, "t", None).cells.num_rows == 40
    assert read_database(tmp_path / "a.db", None, "v", None).cells.num_rows == 40
    recursive = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 50) select i from n"
    assert read_database(tmp_path / "a.db", recursive, None, None).cells.num_rows == 50
    with pytest.raises(DataError, match="cannot be read"):
        read_database(tmp_path / "a.db", None, "w", None)
    with pytest.raises((DataError, FitError)):
        read_database(tmp_path / "a.db", f"attach '{tmp_path / 'b.db'}' as b", None, None)
    with pytest.raises(DataError, match="cannot be read"):
        read_database(tmp_path / "a.db", "select load_extension('x')", None, None)

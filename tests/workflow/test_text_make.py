"""Text is made by the command line and by Python: prompts, stop strings, any length, classes, streaming, labels of origin."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import karat
from karat import cli
from karat.content import Texts, recognise
from karat.errors import FitError, RunError
from karat.run import Run
from karat.space import END, MARKS
from karat.synthesizer import load_codec
from karat.synthesizer.continuation import Writer

FAMILY = '''
from dataclasses import dataclass

import torch

from karat.families.generator import PLAIN, Fitted
from karat.space import BEGIN, END, MARKS, MORE, NOTHING, Tokens


@dataclass(frozen=True)
class Config:
    pass


class Model(Fitted):
    """Draws each code by the two before it, per class."""

    spaces = (Tokens,)
    continues = True

    def __init__(self, space, classes, config):
        super().__init__()
        self.space, self.classes = space, classes
        v = space.vocab
        self.register_buffer("counts", torch.zeros(max(1, classes), v, v, v))

    @property
    def conditional(self):
        return self.classes > 0

    def fit(self, points, y, seed, seconds):
        kind = torch.zeros(len(points), dtype=torch.long) if y is None else y
        for j in range(points.shape[1] - 1):
            before = points[:, j - 1] if j else torch.full_like(points[:, 0], BEGIN)
            real = points[:, j + 1] != NOTHING
            one = torch.ones(int(real.sum()))
            self.counts.index_put_((kind[real], before[real], points[real, j], points[real, j + 1]), one, accumulate=True)
        yield 1.0

    def continuation(self, start, y, rng, sampling=PLAIN, most=None):
        kind = torch.zeros(len(start), dtype=torch.long) if y is None else y
        last, before = start[:, -1], start[:, -2] if start.shape[1] > 1 else start[:, -1]
        going = torch.ones(len(start), dtype=torch.bool)
        for _ in range(self.space.length if most is None else most):
            share = self.counts[kind, before, last] + 1e-6
            share[:, [NOTHING, BEGIN, MORE]] = 0
            if sampling.temperature == 0:
                new = share.argmax(1)
            else:
                new = torch.multinomial(share ** (1 / sampling.temperature), 1, generator=rng)[:, 0]
            new = new.where(going, torch.tensor(NOTHING))
            yield new
            before, last, going = last, new, going & (new != END)
            if not going.any():
                return

    def sample(self, n, y, rng):
        x = torch.full((n, self.space.length), NOTHING)
        x[:, 0] = BEGIN
        for j, codes in enumerate(self.continuation(x[:, :1], y, rng, PLAIN, self.space.length - 1), 1):
            x[:, j] = codes
        return x
'''
WORDS = ("amber", "birch", "cedar", "delta", "ember", "flint", "grove", "heath")


def stream(folder: Path) -> Path:
    file = folder / "long.txt"
    lines = [f"{WORDS[i % 8]} {WORDS[i * i % 7]} é {i % 10}.\n" for i in range(2000)]
    file.write_text("".join(lines), encoding="utf-8")
    return file


def labelled(folder: Path) -> Path:
    file = folder / "said.jsonl"
    rows = [
        {"text": f"好的 {WORDS[i % 8]} {i % 97}", "label": "yes"}
        if i % 3
        else {"text": f"no {WORDS[i * 3 % 8]} {i % 89} 不", "label": "no/never"}
        for i in range(600)
    ]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("families") / "bigrams.py"
    file.write_text(FAMILY)
    return file


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory, family: Path) -> Run:
    folder = tmp_path_factory.mktemp("long")
    return karat.train(stream(folder), family=str(family), out=folder / "run", threads=1, holdout="last:0.1")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, family: Path) -> Run:
    folder = tmp_path_factory.mktemp("spoken")
    return karat.train(labelled(folder), family=str(family), out=folder / "run", threads=1)


def test_passages_are_written_as_one_file_with_its_label_beside(long: Run, tmp_path: Path) -> None:
    files = karat.make(long, n=5, out=tmp_path / "new.txt", seed=3, threads=1)
    assert [f.name for f in files] == ["new.txt"] and (tmp_path / "new.txt.label.json").is_file()
    blob = files[0].read_bytes()
    beside = json.loads((tmp_path / "new.txt.label.json").read_text())
    assert long.id in json.dumps(beside) and beside["sha256"]["new.txt"] == hashlib.sha256(blob).hexdigest()
    found = recognise(files[0]).read(files[0], {})
    assert found.facts["documents"] == 5, "what was made is read again as it was made"
    again = karat.make(long, n=5, out=tmp_path / "again.txt", seed=3, threads=1)
    other = karat.make(long, n=5, out=tmp_path / "other.txt", seed=4, threads=1)
    assert again[0].read_bytes() == blob != other[0].read_bytes()


def test_without_out_the_text_lies_in_the_run(long: Run) -> None:
    assert karat.make(long, n=2, threads=1)[0] == long.path / "made" / "made.txt"


def test_a_prompt_is_continued_as_long_as_asked(long: Run, tmp_path: Path) -> None:
    files = karat.make(long, prompt="cedar ", characters=1500, out=tmp_path / "c.txt", seed=1, threads=1)
    text = files[0].read_text(encoding="utf-8")
    assert text.startswith("cedar ") and len(text.removesuffix("\n")) in (1505, 1506), "beyond the length of a passage"
    short = karat.make(long, prompt="cedar ", characters=40, out=tmp_path / "s.txt", seed=1, threads=1)
    assert text.startswith(short[0].read_text(encoding="utf-8").removesuffix("\n")), "the same seed, the same beginning"


def test_text_ends_before_a_stop_string(long: Run, tmp_path: Path) -> None:
    files = karat.make(long, n=20, prompt="cedar", stop=["5.", "é 7"], out=tmp_path / "s.txt", threads=1)
    texts = files[0].read_text(encoding="utf-8").split("<|endoftext|>\n")
    assert len(texts) == 20 and not any("5." in t or "é 7" in t for t in texts)


def test_temperature_nought_takes_the_likeliest(long: Run, tmp_path: Path) -> None:
    made = [karat.make(long, n=3, temperature=0, seed=s, out=tmp_path / f"{s}.txt", threads=1)[0] for s in (1, 2)]
    assert made[0].read_bytes() == made[1].read_bytes()


def test_a_stream_shows_what_is_written_and_nothing_else(
    long: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = tmp_path / "s.txt"
    cli.main(
        ["make", str(long.path), "--prompt", "amber", "--stream", "-n", "2", "--characters", "200", "--out", str(goal)]
    )
    seen = capsys.readouterr()
    assert seen.out == goal.read_text(encoding="utf-8").replace("\n<|endoftext|>", "\n<|endoftext|>")
    assert "\ufffd" not in seen.out and "made 2" in seen.err and goal.with_name("s.txt.label.json").is_file()


def test_each_class_is_written_with_its_text(spoken: Run, tmp_path: Path) -> None:
    files = karat.make(spoken, n=200, out=tmp_path / "m.jsonl", threads=1)
    rows = [json.loads(line) for line in files[0].read_text(encoding="utf-8").splitlines()]
    share = sum(row["label"] == "yes" for row in rows) / 200
    assert 0.55 < share < 0.78, "as often as the data have it"
    assert all(("好" in row["text"]) == (row["label"] == "yes") for row in rows)
    only = karat.make(spoken, n=9, label="no/never", out=tmp_path / "n.csv", threads=1)[0].read_text(encoding="utf-8")
    assert only.startswith("text,label\n") and only.count("no/never") == 9 and "好" not in only


def test_a_folder_holds_a_file_of_each_in_a_sub_folder_per_class(spoken: Run, tmp_path: Path) -> None:
    files = karat.make(spoken, n=30, out=tmp_path / "f", threads=1)
    assert {f.parent.name for f in files} == {"yes", "no_never"} and (tmp_path / "f" / "label.json").is_file()
    fewer = karat.make(spoken, n=4, out=tmp_path / "f", overwrite=True, threads=1)
    assert len(list((tmp_path / "f").rglob("*.txt"))) == 4 == len(fewer), "none of the former is left"
    assert recognise(tmp_path / "f") is Texts
    (tmp_path / "f" / "mine.txt").write_text("a person's own")
    with pytest.raises(RunError, match="mine.txt"):
        karat.make(spoken, n=4, out=tmp_path / "f", overwrite=True, threads=1)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"label": "maybe"}, "no class 'maybe'"),
        ({"given": "a=1"}, "--given: not for text content, which is asked for with --class, --prompt"),
        ({"out": "x.pdf"}, ".txt, .jsonl|.jsonl, .txt"),
        ({"characters": 0}, "--characters 0"),
        ({"stop": [""]}, "--stop ''"),
        ({"temperature": -1.0}, "temperature -1"),
        ({"prompt": "\ud800", "n": 1}, "no text in UTF-8"),
    ],
)
def test_what_cannot_be_asked_is_said(spoken: Run, tmp_path: Path, asked: dict[str, object], said: str) -> None:
    wanted = {"out": tmp_path / "x.txt", "threads": 1, **asked}
    if "out" in asked:
        wanted["out"] = tmp_path / str(asked["out"])
    with pytest.raises((FitError, karat.KaratError), match=said):
        karat.make(spoken, **wanted)  # type: ignore[arg-type]


def test_a_prompt_is_for_text(tmp_path: Path) -> None:
    run = karat.train(
        "digits",
        steps=2,
        out=tmp_path / "r",
        threads=1,
        set=["train.precision=fp32", "model.latent=6", "model.width=8", "model.hidden=16"],
    )
    with pytest.raises(FitError, match="--prompt: not for image content"):
        karat.make(run, prompt="x", threads=1)


def test_a_writer_gives_no_part_of_a_character_nor_of_a_stop_string() -> None:
    spelling = (*[b""] * MARKS, *(bytes([b]) for b in "naïve — stop".encode()))
    codes = range(MARKS, len(spelling))
    plain = Writer(spelling, (), None)
    pieces = [plain.add(code) for code in codes]
    assert "".join(pieces) == "naïve — stop" and all("\ufffd" not in piece for piece in pieces)
    stopped = Writer(spelling, ("stop", "ste"), None)
    assert "".join(stopped.add(code) for code in codes) == "naïve — " and stopped.done and not stopped.ended
    held = Writer(spelling, ("stop!",), None)
    assert "".join(held.add(code) for code in codes) + held.add(END) == "naïve — stop" and held.ended
    short = Writer(spelling, (), 3)
    assert "".join(short.add(code) for code in codes if not short.done) == "naï" and short.done


def test_a_codec_saved_with_a_run_is_the_same(spoken: Run) -> None:
    codec = load_codec(spoken)
    assert isinstance(codec, Texts) and codec.classes == ("no/never", "yes") and abs(sum(codec.shares) - 1) < 1e-9

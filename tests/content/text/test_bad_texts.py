"""Text that cannot be read: each refusal names the file, and the byte and line, and costs neither memory nor time."""

from __future__ import annotations

import gzip
import json
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from karat import cli
from karat.data import load
from karat.errors import DataError, TooLarge

GOOD = "".join(f"This is line {i} of a text about café {i % 7}.\n" for i in range(600))
ROWS = [json.dumps({"id": i, "content": f"text number {i} is here"}) for i in range(100)]


def put(rows: Sequence[str], at: int, row: str) -> bytes:
    return "\n".join([*rows[:at], row, *rows[at + 1 :]]).encode()


CASES: dict[str, tuple[str, bytes, str]] = {
    "NULs": ("a.txt", b"\0" * 100_000, "the byte 0x00 at offset 0, line 1"),
    "a NUL far inside": (
        "a.txt",
        GOOD.encode()[:5000] + b"\0" + GOOD.encode(),
        "the byte 0x00 at offset 5,000, line 1",
    ),
    "nothing": ("a.txt", b"", "is empty"),
    "blanks": ("a.txt", b" \n\t\n" * 999, "holds no text"),
    "too little": ("a.txt", b"a few words only.\n", "needs about 200"),
    "invalid UTF-8": ("a.txt", GOOD.encode().replace(b"line 123", b"line \xff23"), "byte offset 5,069, line 124 .0xff"),
    "UTF-8 and then GBK": (
        "a.txt",
        "中文的内容。\n".encode() * 300 + "国标码的中文\n".encode("gbk"),
        "byte offset 5,700, line 301",
    ),
    "GBK and then UTF-8": (
        "a.txt",
        "第二行是国标码的中文，这里有很多字。\n".encode("gbk") * 300 + "第一行是统一码的中文🙂é。\n".encode(),
        "not gb18030 at .*line 301",
    ),
    "a binary": ("a.txt", random.Random(1).randbytes(50_000), "is not UTF-8|no text"),
    "a picture": ("a.txt", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 99, "is a PNG picture"),
    "an Office document": ("a.md", b"PK\x03\x04" + bytes(999), "is a zip"),
    "a program's output": ("a.log", GOOD.encode().replace(b"a", b"\x01"), "the byte 0x01 at offset 18, line 1"),
    "a gzip that ends early": (
        "a.txt.gz",
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\x01\x02\x03",
        "is cut short",
    ),
    "a broken line of JSON": ("a.jsonl", put(ROWS, 41, ROWS[41][:-3]), "line 42 is no JSON at its character"),
    "a list in JSON lines": ("a.jsonl", put(ROWS, 41, "[1, 2]"), "line 42 holds JSON of type list"),
    "a number for text": ("a.jsonl", put(ROWS, 41, '{"content": 3}'), "line 42: 'content' is of type int"),
    "JSON without end": ("a.jsonl", b'{"a":' * 50_000, "line 1 is no JSON"),
    "no rows with text": ("a.jsonl", b"\n".join([b'{"text": null}'] * 99), "holds no text"),
}


@pytest.mark.parametrize(("name", "data", "said"), CASES.values(), ids=list(CASES))
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    with pytest.raises(DataError, match=said) as caught:
        load(file)
    told = str(caught.value)
    assert str(file) in told and len(told) < 500 and told.count("\n") <= 1


LONG = GOOD * 12  # 300 kB
CHAT = json.dumps({"messages": [{"role": "user", "content": LONG[:3000]}]}) + "\n"
LARGE: dict[str, tuple[dict[str, bytes], dict[str, str], str]] = {
    "a text": ({"a.txt": LONG.encode()}, {}, "MB of memory"),
    "a packed one": ({"a.md.gz": gzip.compress(LONG.encode())}, {}, "of text"),
    "lines": ({"a.txt": b"ab\n" * 20_000}, {"documents": "lines"}, "in 20,000 documents"),
    "paragraphs": ({"a.txt": b"ab\n\n" * 20_000}, {"documents": "paragraphs"}, "in 20,000 documents"),
    "passages between marks": ({"a.txt": b"ab\n<|endoftext|>\n" * 5_000}, {}, "in 5,000 documents"),
    "JSON lines": ({"a.jsonl": b'{"text": "ab"}\n' * 5_000}, {}, "in 5,000 documents"),
    "conversations": ({"a.jsonl": CHAT.encode() * 100}, {}, "of text"),
    "source code": ({f"{i}.py": LONG[:9000].encode() for i in range(40)}, {}, "of text in"),
    "packed source code": ({f"{i}.py.gz": gzip.compress(LONG[:9000].encode(), 1) for i in range(40)}, {}, "of text in"),
    "a column of a table": ({"a.csv": b"x,y\n" + b"some words,3\n" * 20_000}, {"text": "x"}, "in [0-9,]+ documents"),
    "a wide character": ({"a.txt": ("🙂" + GOOD * 4).encode()}, {}, "of text"),
}


@pytest.mark.parametrize(("files", "options", "said"), LARGE.values(), ids=list(LARGE))
def test_text_that_does_not_fit_into_memory_is_refused_with_what_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], options: dict[str, str], said: str
) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.setenv("KARAT_MEMORY_GB", "0.005")
    with pytest.raises(TooLarge, match="data.limit") as caught:
        load(tmp_path if len(files) > 1 else tmp_path / next(iter(files)), options=options)
    assert re.search(said, str(caught.value)) and str(tmp_path) in str(caught.value)


def test_a_folder_of_empty_files_holds_no_text(tmp_path: Path) -> None:
    for i in range(5):
        (tmp_path / f"{i}.txt").write_bytes(b"")
    with pytest.raises(DataError, match="holds no text"):
        load(tmp_path)


def test_few_bad_files_in_a_folder_are_skipped_and_many_refused(tmp_path: Path) -> None:
    for i in range(300):
        (tmp_path / f"{i:03d}.txt").write_text(f"File {i} says something about {i * i % 89} things.\n")
    (tmp_path / "007.txt").write_bytes(b"some\0text" * 50)
    data = load(tmp_path)
    assert [name for name, _ in data.contents.skipped] == ["007.txt"]
    for i in range(10):
        (tmp_path / f"{i:03d}.txt").write_bytes(b"\0\1\2" * 50)
    with pytest.raises(DataError, match=r"000.txt .*and 9 more of 300 files"):
        load(tmp_path)


def test_half_characters_in_json_are_said_and_whole_ones_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(
        put([*ROWS[:99], '{"content": "a pair \\ud83d\\ude00 here"}'], 41, '{"content": "half \\ud83d here"}')
    )
    data = load(file)
    assert "lone surrogate" in " ".join(data.notes)
    texts = data.contents.records.strings()
    assert texts[41] == "half ? here" and texts[99] == "a pair 😀 here"


def test_text_from_right_to_left_goes_through(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("".join(f"שלום עולם {i} مرحبا بالعالم\n" for i in range(900)), encoding="utf-8")
    data = load(file)
    assert set(data.contents.facts["scripts"]) == {"Arabic", "Hebrew"}
    assert data.codec.decode(data.points("train")).strings() == data.records("train").strings()


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id,review\n" + "".join(f"{i},fine {i}\n" for i in range(99)))
    for options in ({"text": "reviews"}, {"text": "review", "labels": "ids"}):
        with pytest.raises(DataError, match="which is no column; the nearest is"):
            load(file, options=options)


LINE = """
import resource, sys, time
from karat.data import load
room = 2_500 * 2**20
began = time.process_time()
data = load(sys.argv[1], options={"limit": 2**22, "tokens": "characters"})
seconds = time.process_time() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(len(data.train), data.contents.facts["longest_line"], data.notes[0])
assert peak < room, peak
assert seconds < 30, seconds
"""


@pytest.mark.exam
def test_one_endless_line_costs_no_more_than_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "line.txt"
    rng = random.Random(0)
    some = "".join(f"{rng.random()} 狐狸 " for _ in range(2**20 // 26))
    with file.open("wb") as out:
        for i in range(50):
            out.write(f"{i}{some}{some[::-1]}".encode())
    done = subprocess.run([sys.executable, "-c", LINE, str(file)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "in stretches spread evenly over it, were taken" in done.stdout and int(done.stdout.split()[1]) > 3_000_000


@pytest.mark.parametrize("verb", ["look", "train"])
def test_the_command_line_says_it_in_a_line_and_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(CASES["invalid UTF-8"][1])
    arguments: list[Any] = [verb, file] + (["--out", tmp_path / "run"] if verb == "train" else [])
    with pytest.raises(SystemExit) as stop:
        cli.main([str(a) for a in arguments])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.startswith("karat: ") and "line 124" in said and said.count("\n") <= 2

"""Text becomes passages and codes and text again: nothing is lost on the way, and whatever is drawn is valid text."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import karat
from karat.content import Tables, Texts, codec_named, recognise
from karat.content.text import leaves, reading
from karat.content.text.decoding import How
from karat.content.text.jsonlines import chat_of
from karat.content.text.masking import masked
from karat.content.text.passages import Origin, Passages, cut
from karat.data import Data, load, survey
from karat.errors import DataError, FitError
from karat.space import BEGIN, END, MARKS, MORE, NOTHING
from karat.views import TextView

CHINESE = "".join(
    f"第{i}章，生成式人工智能{'与' if i % 2 else '和'}数据的价值在于{'内容' if i % 3 else '方法'}。"
    f"模型学习{i * 7}个样本，误差是{i % 9}！\n"
    for i in range(400)
)
ENGLISH = "".join(
    f"Speaker {'ABC'[i % 3]}:\nLine {i} says that {i * i % 97} is {'more' if i % 2 else 'less'}.\n\n"
    for i in range(900)
)


def written(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def both(path: Path, **options: Any) -> list[Data]:
    """By characters and by byte pairs."""
    return [load(path, options={"tokens": tokens, **options}) for tokens in ("characters", "bpe")]


def codec_of(data: Data) -> Texts:
    assert isinstance(data.codec, Texts)
    return data.codec


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_passages_laid_end_to_end_are_the_text(tmp_path: Path, text: str) -> None:
    for data in both(written(tmp_path, "t.txt", text)):
        records = data.contents.records
        assert "".join(records.strings()) == text
        ends = [one[-1] for one in records.strings()]
        assert sum(c == "\n" for c in ends) > 0.9 * len(ends), "they are cut at line ends"
        assert records.begins.all() and not records.ends.any(), (
            "any passage of one long text is a beginning, none an end"
        )
        points = data.points("train")
        assert (points[:, 0] == BEGIN).all() and not (points == END).any()
        back = data.codec.decode(points)
        assert back.strings() == data.records("train").strings()
        assert torch.equal(data.codec.encode(back), points)


def test_documents_end_and_long_ones_go_on(tmp_path: Path) -> None:
    rows = [{"text": f"short {i}", "who": "x"} for i in range(200)] + [
        {"text": ENGLISH[:3000] + str(i), "who": "y"} for i in range(9)
    ]
    file = written(tmp_path, "d.jsonl", "\n".join(map(json.dumps, rows)))
    for data in both(file, length=128):
        records = data.contents.records
        per = np.bincount(records.documents)
        assert (per[:200] == 1).all() and (per[200:] > 1).all()
        assert records.begins.sum() == 209 == records.ends.sum()
        records = data.records("train")
        points = data.codec.encode(records)
        assert ((points[:, 0] == BEGIN).numpy() == records.begins).all()
        assert ((points[:, 0] == MORE).numpy() == ~records.begins).all()
        assert ((points == END).any(1).numpy() == records.ends).all()
        assert set(data.contents.groups[data.train]) & set(data.contents.groups[data.holdout]) <= {*range(200, 209)}, (
            "but for at most one, a document is on one side"
        )
        assert data.codec.decode(points).strings() == records.strings()
        assert torch.equal(data.codec.encode(data.codec.decode(points)), points)


def test_the_last_tenth_is_cut_exactly_there_and_read_on_end(tmp_path: Path) -> None:
    for data in both(written(tmp_path, "t.txt", ENGLISH)):
        data = load(data.path, holdout="last:0.1", options={"tokens": codec_of(data).origin.tokens})
        held = "".join(data.records("holdout").strings())
        assert held == ENGLISH[int(len(ENGLISH) * 0.9) :]
        ((codes, characters, size),) = data.codec.streams(data.contents, data.holdout)
        assert (
            (characters, size) == (len(held), len(held.encode())) and codes[0] == BEGIN and (codes[1:] >= MARKS).all()
        )
        assert codec_of(data).read_codes(codes.numpy()) == held


def test_the_last_documents_are_set_aside_where_there_are_many(tmp_path: Path) -> None:
    file = written(tmp_path, "d.jsonl", "\n".join(json.dumps({"text": f"number {i} of them"}) for i in range(300)))
    data = load(file, holdout="last:0.2")
    assert data.records("holdout").strings() == [f"number {i} of them" for i in range(240, 300)]
    streams = data.codec.streams(data.contents, data.holdout)
    assert len(streams) == 60 and all(codes[-1] == END and codes[0] == BEGIN for codes, _, _ in streams)


class Two(list[Data]):
    def __repr__(self) -> str:
        return "two codecs"


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Two:
    return Two(both(written(tmp_path_factory.mktemp("zh"), "t.txt", CHINESE * 2 + ENGLISH)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), wild=st.booleans())
@example(seed=240401081, wild=False)  # a passage of as many codes as a point has, which ends nowhere
def test_any_codes_are_valid_text_that_stays_as_it_is(chinese: Two, seed: int, wild: bool) -> None:
    for data in chinese:
        codec = codec_of(data)
        vocab = codec.spaces[0].vocab
        rng = torch.Generator().manual_seed(seed)
        low, high = (-5, vocab + 50) if wild else (0, vocab)
        codes = torch.randint(low, high, (6, codec.length), generator=rng)
        codes[3:] = codes[3:].clamp_min(MARKS)  # full, without an end
        made = codec.decode(codes)
        for text in made.strings():
            text.encode()
            assert "\ufffd" not in text and len(text) <= codec.longest
        once = codec.encode(made)
        assert codec.decode(once).strings() == made.strings()
        assert torch.equal(codec.encode(codec.decode(once)), once)
        assert codec.view(made).texts == tuple(made.strings())


def test_what_was_drawn_to_the_full_is_cut_as_real_passages_are(tmp_path: Path) -> None:
    data = load(written(tmp_path, "t.txt", ENGLISH), options={"tokens": "characters"})
    codec = codec_of(data)
    text = ("says " * 300)[: codec.length - 20] + "\nthat is more less is that or less more"
    codes = codec.opening(text)[None, : codec.length]
    (made,) = codec.decode(codes).strings()
    assert made == text[: codec.length - 19]


def test_a_codec_comes_back_from_its_json(chinese: Two) -> None:
    for data in chinese:
        state = json.loads(json.dumps(data.codec.state()))
        again = codec_named("text").restore(state)
        assert again == data.codec and torch.equal(again.encode(data.records("holdout")), data.points("holdout"))


def test_few_characters_are_learned_one_by_one_and_many_as_byte_pairs(tmp_path: Path) -> None:
    english = codec_of(load(written(tmp_path, "e.txt", ENGLISH)))
    assert english.origin.tokens == "characters" and english.density == 1
    rare = CHINESE + "".join(chr(0x4E00 + 7 * i) for i in range(2000))
    wide = codec_of(load(written(tmp_path, "c.txt", rare)))
    assert wide.origin.tokens == "bpe" and wide.density < 1.3, "a Chinese character is hardly more than a token"
    strange = english.encode(Passages.of(["a saïs 狐 that"], english.origin))
    assert english.decode(strange).strings() == ["a sas  that"], "what was never seen is never written"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gbk", "gb18030", "big5"])
def test_encodings_are_found(tmp_path: Path, encoding: str) -> None:
    text = CHINESE if encoding != "big5" else "".join(f"第{i}行，生成式的內容與數據資料，很好。\n" for i in range(900))
    data = load(written(tmp_path, "t.txt", text.encode(encoding)))
    assert "".join(data.contents.records.strings()) == text


def test_a_folder_may_mix_encodings_and_its_sub_folders_are_classes(tmp_path: Path) -> None:
    for i in range(90):
        name = f"{'good' if i % 3 else 'bad'}/{i}.txt"
        written(
            tmp_path,
            name,
            f"Numéro {i}: c'était très long, n'est-ce pas\n".encode(("utf-8", "cp1252", "utf-16")[i % 3]),
        )
    data = load(tmp_path, holdout="file=7.txt")
    assert data.classes == ("bad", "good") and data.contents.facts["encodings"] == {
        "utf-8": 30,
        "cp1252": 30,
        "utf-16-le": 30,
    }
    assert all("était très" in text for text in data.contents.records.strings())
    assert "file" in data.contents.facets and codec_of(data).wholes[0] == ".jsonl"


def test_rows_of_tables_and_lines_of_json_are_documents(tmp_path: Path) -> None:
    rows = [
        {"id": i, "review": f'It was number {i}, "really",\nand fine.', "stars": str(i % 5), "year": 2000 + i % 7}
        for i in range(150)
    ]
    with (tmp_path / "r.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    lines = "\n".join(map(json.dumps, rows)).encode()
    written(tmp_path, "r.jsonl", lines)
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(lines))
    found = []
    for name in ("r.csv", "r.parquet", "r.jsonl", "r.jsonl.gz"):
        data = load(tmp_path / name, options={"text": "review", "labels": "stars"}, holdout="year>=2005")
        found.append(
            (data.contents.records.strings(), data.contents.labels.tolist(), data.classes, data.holdout.tolist())
        )
    assert all(one == found[0] for one in found) and found[0][0][3] == rows[3]["review"]
    assert recognise(tmp_path / "r.csv") is Tables, "without data.text a table stays one"
    assert recognise(tmp_path / "r.jsonl") is Tables, "several fields are a table, unless one of them holds documents"


@pytest.mark.parametrize(("into", "count"), [("lines", 1800), ("paragraphs", 900), ("file", 1)])
def test_a_file_is_parted_as_asked(tmp_path: Path, into: str, count: int) -> None:
    data = load(written(tmp_path, "t.txt", ENGLISH), options={"documents": into})
    assert data.contents.facts["documents"] == count


def test_what_is_written_is_read_again_as_it_was(tmp_path: Path) -> None:
    for ending in ("\n", "\r\n"):
        source = written(tmp_path, "t.txt", ENGLISH.replace("\n", ending))
        data = load(source, options={"documents": "paragraphs"})
        codec = codec_of(data)
        texts = data.records("train").strings()
        for suffix in codec.wholes:
            file = written(tmp_path, f"again{suffix}", codec.pack(data.records("train"), suffix))
            if suffix == ".txt":
                assert (b"\r\n" in file.read_bytes()) == (ending == "\r\n")
            options = {"text": "text"} if suffix == ".csv" else {}
            assert recognise(file, options).read(file, {**options, **codec.alike()}).records.strings() == texts
        assert codec.leaf(data.records("train")[:1]).decode() == texts[0].replace("\n", ending) + ending


def test_the_judges_view_holds_the_text(chinese: Two) -> None:
    for data in chinese:
        records = data.records("holdout")
        seen = data.codec.view(records)
        assert [len(text) for text in seen.texts] == records.sizes.tolist()
        assert data.codec.unview(seen).strings() == records.strings()
        assert data.codec.unview(TextView(("a\ud800b", "\udfff"))).strings() == ["ab", ""]


def test_personal_data_are_found_and_masked_on_request(tmp_path: Path) -> None:
    said = (
        "mail bob.smith@example.com, ring +1 555-010-1234 or 13912345678，卡号4111 1111 1111 1111。 "
        "IBAN DE89 3704 0044 0532 0130 00, 身份证11010519491231002X, https://x.org/a?token=abc&b=1, "
        "on 2020-01-02 12:00 of 3.14159265358979 or 4111111111111112"
    )
    clean, found = masked(said)
    assert clean == (
        "mail [email], ring [phone] or [phone]，卡号[card]。 IBAN [iban], 身份证[person id], [url], "
        "on 2020-01-02 12:00 of 3.14159265358979 or 4111111111111112"
    )
    assert found == {"phone": 2, "email": 1, "card": 1, "iban": 1, "person id": 1, "url": 1}
    rows = "\n".join(json.dumps({"text": f"row {i}: {said}"}) for i in range(60))
    file = written(tmp_path, "p.jsonl", rows)
    loud, quiet = load(file), load(file, options={"mask": True})
    assert any("60 email" in note for note in survey(loud)["warnings"])
    assert not any("@" in text for text in quiet.contents.records.strings())
    assert loud.fingerprint != quiet.fingerprint


def test_a_long_sheet_unfolds_and_holds_every_passage() -> None:
    texts = [f"passage {i} " + "word " * 80 for i in range(24)]
    for page in (leaves.sheet(texts).decode(), leaves.beside(texts, texts, ["near"] * 24).decode()):
        seen, _, rest = page.partition("<details>")
        assert "passage 2 " in seen and "passage 23 " not in seen
        assert all(f"passage {i} " in page for i in range(24))
        assert f">{24 - seen.count('passage ') // page.count('passage 0 ')} more</span></summary>" in rest
    assert b"<details>" not in leaves.sheet(["short"] * 24)
    assert b"<details>" not in leaves.sheet(texts[:4])


def test_sheets_are_escaped_and_show_what_cannot_be_seen(chinese: Two) -> None:
    codec = chinese[0].codec
    records = Passages.of(
        ["<script>alert(1)</script>", "bell\x07 and \u202eturned\u202c", "שלום"], codec_of(chinese[0]).origin
    )
    page = codec.sheet(records, 8).decode()
    assert "<script" not in page and "\u2407" in page and "\u202e" not in page and page.count('dir="auto"') == 3
    pairs = codec.beside(records[:1], records[:1], ["<b>"])
    assert pairs is not None and "<mark>&lt;script&gt;" in pairs.decode() and "&lt;b&gt;" in pairs.decode()


def test_look_says_what_there_is(tmp_path: Path) -> None:
    told = survey(load(written(tmp_path, "t.txt", CHINESE + ENGLISH)))
    assert told["documents"] == 1 and told["characters"] == len(CHINESE + ENGLISH) and told["longest_line"] > 30
    assert set(told["scripts"]) == {"Latin", "Han"} and told["encodings"] == {"utf-8": 1} and told["vocabulary"] > 50
    assert json.dumps(told)


def test_a_part_of_a_large_file_is_taken_all_over_it(tmp_path: Path) -> None:
    file = written(tmp_path, "t.txt", "".join(f"{i:07d} and something of a line\n" for i in range(60_000)))
    data = load(file, options={"limit": 2**17})
    first = [int(text[:7]) for text in data.contents.records.strings() if text[:7].isdigit()]
    assert data.contents.facts["characters"] <= 2**17 and "spread evenly" in data.notes[0]
    lines = "\n".join(json.dumps({"text": f"number {i} of many that there are"}) for i in range(40_000))
    rows = load(written(tmp_path, "t.jsonl", lines), options={"limit": 2**21 + 2**20}).contents.records.strings()
    assert len(first) and len(set(rows)) == len(rows) and int(rows[-1].split()[1]) == 39_999


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=400), most=st.integers(8, 60), last=st.sampled_from([None, 0.1, 0.5]))
def test_cutting_loses_nothing(text: str, most: int, last: float | None) -> None:
    text = text.encode("utf-8", "ignore").decode()
    records, aside = cut(text, np.array([0, len(text)]), Origin(most=most), last)
    assert "".join(records.strings()) == text and (records.sizes <= most).all() and (records.sizes > 0).all()
    if aside is not None:
        held = "".join(one for one, away in zip(records.strings(), aside, strict=True) if away)
        assert held == text[int(len(text) * (1 - last)) :]


@pytest.mark.parametrize(
    "options",
    [
        {"tokens": "words"},
        {"length": 3},
        {"vocab": 10},
        {"limit": 1},
        {"documents": "x"},
        {"mask": 3},
        {"label": "a", "labels": "b"},
        {"colour": 1},
        {"encoding": "klingon"},
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(FitError):
        load(written(tmp_path, "t.txt", ENGLISH), options=options)


def test_real_text_goes_through(data_dir: Path) -> None:
    data = load(data_dir / "text" / "tinyshakespeare.txt", holdout="last:0.1")
    ((codes, characters, size),) = data.codec.streams(data.contents, data.holdout)
    assert len(codes) == 111_541 and characters == size == 111_540
    assert codec_of(data).spaces[0].vocab == MARKS + 66 and (data.points("train") == NOTHING).float().mean() < 0.06


# Kinds of text that people have -----------------------------------------------------------------------------------


def saying(number: int) -> str:
    rng = np.random.default_rng(number)
    who, what = rng.choice(["学生", "先生", "朋友", "邻居"]), rng.choice(["读书", "种花", "下棋", "走路", "喝茶"])
    return f"{who}在{rng.integers(1, 99)}号{what}，他说：今天是个好日子。\n"


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "cp1251", "utf-8"])
def test_text_is_made_in_the_encoding_of_the_data(tmp_path: Path, encoding: str) -> None:
    russian = "".join(f"Сегодня {i} мая мы пошли гулять в лес и видели {i * 7 % 11} белых птиц.\n" for i in range(300))
    text = russian if encoding == "cp1251" else "".join(map(saying, range(300)))
    (tmp_path / "t.txt").write_bytes(text.encode(encoding))
    asked = ["data.encoding=cp1251"] if encoding == "cp1251" else []
    run = karat.train(tmp_path / "t.txt", recipe="ngram", out=tmp_path / "run", threads=1, set=asked)
    for out in ("new.txt", "new.csv"):
        karat.make(run, n=5, out=tmp_path / out, threads=1)
        made = (tmp_path / out).read_bytes().decode(encoding)
        assert len(set(made) & set(text)) > 10 and "�" not in made
    karat.make(run, n=3, out=tmp_path / "folder", threads=1)
    assert all(set(p.read_bytes().decode(encoding)) <= set(text) | {"\n"} for p in (tmp_path / "folder").glob("*.txt"))


@pytest.mark.parametrize("size", [2_000, 3_000])
def test_a_page_of_text_is_looked_at_and_learned(tmp_path: Path, size: int) -> None:
    text = "".join(
        f"On day {i} the {('grey', 'old', 'small')[i % 3]} {('cat', 'owl')[i % 2]} sat and thought of {i * 7 % 13} mice.\n"
        for i in range(99)
    )
    (tmp_path / "page.txt").write_text(text[:size])
    told = karat.look(tmp_path / "page.txt", threads=1, probe=False)
    assert told["characters"] == size and told["train"] >= 32
    run = karat.train(tmp_path / "page.txt", recipe="ngram", out=tmp_path / "run", threads=1)
    karat.make(run, n=3, out=tmp_path / "new.txt", threads=1)
    assert set((tmp_path / "new.txt").read_text()) - set("<|endoftext|>") <= set(text)


CHAT = [
    {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": f"What is {i} and {i % 7}?"},
            {"role": "assistant", "content": f"It is {i + i % 7}.\nI think."},
        ]
    }
    for i in range(90)
]
SHARED = [
    {"conversations": [{"from": "human", "value": f"Say {i}"}, {"from": "gpt", "value": f"{i}!"}]} for i in range(90)
]
PARTS = [
    {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": f"Say {i}"}, {"type": "image"}]},
            {"role": "assistant", "content": None},
        ]
    }
    for i in range(90)
]


@pytest.mark.parametrize("rows", [CHAT, SHARED, PARTS], ids=["messages", "conversations", "parts"])
def test_conversations_are_read_and_made_as_conversations(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = load(tmp_path / "chat.jsonl")
    assert any("conversation" in note for note in data.notes)
    first = reading.read(tmp_path / "chat.jsonl", How()).documents[3]
    said = [m for m in next(iter(rows[3].values())) if m.get("content", m.get("value"))]
    parted = chat_of(first)
    assert [m["role"] for m in parted] == [m.get("role", m.get("from")) for m in said]
    run = karat.train(tmp_path / "chat.jsonl", recipe="ngram", out=tmp_path / "run", threads=1)
    karat.make(run, n=8, out=tmp_path / "new.jsonl", threads=1)
    made = [json.loads(line) for line in (tmp_path / "new.jsonl").read_text().splitlines()]
    key = next(iter(rows[0]))
    assert all(set(m) == {"role", "content"} for row in made for m in row[key])
    assert {m["role"] for row in made for m in row[key]} & {m["role"] for m in parted}


def test_a_line_without_a_conversation_is_named(tmp_path: Path) -> None:
    rows = [*CHAT[:40], {"messages": "hello"}]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"chat.jsonl, line 41 holds no conversation"):
        load(tmp_path / "chat.jsonl")


def test_a_folder_of_source_code_is_text_though_a_logo_lies_beside_it(tmp_path: Path) -> None:
    for i in range(40):
        file = tmp_path / f"part{i % 4}" / f"m{i}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"def f{i}(x):\n    return x * {i} + {i * i}\n")
    (tmp_path / "logo.png").write_bytes(b"\x89PNG")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "other.js").write_text("var x")
    (tmp_path / "README.md").write_text("All about f.\n")
    data = load(tmp_path)
    assert data.codec.name == "text" and not data.classes and len({n.split(",")[0] for n in data.contents.names}) == 41
    assert any("40 .py" in note for note in data.notes)


def test_one_file_of_source_code_is_text(tmp_path: Path) -> None:
    (tmp_path / "all.c").write_text("".join(f"int f{i}(void) {{ return {i}; }}\n" for i in range(200)))
    assert load(tmp_path / "all.c").codec.name == "text"

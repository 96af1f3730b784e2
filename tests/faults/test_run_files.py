"""Every file of a run, damaged or forged: one line in words, no code run, no memory lost (R6, S1, S2, S3)."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import TINY

import karat
from karat import synthesizer
from karat.errors import FitError, KaratError, RunError, TooLarge
from karat.families.generator import Learned
from karat.options import MakeOptions
from karat.run import Run, safe_header
from karat.synthesizer import building
from karat.workflow import checkpoints, learning, making
from karat.worth.ledger import Ledger

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of forged numbers
HASTY = [*TINY, "train.save_seconds=0.05"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small finished run of each kind of content, two of pictures."""
    folder = tmp_path_factory.mktemp("runs")
    rows = "".join(f"{i},{i % 7},{'ab'[i % 2]},2024-01-{i % 28 + 1:02d}\n" for i in range(60))
    (folder / "t.csv").write_text("key,n,c,day\n" + rows)
    lines = "".join(f"{word} {other} {word}s are here and {other} was there.\n\n" for word in WORDS for other in WORDS)
    (folder / "x.txt").write_text(lines)
    both = folder / "both"
    both.mkdir()
    (both / "people.csv").write_text("person,age\n" + "".join(f"{i},{20 + i % 30}\n" for i in range(50)))
    (both / "orders.csv").write_text("order,person,n\n" + "".join(f"{i},{i % 50},{i % 7}\n" for i in range(120)))
    made = {
        "pictures": karat.train("digits", steps=3, out=folder / "p", threads=1, set=HASTY),
        "table": karat.train(folder / "t.csv", out=folder / "t", threads=1),
        "text": karat.train(folder / "x.txt", out=folder / "x", recipe="ngram", threads=1),
        "related": karat.train(both, out=folder / "b", threads=1),
    }
    return {name: run.path for name, run in made.items()}


WORDS = ("apple", "river", "stone", "cloud", "paper", "green", "music", "winter")


def opened(path: Path) -> None:
    """Opens all of a run."""
    run = Run.open(path)
    recipe = learning.permit(run, None)
    run.lines("history.jsonl")
    Ledger(path / "ledger.jsonl").entries()
    codec = synthesizer.load(run, CPU).codec
    blob = run.load_checkpoint()
    if blob is not None:
        model = building.build(recipe, building.meet(recipe, codec), len(run.spec["classes"]), 0)
        assert isinstance(model, Learned)
        checkpoints.restore(blob, model, "fp32")


def used(path: Path) -> None:
    """Opens all of a run, and makes something of it."""
    opened(path)
    making.make(Run.open(path), MakeOptions(path, n=2, out=path / "made", device="cpu", overwrite=True))


def in_words(path: Path, use: Callable[[Path], None] = used) -> str:
    """What is said when the run is used; "" where it can be."""
    try:
        use(path)
    except KaratError as error:
        said = str(error)
        assert "\n" not in said and len(said) < 900, said
        return said
    return ""


@pytest.fixture
def copy(runs: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    def copied(kind: str) -> Path:
        goal = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(runs[kind], goal)
        return goal

    return copied


@pytest.mark.parametrize("kind", ["pictures", "table", "text", "related"])
def test_a_run_that_is_whole_is_used(kind: str, copy: Callable[[str], Path]) -> None:
    assert in_words(copy(kind)) == ""


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".png")


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_byte_that_flips_or_an_end_that_is_missing_is_said_in_a_line(runs: dict[str, Path], data: Any) -> None:
    run = runs[data.draw(st.sampled_from(["pictures", "table"]))]
    name = data.draw(st.sampled_from([n for n in names(run) if not n.startswith(("report", "made", "."))]))
    whole = (run / name).read_bytes()
    if not whole:
        return
    place = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.booleans())
    bad = (
        whole[:place]
        if cut
        else whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    )
    try:
        (run / name).write_bytes(bad)
        said = in_words(run)
        if name.startswith(("model", "codec")):
            assert "damaged" in said, "never used, and by its digest"
    finally:
        (run / name).write_bytes(whole)
        shutil.rmtree(run / "made", ignore_errors=True)


def forge(run: Path, name: str, blob: bytes) -> None:
    """Puts other bytes at a file of the run and mends the digests, as a stranger would."""
    spec = json.loads((run / "karat.json").read_text())
    if name == "model":
        for old in run.glob("model-*"):
            old.unlink()
        name = f"model-{hashlib.sha256(blob).hexdigest()[:16]}.safetensors"
        spec["models"] = [name]
    elif name == "checkpoint":
        shutil.rmtree(run / "checkpoints", ignore_errors=True)
        (run / "checkpoints").mkdir()
        found = f"{3:010d}-{hashlib.sha256(blob).hexdigest()[:16]}.safetensors"
        spec["checkpoints"], name = [found], f"checkpoints/{found}"
    else:
        spec["parts"][name] = hashlib.sha256(blob).hexdigest()
    (run / name).write_bytes(blob)
    (run / "karat.json").write_text(json.dumps(spec))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in JSON, tables and lists included."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, one in inner:
        yield from leaves(one, (*path, key))


def with_other(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    copied = json.loads(json.dumps(value))
    at = copied
    for key in path[:-1]:
        at = at[key]
    if other is GONE:
        del at[path[-1]]
    else:
        at[path[-1]] = other
    return copied


def test_a_forged_number_of_rows_is_refused_before_they_are_made(copy: Callable[[str], Path]) -> None:
    run = copy("related")
    codec = json.loads((run / "codec.json").read_text())
    for step in codec["steps"].values():
        for part in step["what"]["layout"]["parts"] if step["what"] else ():
            if part["name"].startswith("rows of"):
                part["grain"]["origin"] = 2**40
    forge(run, "codec.json", json.dumps(codec).encode())
    with pytest.raises(TooLarge, match=r"orders \(.* rows\) would need"):
        used(run)


@pytest.mark.parametrize("name", ["given", "label", "balance", "prompt", "stop", "producer"])
def test_words_in_no_encoding_are_refused_before_anything_is_made(name: str, copy: Callable[[str], Path]) -> None:
    half = "n=\udcab"  # what a terminal in Latin-1 hands over for n=«
    run = copy("text" if name in ("prompt", "stop") else "table")
    with pytest.raises(FitError, match=r"is no text in UTF-8"):
        karat.make(run, n=2, threads=1, **{name: [half] if name == "stop" else half})
    assert not (run / "made").exists()


def test_a_file_of_partial_rows_may_have_a_name_in_no_encoding(copy: Callable[[str], Path], tmp_path: Path) -> None:
    partial = tmp_path / "half\udcab.csv"
    partial.write_text("n\n5\n")
    (made,) = karat.make(copy("table"), given=str(partial), out=tmp_path / "m.csv", threads=1)
    assert made.read_text().splitlines()[1].split(",")[1] == "5"


GONE = object()
OTHERS = [GONE, None, "x", -1, 10**9, 1e300, 2**70, True, [], {}, [[]], {"x": 1}, float("nan"), "\ud800"]


@pytest.mark.parametrize("kind", ["pictures", "table", "text", "related"])
def test_a_forged_codec_is_refused_in_a_line_or_works(kind: str, runs: dict[str, Path], tmp_path: Path) -> None:
    whole = json.loads((runs[kind] / "codec.json").read_text())
    ways = list(leaves(whole))
    ways = ways[:: max(1, len(ways) // 12)]
    folder = tmp_path / "r"
    shutil.copytree(runs[kind], folder)
    tried = opens = 0
    for i, way in enumerate(ways):
        for other in OTHERS[i % 3 :: 3]:
            forge(folder, "codec.json", json.dumps(with_other(whole, way, other)).encode())
            tried += 1
            if in_words(folder, opened):
                continue
            opens += 1
            if not in_words(
                folder, lambda path: karat.make(path, n=2, out=tmp_path / "m", overwrite=True, threads=1) and None
            ):
                assert all(file.stat().st_size for file in (tmp_path / "m").rglob("*")), (way, other)
    assert 0 < opens < tried / 4, "what a codec cannot hold is refused when it is opened"


@pytest.mark.parametrize("k", range(len(OTHERS)), ids=[str(o)[:12] for o in OTHERS])
def test_a_forged_record_is_refused_in_a_line_or_works(k: int, runs: dict[str, Path], tmp_path: Path) -> None:
    folder, other = tmp_path / "r", OTHERS[k]
    shutil.copytree(runs["table"], folder)
    whole = json.loads((folder / "karat.json").read_text())
    worked = set()
    for way in list(leaves(whole))[k % 2 :: 2]:
        (folder / "karat.json").write_text(json.dumps(with_other(whole, way, other)))
        shutil.rmtree(folder / "made", ignore_errors=True)
        if not in_words(folder):
            worked.add(way[0])
            assert len((folder / "made" / "made.csv").read_text().splitlines()) == 3, way
    assert not worked & {"layout", "fingerprint", "models"}, "no other value of these is right"
    assert not worked or other not in (-1, [[]]) and other == other, "nor is one of these right anywhere"


# Weights ------------------------------------------------------------------------------------------------------------


def file(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensor(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


LIES = {
    "a header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "a header longer than the file": struct.pack("<Q", 100) + b"{}",
    "a header over the cap": file(b"{" + b" " * (1 << 24) + b"}"),
    "no JSON": file(b"\xff\xfe{"),
    "a list": file([1]),
    "nested too deeply": file(b"[" * 100_000),
    "100,000 tensors": file({f"t{i}": tensor("U8", [0], 0, 0) for i in range(100_000)}),
    "a name twice": file(
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"x",
    ),
    "an overlap": file({"a": tensor("U8", [2], 0, 2), "b": tensor("U8", [2], 1, 3)}, b"xxx"),
    "a gap": file({"a": tensor("U8", [1], 0, 1), "b": tensor("U8", [1], 2, 3)}, b"xxx"),
    "bytes at the end": file({"a": tensor("U8", [1], 0, 1)}, b"xx"),
    "a shape that overflows": file({"a": tensor("F32", [2**33, 2**33], 0, 0)}),
    "a shape that is larger than its bytes": file({"a": tensor("F32", [10**9], 0, 4)}, b"xxxx"),
    "a negative shape": file({"a": tensor("U8", [-1, -1], 0, 1)}, b"x"),
    "an unknown type": file({"a": tensor("PICKLE", [1], 0, 1)}, b"x"),
    "a type that is half a byte": file({"a": tensor("F4", [2], 0, 1)}, b"x"),
    "offsets that run backwards": file({"a": tensor("U8", [1], 1, 0)}, b"x"),
    "a true for a number": file({"a": {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}}, b"x"),
    "more than its keys": file({"a": {**tensor("U8", [1], 0, 1), "code": "x"}}, b"x"),
    "empty": b"",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=list(LIES))
def test_a_weights_file_that_lies_is_refused_before_anything_is_allocated(
    lie: bytes, copy: Callable[[str], Path]
) -> None:
    with pytest.raises(RunError, match="damaged header") as said:
        safe_header(lie)
    assert "\n" not in str(said.value) and len(str(said.value)) < 300
    run = copy("pictures")
    forge(run, "model", lie)
    assert "damaged header" in in_words(run)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("what", ["model", "checkpoint"])
def test_weights_that_are_not_finite_are_not_used(what: str, value: float, copy: Callable[[str], Path]) -> None:
    run = copy("pictures")
    (old,) = run.glob("model-*") if what == "model" else sorted((run / "checkpoints").iterdir())[-1:]
    blob = old.read_bytes()
    tensors = safetensors.torch.load(blob)
    name = max((n for n in tensors if tensors[n].is_floating_point()), key=lambda n: tensors[n].numel())
    tensors[name].view(-1)[0] = value
    length = struct.unpack("<Q", blob[:8])[0]
    forge(run, what, safetensors.torch.save(tensors, json.loads(blob[8 : 8 + length]).get("__metadata__")))
    assert "not finite" in in_words(run)


@pytest.mark.parametrize("kind", ["pictures", "table", "text", "related"])
def test_weights_of_another_shape_type_or_name_are_refused_in_a_line_or_work(
    kind: str, copy: Callable[[str], Path]
) -> None:
    run = copy(kind)
    (old,) = run.glob("model-*")
    whole = safetensors.torch.load(old.read_bytes())
    some = sorted(whole)[:: max(1, len(whole) // 6)]
    for name in some:
        for other in (
            None,
            whole[name].double() if whole[name].is_floating_point() else whole[name].float(),
            whole[name].reshape(-1)[:0],
            whole[name].reshape(-1),
            torch.full_like(whole[name], 10**6 if whole[name].dtype.itemsize > 2 else 1),
            -whole[name] - 1 if whole[name].dtype != torch.bool else ~whole[name],
        ):
            forged = {k: v.contiguous() for k, v in {**whole, name: other}.items() if v is not None}
            forge(run, "model", safetensors.torch.save(forged))
            in_words(run, opened)
    forge(run, "model", safetensors.torch.save({**whole, "more": torch.zeros(3)}))
    in_words(run, opened)


@pytest.mark.parametrize("suffix", ["/../../victim.csv", "/x.csv", "", ".csv/../../victim", "\ud800"])
def test_a_codec_that_says_where_files_go_is_refused(suffix: str, copy: Callable[[str], Path]) -> None:
    for kind, *way in (("table", "suffix"), ("text", "origin", "suffix")):
        run = copy(kind)
        whole = json.loads((run / "codec.json").read_text())
        forge(run, "codec.json", json.dumps(with_other(whole, tuple(way), suffix)).encode())
        assert "damaged" in in_words(run)
        assert not list(run.parent.glob("victim*")) and not (run / "made").exists()


class Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.canary, "ran"))


def test_a_pickle_by_any_name_runs_nothing(copy: Callable[[str], Path], tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    payload = pickle.dumps(Payload(canary))
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:  # as torch.save writes
        archive.writestr("archive/data.pkl", payload)
    for blob in (
        payload,
        (tmp_path / "zip").read_bytes(),
        file({"a": tensor("U8", [len(payload)], 0, len(payload))}, payload),
    ):
        for name in ("model", "checkpoint", "codec.json"):
            run = copy("pictures")
            forge(run, name, blob)
            assert in_words(run)
        for name in ("karat.json", "history.jsonl", "ledger.jsonl", "diagnostics.json", "karat.pt", "model.joblib"):
            run = copy("pictures")
            (run / name).write_bytes(blob)
            in_words(run)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["history.jsonl", "diagnostics.json", "ledger.jsonl", "privacy.json"])
def test_garbage_beside_the_model_never_costs_an_assay(name: str, copy: Callable[[str], Path]) -> None:
    garbage = [
        b"\xff" * 100,
        b"[" * 100_000,
        b"x" * 3_000_000,
        b'{"fraction": "x"}\n[1]\n"x"\n',
        b'{"fraction": NaN}',
        b'[{"name": 1}]',
        b"null",
        b"",
    ]
    run = copy("table")
    whole = (run / name).read_bytes() if (run / name).exists() else b""
    for blob in garbage[:: 1 if name != "privacy.json" else 4]:
        (run / name).write_bytes(whole + blob if name.endswith("l") else blob)
    found = karat.assay(str(run), n=40, threads=1)
    assert found.findings and found.report is not None and found.report.is_file()

"""Every form that has a place for a label: exactly one, in it, whatever was there; what is in the file stays as it was."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
import safetensors
from filled import MADE, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from karat.errors import DataError
from karat.provenance.containers import container_of
from karat.provenance.label import KEYS, LAWS, SOURCE_TYPE, Label
from karat.provenance.reading import found_in, read_label

LABEL = Label(
    "karat", "digits-7f3a", "seed5-000042", "0.1.0", recipe="gan", seed=5, record=42, time="2026-01-02T03:04:05Z"
)
OTHER = Label("somebody", "cats-1", "7", "0.2.0")
ENDLESS = ("flac", "mp3", "md")  # forms that do not say how long they are: that one was cut only its digest tells


@pytest.mark.parametrize("name", MADE)
def test_a_label_goes_in_comes_out_and_changes_nothing_else(name: str) -> None:
    plain, container = MADE[name](), container_of(name)
    assert container is not None and found_in(container.words(plain)) is None
    done = container.write(plain, LABEL)
    found = found_in(container.words(done))
    assert found is not None and found.count == 1
    assert found.fields == LABEL.fields(f"sha256:{container.digest(done)}") and tuple(found.fields) == KEYS
    assert found.about == {
        "by": "karat 0.1.0",
        "digital_source_type": SOURCE_TYPE,
        "run": "digits-7f3a",
        "recipe": "gan",
        "seed": 5,
        "record": 42,
        "time": "2026-01-02T03:04:05Z",
    }
    assert read(name, done) == read(name, plain)
    assert container.write(plain, LABEL) == done, "the same label, the same bytes"


@pytest.mark.parametrize("name", MADE)
def test_another_label_replaces_the_one_that_was_there(name: str) -> None:
    plain, container = MADE[name](), container_of(name)
    assert container is not None
    once = container.write(plain, LABEL)
    twice = container.write(once, OTHER)
    assert twice == container.write(plain, OTHER) and b"digits-7f3a" not in twice
    assert container.write(twice, LABEL) == once == container.write(once, LABEL)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", ["a.png", "a.flac", "a.parquet", "a.md"])
def test_a_file_carries_the_texts_of_its_law_and_one_label(name: str, law: str) -> None:
    container = container_of(name)
    assert container is not None
    label = Label("karat", "digits-7f3a", "seed5-1", "0.1.0", recipe="gan", seed=5, law=law)  # type: ignore[arg-type]
    done = container.write(MADE[name](), label)
    words = dict(container.words(done))
    assert sorted(words) == {"cn": ["AIGC"], "eu": ["KARAT"]}.get(law, ["AIGC", "KARAT"])
    found = found_in(list(words.items()))
    assert found is not None and found.count == 1 and found.fields["Label"] == "1"
    assert found.fields["ReservedCode1"] == f"sha256:{container.digest(done)}"
    assert (SOURCE_TYPE in done.decode("latin-1")) == (law != "cn" or name == "a.png")  # which XMP always has
    assert (b"digits-7f3a" in done) == (law != "private") and ("seed" in found.about) == (law in ("eu", "both"))


@pytest.mark.parametrize("name", MADE)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_cut_or_damaged_is_refused_or_not_as_its_label_says(name: str, data: st.DataObject) -> None:
    container = container_of(name)
    assert container is not None
    done = bytearray(container.write(MADE[name](), LABEL))
    if data.draw(st.booleans()):
        del done[-data.draw(st.integers(1, len(done))) :]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            done[data.draw(st.integers(0, len(done) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = found_in(container.words(bytes(done)))
        if found is not None:
            container.digest(bytes(done))
        container.write(bytes(done), OTHER)
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", MADE)
def test_a_changed_byte_of_the_content_shows(name: str, tmp_path: Path) -> None:
    container = container_of(name)
    assert container is not None
    path, done = tmp_path / name, container.write(MADE[name](), LABEL)
    path.write_bytes(done)
    found = read_label(path)
    assert found is not None and found.intact is True and found.place == "inside"
    hidden, words = [], (LABEL.sentence().encode(), b"karat 0.1.0")  # a person reads them, and no program
    spoken = [(at, said) for said in words for at in range(len(done)) if done.startswith(said, at)]
    for at in range(1, len(done), max(1, len(done) // 15)):
        path.write_bytes(done[:at] + bytes((done[at] ^ 1,)) + done[at + 1 :])
        try:
            again = read_label(path)
        except DataError:
            continue
        if again == found and not any(begin <= at < begin + len(said) for begin, said in spoken):
            hidden.append(at)
    assert not hidden or name == "a.xlsx", "whose parts may be packed in any way"
    assert all(read(name, done[:at] + bytes((done[at] ^ 1,)) + done[at + 1 :]) == read(name, done) for at in hidden)


@pytest.mark.parametrize("name", [n for n in MADE if not n.endswith(ENDLESS)])
def test_a_file_that_was_cut_is_no_whole_file(name: str) -> None:
    container = container_of(name)
    assert container is not None
    done = container.write(MADE[name](), LABEL)
    for cut in (1, 7, len(done) // 2, len(done) - 2):
        with pytest.raises(DataError):
            container.words(done[:-cut])


def said_by(program: str, *arguments: str | Path) -> str:
    """What a program that reads such files says; the test is left out where it is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.exam
@pytest.mark.parametrize("name", [n for n in MADE if n.split(".")[1] in ("png", "jpg", "webp", "tif", "gif")])
def test_exiftool_finds_the_label_and_the_source_type_of_a_picture(name: str, tmp_path: Path) -> None:
    container = container_of(name)
    assert container is not None
    (tmp_path / name).write_bytes(container.write(MADE[name](), LABEL))
    (told,) = json.loads(said_by("exiftool", "-json", "-G1", "-a", tmp_path / name))
    aigc = told["XMP-TC260:Aigc"]
    assert (aigc if isinstance(aigc, dict) else json.loads(aigc))["ProduceID"] == "digits-7f3a/seed5-000042"
    assert told["XMP-iptcExt:DigitalSourceType"] == SOURCE_TYPE and "ExifTool:Warning" not in told


def test_the_room_of_a_packet_lies_inside_it_as_those_who_copy_packets_want() -> None:
    """ISO 16684-1, 7.3.2: exiftool refuses to copy one that has anything behind its trailer."""
    container = container_of("a.tif")
    assert container is not None
    once = container.write(MADE["a.tif"](), LABEL)
    for done in (once, container.write(once, OTHER)):
        place = done.index(b"<?xpacket begin")
        packet = done[place : place + 4096]
        assert packet.endswith(b'<?xpacket end="w"?>') and packet.count(b"<?xpacket end") == 1


@pytest.mark.exam
@pytest.mark.parametrize("name", [n for n in MADE if n.split(".")[1] in ("flac", "ogg", "opus", "mp3")])
def test_ffprobe_finds_the_label_of_a_sound(name: str, tmp_path: Path) -> None:
    container = container_of(name)
    assert container is not None
    (tmp_path / name).write_bytes(container.write(MADE[name](), LABEL))
    told = json.loads(
        said_by("ffprobe", "-v", "error", "-show_entries", "format_tags:stream_tags", "-of", "json", tmp_path / name)
    )
    tags = {**told["format"].get("tags", {}), **told["streams"][0].get("tags", {})}
    assert json.loads(tags["AIGC"])["ProduceID"] == "digits-7f3a/seed5-000042"
    assert json.loads(tags["KARAT"])["run"] == "digits-7f3a"


OTHERS: dict[str, Callable[[Path], str | bytes]] = {  # how those who write no labels read it
    "a.parquet": lambda path: pq.read_metadata(path).metadata[b"AIGC"],
    "a.feather": lambda path: ipc.open_file(pa.memory_map(str(path))).schema.metadata[b"AIGC"],
    "a.orc": lambda path: orc.ORCFile(path).metadata[b"AIGC"],
    "packed.orc": lambda path: orc.ORCFile(path).metadata[b"AIGC"],
    "a.xlsx": lambda path: openpyxl.load_workbook(path).custom_doc_props["AIGC"].value,
    "a.npz": lambda path: json.dumps(json.loads(zipfile.ZipFile(path).comment)["AIGC"]),
    "a.safetensors": lambda path: safetensors.safe_open(path, "np").metadata()["AIGC"],
    "a.db": lambda path: sqlite3.connect(path).execute("SELECT value FROM AIGC WHERE key = 'AIGC'").fetchone()[0],
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_library_of_the_form_reads_the_label(name: str, tmp_path: Path) -> None:
    container = container_of(name)
    assert container is not None
    (tmp_path / name).write_bytes(container.write(MADE[name](), LABEL))
    found = json.loads(OTHERS[name](tmp_path / name))
    assert found["ProduceID"] == "digits-7f3a/seed5-000042" and tuple(found) == KEYS

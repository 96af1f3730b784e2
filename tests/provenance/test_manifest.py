"""C2PA manifests: accepted by the reference verifier, and what was done to a file since is told by them alone."""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from contents import WRITERS

import karat
from karat.errors import DataError
from karat.provenance.containers import CONTAINERS
from karat.provenance.content import content_digest
from karat.provenance.edits import edited
from karat.provenance.label import Label
from karat.provenance.signing import Key, Signer
from karat.provenance.signing.manifest import TYPES

c2pa = pytest.importorskip("c2pa", reason="C2PA manifests want karat[sign]")

FORMS = [suffix for suffix in TYPES if suffix in WRITERS]
LABEL, OTHER = Label("karat", "abc", "seed0-1", "0.1"), Label("someone", "theirs", "seed7", "0.1")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("Mine", "Mallory"):
        karat.key(out=folder / name, name=name)
    return folder


def signed(path: Path, keys: Path, by: str = "Mine") -> Path:
    WRITERS[path.suffix](path, False, False)
    blob = Signer(Key.read(keys / by), "0.1").inside(path.name, path.read_bytes(), LABEL)
    assert blob is not None
    path.write_bytes(blob)
    return path


def strip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(edited(data, CONTAINERS[path.suffix].put(data, None)))


def relabel(path: Path) -> None:
    path.write_bytes(CONTAINERS[path.suffix].write(path.read_bytes(), OTHER))


def edit(path: Path) -> None:
    """One byte, after which it is still a file of its form and another content."""
    before, whole = content_digest(path), path.read_bytes()
    for at in range(13, 300, 7) if path.suffix in (".png", ".webp") else range(len(whole) - 3, 13, -7):
        data = bytearray(whole)
        data[at] ^= 4
        if path.suffix == ".png":  # whose chunks have checksums
            start = whole.find(b"IDAT")
            (size,) = struct.unpack_from(">I", whole, start - 4)
            data = bytearray(whole)
            pixels = bytearray(zlib.decompress(whole[start + 4 : start + 4 + size]))
            pixels[at] ^= 4
            packed = b"IDAT" + zlib.compress(bytes(pixels))
            new = struct.pack(">I", len(packed) - 4) + packed + struct.pack(">I", zlib.crc32(packed))
            data[start - 4 : start + 8 + size] = new
        path.write_bytes(data)
        with contextlib.suppress(DataError):
            if content_digest(path) != before:
                return
    pytest.fail("no byte found")


HARM: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "untouched": (lambda _: None, "intact", "trusted"),
    "stripped": (strip, "stripped", "invalid"),
    "edited": (edit, "edited", "invalid"),
    "relabelled": (relabel, "relabelled", "invalid"),
}


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize(("harm", "state", "validity"), HARM.values(), ids=list(HARM))
def test_what_was_done_to_a_file_is_told_by_its_manifest_alone(
    harm: Callable[[Path], None], state: str, validity: str, suffix: str, keys: Path, tmp_path: Path
) -> None:
    path = signed(tmp_path / f"x{suffix}", keys)
    harm(path)
    (found,) = karat.check(path, trust=[keys / "Mine"]).files
    assert found.state == state, found.says
    (manifest,) = (result for result in found.results if result.type == "c2pa")
    assert (manifest.validation_state, manifest.issuer) == (validity, "Mine")


@pytest.mark.parametrize("suffix", FORMS)
def test_a_manifest_of_another_key_is_valid_and_not_trusted(suffix: str, keys: Path, tmp_path: Path) -> None:
    path = signed(tmp_path / f"x{suffix}", keys, by="Mallory")
    (found,) = karat.check(path, trust=[keys / "Mine"]).files
    assert found.state == "other key" and "Mallory" in found.says
    (found,) = karat.check(path, trust=[keys / "Mallory"]).files
    assert found.state == "intact"


def test_the_reference_reader_finds_a_trained_model_and_no_thumbnail_and_one_label(keys: Path, tmp_path: Path) -> None:
    path = signed(tmp_path / "x.png", keys)
    settings = {"trust": {"user_anchors": (keys / "Mine" / "root.pem").read_text()}, "verify": {"verify_trust": True}}
    reader = c2pa.Reader(path, context=c2pa.Context.from_dict(settings))
    manifest = json.loads(reader.json())["manifests"][reader.get_active_manifest()["label"]]
    assert reader.get_validation_state() == "Trusted" and "thumbnail" not in manifest
    (actions,) = (a["data"]["actions"] for a in manifest["assertions"] if a["label"].startswith("c2pa.actions"))
    assert actions[0]["action"] == "c2pa.created" and actions[0]["digitalSourceType"].endswith(
        "trainedAlgorithmicMedia"
    )
    assert path.stat().st_size < 20_000 and len(CONTAINERS[".png"].words(path.read_bytes())) == 2

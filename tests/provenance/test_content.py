"""The digest of content: the same whatever becomes of the label, another as soon as the content is another."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import soundfile
from contents import WRITERS, picture, sound, table
from PIL import Image

from karat.errors import DataError
from karat.provenance.content import FORMS, content_digest


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_label_more_or_less_is_the_same_content_and_an_edit_is_another(suffix: str, tmp_path: Path) -> None:
    digests = {}
    for name, label, edit in (("bare", False, False), ("labelled", True, False), ("edited", True, True)):
        WRITERS[suffix](tmp_path / f"{name}{suffix}", label, edit)
        digests[name] = content_digest(tmp_path / f"{name}{suffix}")
    assert digests["bare"] == digests["labelled"] != digests["edited"]


@pytest.mark.parametrize(
    "suffix",
    [
        x
        for x in FORMS
        if x in WRITERS and x not in (".txt", ".md", ".csv", ".tsv", ".jsonl", ".wav", ".ogg", ".mp3", ".gif")
    ],
)
def test_a_file_that_is_cut_short_is_said_to_be_none(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"f{suffix}"
    WRITERS[suffix](path, True, False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(DataError, match=f"cannot be read as {suffix[1:]}|this database is damaged"):
        content_digest(path)


def test_what_other_programs_write_anew_is_the_same_content(tmp_path: Path) -> None:
    table(tmp_path / "a.parquet", True, False)
    pd.read_parquet(tmp_path / "a.parquet").to_parquet(tmp_path / "b.parquet", compression="gzip", row_group_size=2)
    assert content_digest(tmp_path / "a.parquet") == content_digest(tmp_path / "b.parquet")
    picture("PNG")(tmp_path / "a.png", True, False)
    Image.open(tmp_path / "a.png").save(tmp_path / "b.webp", lossless=True, exact=True)
    assert content_digest(tmp_path / "a.png") == content_digest(tmp_path / "b.webp")
    sound(tmp_path / "a.wav", True, False)
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    soundfile.write(tmp_path / "b.flac", samples, rate)
    assert content_digest(tmp_path / "a.wav") == content_digest(tmp_path / "b.flac")
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n1,2")
    assert content_digest(tmp_path / "a.csv") == content_digest(tmp_path / "b.csv")

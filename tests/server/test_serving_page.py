"""What the page on serving shows works as it is printed, and the routes and errors that it names are there."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import httpx
import pyarrow.csv
import pytest
from PIL import Image
from served import listening

from karat.options import ServeOptions
from karat.provenance.reading import read_label

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
HERE = "http://127.0.0.1:8321"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_runs_as_it_is_printed(served_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with listening(ServeOptions([served_runs], studio=False)) as address:
        names: dict[str, object] = {}
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            for block in blocks("python"):
                exec(block.replace(HERE, address), names)
        names["client"].close()  # type: ignore[attr-defined]
        for i in range(4):
            path = Path(f"seven-{i}.webp")
            assert Image.open(io.BytesIO(path.read_bytes())).size == (8, 8) and read_label(path) is not None
        assert read_label(Path("high.flac")) is not None and "('record', 'detected')" in printed.getvalue()
        (body,) = re.findall(r"/v1/rows .*?-d '(.*?)'", PAGE, re.DOTALL)
        rows = httpx.post(f"{address}/v1/rows", json=json.loads(body))
        table = pyarrow.csv.read_csv(io.BytesIO(rows.content))
        assert table.num_rows == 1000 and set(table["income"].to_pylist()) == {">50K"}
        assert min(table["age"].to_pylist()) >= 30 and max(table["age"].to_pylist()) <= 40
        wrong = httpx.post(f"{address}/v1/images/generations", json={"model": "digits", "n": 11})
        assert wrong.json() == json.loads(blocks("json")[0])
        described = httpx.get(f"{address}/openapi.json").json()["paths"]
        routes = PAGE.replace("NAME", "{name}").replace("JOB", "{job}")
        named = set(re.findall(r"`(?:GET |POST )?(/v1/[a-z_/{}]+)", routes))
        assert len(named) > 8 and named <= set(described), named - set(described)

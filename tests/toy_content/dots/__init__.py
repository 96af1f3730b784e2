"""Coloured points in the plane, one a line: `0.25 0.75 red`. All that a new kind of content needs is in this folder."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, Self

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from karat.content.codec import Block, Codec, Contents, Delivery
from karat.errors import DataError
from karat.space import Codes, Space
from karat.views import Columns, TableView

CELLS = 64  # of each axis, from 0 to 1


@dataclass(frozen=True)
class Dots(Codec):
    """Records float64 [n, 3]: x and y in [0, 1], and an index into `colours`."""

    colours: tuple[str, ...]

    name: ClassVar[str] = "dots"
    thing: ClassVar[str] = "dot"
    repeats: ClassVar[bool] = True
    reviewed: ClassVar[bool] = False

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.suffix == ".dots"

    @classmethod
    def read(cls, path: Path, options: Mapping[str, Any]) -> Contents:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        wrong = next((i for i, line in enumerate(lines, 1) if len(line) != 3), None)
        if wrong is not None:
            raise DataError(f"{path}, line {wrong}: x, y and a colour were wanted.")
        colours = sorted({line[2] for line in lines})
        records = np.array([[float(x), float(y), colours.index(colour)] for x, y, colour in lines])
        return Contents(records, facts={"colours": colours})

    @classmethod
    def fit(cls, contents: Contents, train: np.ndarray) -> Self:
        return cls(tuple(contents.facts["colours"]))

    def phrase(self) -> str:
        return f"dots of {len(self.colours)} colours"

    @property
    def wholes(self) -> tuple[str, ...]:
        return (".dots",)

    @property
    def spaces(self) -> tuple[Space, ...]:
        return (Codes((CELLS, CELLS, len(self.colours)), (True, True, False)),)

    def encode(self, records: Any, space: Space | None = None) -> Tensor:
        cells = np.clip((records[:, :2] * CELLS).astype(np.int64), 0, CELLS - 1)
        return torch.from_numpy(np.column_stack([cells, records[:, 2].astype(np.int64)]))

    def decode(self, points: Tensor, space: Space | None = None, rng: np.random.Generator | None = None) -> np.ndarray:
        rng = np.random.default_rng(0) if rng is None else rng
        codes = points.numpy().astype(float)
        return np.column_stack([(codes[:, :2] + rng.random((len(codes), 2))) / CELLS, codes[:, 2]])

    def view(self, records: Any, rows: np.ndarray | None = None) -> TableView:
        return TableView(
            Columns(("x", "y", "colour"), ((), (), self.colours)), records if rows is None else records[rows]
        )

    def line(self, record: np.ndarray) -> str:
        return f"{record[0]:.4f} {record[1]:.4f} {self.colours[int(record[2])]}\n"

    def stream(self, blocks: Iterator[Block], suffix: str, file: IO[bytes], how: Delivery) -> None:
        for block in blocks:
            file.writelines(self.line(record).encode() for record in block.records)

    def conform(self, records: Any) -> Any:
        return records

    def sheet(self, records: Any, columns: int) -> bytes:
        picture = Image.new("RGB", (256, 256), "white")
        draw = ImageDraw.Draw(picture)
        for x, y, colour in records:
            draw.ellipse([x * 250, y * 250, x * 250 + 6, y * 250 + 6], fill=("red", "green", "blue")[int(colour) % 3])
        out = io.BytesIO()
        picture.save(out, "PNG")
        return out.getvalue()

    def state(self) -> dict[str, Any]:
        return {"colours": list(self.colours)}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        return cls(tuple(state["colours"]))


CODEC = Dots

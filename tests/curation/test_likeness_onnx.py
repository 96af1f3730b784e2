"""Somebody else's encoder in an ONNX file, really run by the likeness gate; and files that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from karat.content.codec import Block
from karat.content.image.images import Images
from karat.curation.gate import Candidates
from karat.curation.likeness import Likeness
from karat.errors import FitError

onnx = pytest.importorskip("onnx", reason="the model is written by onnx")
pytest.importorskip("onnxruntime", reason="an encoder wants karat[onnx]")
SIDE, PEOPLE, EACH = 12, 16, 6


def face(person: int, rng: np.random.Generator) -> np.ndarray:
    """A picture [SIDE, SIDE] of a person: the same low pattern, in other light and with noise."""
    base = np.random.default_rng(person).uniform(40, 215, (4, 4)).repeat(3, 0).repeat(3, 1)
    return np.clip(base * rng.uniform(0.8, 1.1) + rng.normal(0, 8, base.shape), 0, 255).astype(np.uint8)


def encoder(path: Path, shape: list[Any], inputs: int = 1, flat: bool = True) -> Path:
    """A net that averages blocks of 3 x 3 and takes the mean away; without `flat` it gives pictures and no features."""
    make, number = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [make.make_node("AveragePool", ["x"], ["small"], kernel_shape=[3, 3], strides=[3, 3])]
    nodes += (
        [make.make_node("Flatten", ["small"], ["long"])] if flat else [make.make_node("Identity", ["small"], ["long"])]
    )
    nodes += [make.make_node("ReduceMean", ["long"], ["mean"], axes=[1], keepdims=1)]
    nodes += [make.make_node("Sub", ["long", "mean"], ["found"])]
    given = [make.make_tensor_value_info(name, number, shape) for name in ("x", "other")[:inputs]]
    found = make.make_tensor_value_info("found", number, None)
    graph = make.make_graph(nodes, "g", given, [found])
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8), str(path))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place, rng = tmp_path_factory.mktemp("people") / "people", np.random.default_rng(0)
    for person in range(PEOPLE):
        (place / f"p{person}").mkdir(parents=True)
        for i in range(EACH):
            Image.fromarray(face(person, rng)).save(place / f"p{person}" / f"{i}.png")
    return place


def candidates(people: range) -> Candidates:
    rng = np.random.default_rng(1)
    return Candidates(
        Images(1, SIDE, SIDE), Block(np.stack([face(p, rng) for p in people for _ in range(10)])[..., None], None)
    )


@pytest.mark.parametrize("shape", [["n", 1, None, None], ["n", 3, SIDE, SIDE], ["n", 1, 24, 24], [1, 1, SIDE, SIDE]])
def test_who_is_in_the_folder_is_kept_out_by_an_encoder_of_any_size(
    shape: list[Any], folder: Path, tmp_path: Path
) -> None:
    gate = Likeness(Images(1, SIDE, SIDE), folder, encoder(tmp_path / "e.onnx", shape))
    assert gate.found[0] == gate.found[1] == PEOPLE * EACH
    there = [bool(reason) for reason in gate.reasons(candidates(range(PEOPLE)))]
    others = [bool(reason) for reason in gate.reasons(candidates(range(50, 80)))]
    assert np.mean(there) > 0.95 and np.mean(others) < 0.3


@pytest.mark.parametrize("kind", ["junk", "absent", "two inputs", "no features", "rank"])
def test_what_is_no_encoder_is_refused_by_name(kind: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.onnx"
    if kind == "junk":
        path.write_bytes(b"\x08\x07" + bytes(range(256)) * 9)
    elif kind != "absent":
        encoder(path, ["n", 1, SIDE, SIDE], inputs=2 if kind == "two inputs" else 1, flat=kind != "no features")
        if kind == "rank":
            make, number = onnx.helper, onnx.TensorProto.FLOAT
            given, found = (make.make_tensor_value_info(name, number, ["n", 5]) for name in ("x", "found"))
            graph = make.make_graph([make.make_node("Identity", ["x"], ["found"])], "g", [given], [found])
            onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8), str(path))
    with pytest.raises(FitError, match=r"e\.onnx"):
        Likeness(Images(1, SIDE, SIDE), folder, path)

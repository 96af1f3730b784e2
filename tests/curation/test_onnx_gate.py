"""A classifier in an ONNX file, really run: what it calls bad is dropped, and where that is all nothing leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import TINY

import karat
from karat.errors import GateError

onnx = pytest.importorskip("onnx", reason="the model is written by onnx")
pytest.importorskip("onnxruntime", reason="--gate model.onnx wants karat[onnx]")


def model(path: Path, bad: float) -> Path:
    """A net by which every picture is bad with the same probability."""
    make, number = onnx.helper, onnx.TensorProto.FLOAT
    consts = [make.make_tensor(name, number, [1], [value]) for name, value in (("none", 0.0), ("bad", bad))]
    nodes = [
        make.make_node("ReduceMean", ["x"], ["light"], axes=[1, 2, 3], keepdims=0),
        make.make_node("Mul", ["light", "none"], ["dark"]),
        make.make_node("Add", ["dark", "bad"], ["found"]),
    ]
    given = make.make_tensor_value_info("x", number, ["n", 1, None, None])
    found = make.make_tensor_value_info("found", number, ["n"])
    graph = make.make_graph(nodes, "g", [given], [found], consts)
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8), str(path))
    return path


@pytest.mark.exam
def test_what_a_model_of_ones_own_calls_bad_does_not_leave(tmp_path: Path) -> None:
    run = karat.train("digits", recipe="vae", steps=20, out=tmp_path / "r", threads=1, set=TINY)
    made = karat.make(run, n=8, out=tmp_path / "kept", gate=[str(model(tmp_path / "good.onnx", 0.1))], threads=1)
    assert len(list((tmp_path / "kept").glob("*.png"))) == 8 and made is not None
    with pytest.raises(GateError, match=r"bad by bad\.onnx"):
        karat.make(run, n=8, out=tmp_path / "none", gate=[str(model(tmp_path / "bad.onnx", 0.9))], threads=1)
    assert not (tmp_path / "none").exists()

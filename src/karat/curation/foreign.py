"""Gates that are somebody else's program: a Python function, or a classifier in an ONNX file."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from karat.curation.gate import Candidates, Gate, Reasons, flagged
from karat.errors import FitError

CERTAIN = 0.5  # that a record is bad, from which on it is dropped


class Function(Gate):
    name = "function"

    def __init__(self, source: str) -> None:
        """source: FILE.py:NAME. The file is run, since the person named it.

        The function is given records as `run.make` returns them, and returns for each True to keep it or False to drop it, or a
        text, the reason to drop it, "" to keep it.
        """
        file, _, called = source.rpartition(":")
        path = Path(file).expanduser()
        if not path.is_file() or not called.isidentifier():
            raise FitError(f"--gate {source}: wanted a Python file and a function in it, as FILE.py:NAME.")
        spec = importlib.util.spec_from_file_location(f"gate_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = getattr(module, called, None)
        if not callable(found):
            raise FitError(f"--gate {source}: {path} has no function {called}.")
        self.function: Callable[[Any], Any] = found
        self.called = f"{path.name}:{called}"
        self.name = self.called  # type: ignore[misc]

    def reasons(self, some: Candidates) -> Reasons:
        given = self.function(some.plain)
        answer = np.array(given, object) if isinstance(given, list) else np.asarray(given)  # which makes text of True
        if answer.dtype.kind not in "bUO":
            return answer
        words = {True: "", False: f"refused by {self.called}"}
        told = [words[bool(one)] if isinstance(one, bool | np.bool_) else str(one)[:200] for one in answer.tolist()]
        return np.array(told, str)


class Onnx(Gate):
    """A classifier of pictures or sounds.

    It takes float32 [n, c, h, w] from 0 to 1 and gives how likely each is bad, [n] or the last of [n, classes].
    """

    name = "onnx"

    def __init__(self, path: Path) -> None:
        self.session, self.called = session_of(path), path.name

    def reasons(self, some: Candidates) -> Reasons:
        points = getattr(some.view, "points", None)
        if points is None:
            raise FitError("--gate model.onnx is for pictures and sounds; for others give a function of your own.")
        answer = answer_of(self.session, self.called, ((points + 1) / 2).float().numpy())
        bad = answer if answer.ndim == 1 else answer[:, -1]
        if len(bad) != len(some) or not np.isfinite(bad).all() or bad.min() < 0 or bad.max() > 1:
            raise FitError(f"{self.called} gave {list(answer.shape)} that are no probabilities of {len(some)} records.")
        return flagged(bad >= CERTAIN, f"bad by {self.called}")


def session_of(path: Path) -> Any:
    """The model in an ONNX file, ready to be asked; FitError where what runs it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        raise FitError("--gate model.onnx needs an extra: pip install 'karat[onnx]'.") from None
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # a class of its own for each way in which a file is none
        raise FitError(f"{path} cannot be read as an ONNX model ({_short(error)}).") from None


def answer_of(session: Any, called: str, given: np.ndarray) -> np.ndarray:
    """float64: the first output of a model of one input, of records [n, ...]; those that take one at a time are asked so.

    FitError where it takes no such records.
    """
    wanted = session.get_inputs()
    one = wanted and wanted[0].shape and wanted[0].shape[0] == 1
    parts = np.split(given, len(given)) if one else [given]
    try:
        return np.concatenate([np.asarray(session.run(None, {wanted[0].name: part})[0], np.float64) for part in parts])
    except Exception as error:
        raise FitError(f"{called} cannot be asked about records {list(given.shape)} ({_short(error)}).") from None


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"

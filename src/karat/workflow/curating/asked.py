"""The gates that a person names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from karat.content.codec import Codec
from karat.curation.foreign import Function, Onnx
from karat.curation.gate import Gate
from karat.curation.learned import Learned
from karat.curation.wording import SHIPPED, Blocklist, Personal
from karat.errors import FitError, GateError, KaratError


def gates(named: Sequence[str], codec: Codec) -> list[Gate]:
    """One for each name; FitError for what is no gate, GateError where one cannot be made."""
    out = []
    for name in named:
        try:
            out.append(_gate(name, codec))
        except KaratError:
            raise
        except Exception as error:  # whatever a person's own file does when it is run
            what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise GateError(f"the gate {name} cannot be made ({what}), so nothing was exported.") from error
    return out


def _gate(name: str, codec: Codec) -> Gate:
    path = Path(name).expanduser()
    if name == Personal.name:
        return Personal()
    if name in SHIPPED or path.suffix == ".txt":
        return Blocklist.read(name)
    if ".py:" in name:
        return Function(name)
    if path.suffix == ".onnx" and path.is_file():
        return Onnx(path)
    if path.is_dir():
        return Learned(codec, path)
    raise FitError(
        f"--gate {name}: wanted {', '.join(SHIPPED)}, personal, a list of words (.txt), FILE.py:FUNCTION, a model.onnx, a folder "
        "with good/ and bad/, or none."
    )

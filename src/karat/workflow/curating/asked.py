"""The gates that a person names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from karat.content.codec import Codec
from karat.curation.foreign import Function, Onnx
from karat.curation.gate import Gate
from karat.curation.learned import Learned
from karat.curation.likeness import NAME as LIKENESS
from karat.curation.likeness import Likeness
from karat.curation.wording import SHIPPED, Blocklist, Personal
from karat.errors import FitError, GateError, KaratError
from karat.views import Points

Others = Callable[[], tuple[Points, Points] | None]


def gates(named: Sequence[str], codec: Codec, others: Others) -> list[Gate]:
    """One for each name; FitError for what is no gate, GateError where one cannot be made.

    others: of pictures and sounds training records, and real ones that nothing learned from, where they are at hand.
    """
    out = []
    for name in named:
        try:
            out.append(_gate(name, codec, others))
        except KaratError:
            raise
        except Exception as error:  # whatever a person's own file does when it is run
            what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise GateError(f"the gate {name} cannot be made ({what}), so nothing was exported.") from error
    return out


def _gate(name: str, codec: Codec, others: Others) -> Gate:
    if name.startswith(f"{LIKENESS}="):
        return _likeness(name.removeprefix(f"{LIKENESS}="), codec, others)
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
        f"with good/ and bad/, {LIKENESS}=FOLDER of people, or none."
    )


def _likeness(given: str, codec: Codec, others: Others) -> Likeness:
    """given: a folder of people; with ",model.onnx" behind it an encoder."""
    where, comma, encoder = given.rpartition(",") if given.endswith(".onnx") else (given, "", "")
    folder, model = Path(where).expanduser(), Path(encoder).expanduser() if comma else None
    if not folder.is_dir() or (model is not None and not model.is_file()):
        raise FitError(
            f"--gate {LIKENESS}={given}: wanted a folder of people, as {LIKENESS}=FOLDER or {LIKENESS}=FOLDER,model.onnx."
        )
    return Likeness(codec, folder, model, others)

"""Options of a verb from what a client sent: known names, values of their types, paths inside the served folders alone."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from karat.options import AssayOptions, LookOptions, MakeOptions, TrainOptions
from karat.server.catalogue import Catalogue
from karat.server.jobs.table import Kind
from karat.server.problems import Problem

OPTIONS: dict[Kind, type] = {"train": TrainOptions, "assay": AssayOptions, "look": LookOptions, "make": MakeOptions}
PATHS = frozenset(
    {"source", "data", "out", "schema", "prices", "write_schema", "real", "made", "calibrate", "ab", "junit"}
)
PATHS |= {"encoder", "sign", "run"}
EITHER = frozenset({"recipe", "policy", "gate", "given"})  # a word, or the path of a file
WORDS = {"source": ("digits",), "data": ("digits",), "real": ("digits",), "calibrate": ("digits",)}
REFUSED = {  # why a client may not say it
    "family": "a Python file is run by who sits at the machine, with `karat train --family`",
    "trust_data": "data of a stranger's run are trusted by who sits at the machine",
    "business": "it asks questions at a terminal; write prices.toml, and give it as prices",
    "stream": "a job shows nothing while it makes; POST /v1/completions streams",
    "time_stamp": "the server asks no other server",
    "on": "a job runs on this machine",
    "seeds": "submit a job for each seed",
}
REFUSED_FOR = {("assay", "seeds"): ""}  # there it is another thing
SETTINGS = ("data.query", "data.schema", "data.cache")  # of `set`: SQL, and paths that are not looked at here


@dataclass(frozen=True)
class Places:
    """Where a client's paths may lead.   catalogue: of the runs that are served."""

    catalogue: Catalogue

    @property
    def root(self) -> Path:
        return self.catalogue.root.resolve()

    def path(self, text: str, param: str) -> Path:
        """The file or folder that `text` means, relative to the root, links followed; Problem where it is outside or hidden."""
        try:
            path = (self.root / text).resolve()
        except (OSError, ValueError, RuntimeError):
            raise _bad(param, f"{param} {text[:200]!r} is no path.") from None
        for place in (self.root, *(folder.resolve() for folder in self.catalogue.folders)):
            if path.is_relative_to(place) and not any(part.startswith(".") for part in path.relative_to(place).parts):
                return path
        raise _bad(
            param, f"{param} {text[:200]!r} is not inside the folder that is served; name a path relative to it."
        )


def asked(kind: Kind, given: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """The options, ready for JSON: only what was given, paths absolute.

    Problem(400) for a name that no option has, which names the nearest, a value of a wrong type, a path outside, and what only
    who sits at the machine may ask.
    """
    known = [f.name for f in fields(OPTIONS[kind])]
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.0)
            raise _bad(name, f"{kind} has no option {name[:80]!r}; the nearest is {near[0]!r}.", "unknown_field")
        if name in REFUSED and (kind, name) not in REFUSED_FOR and value not in (None, False):
            raise _bad(name, f"{name} is not taken over HTTP: {REFUSED[name]}.")
    wanted = [f.name for f in fields(OPTIONS[kind]) if f.default is MISSING and f.default_factory is MISSING]
    for name in wanted:
        if given.get(name) in (None, ""):
            raise _bad(name, f"{kind} wants {name}.", "missing_field")
    options = {name: value for name, value in given.items() if value is not None}
    typed(kind, options)
    return {name: _placed(kind, name, value, places) for name, value in options.items()}


def typed(kind: Kind, options: Mapping[str, Any]) -> Any:
    """The options as their dataclass; Problem(400) where a value is of a wrong type."""
    try:
        return TypeAdapter(OPTIONS[kind]).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else kind
        raise _bad(
            name, f"{name} is {str(first['input'])[:80]!r}: {first['msg'][0].lower()}{first['msg'][1:]}."
        ) from None


def _placed(kind: Kind, name: str, value: Any, places: Places) -> Any:
    """The value with the paths in it made absolute."""
    if isinstance(value, list | tuple):
        return [_placed(kind, name, each, places) for each in value]
    if name == "set":
        if (key := str(value).partition("=")[0].strip()) in SETTINGS:
            raise _bad(name, f"{key} is not taken over HTTP; {'give schema' if 'schema' in key else 'leave it out'}.")
        return value
    if not isinstance(value, str | Path) or name not in PATHS | EITHER:
        return value
    text = str(value)
    if "://" in text:
        raise _bad(name, f"{name} {text[:80]!r} is an address; data come from the folder that is served.")
    if text in WORDS.get(name, ()) or (name == "made" and text.startswith("reference:")):
        return text
    if name in EITHER:
        if ".py:" in text:
            raise _bad(name, f"{name} {text[:80]!r} is not taken over HTTP: {REFUSED['family']}.")
        return str(places.path(text, name)) if _looks_like_path(text, places) else text
    if name in ("run", "source") and (run := places.catalogue.paths().get(text)) is not None:
        return str(run)
    return str(places.path(text, name))


def _looks_like_path(text: str, places: Places) -> bool:
    """Whether a verb could open it as a file: it has the form of a path, or is there."""
    if text.startswith(("/", "~", ".")) or "\\" in text or text.endswith((".toml", ".txt", ".onnx")):
        return True
    try:
        return (places.root / text).exists()
    except (OSError, ValueError):
        return False


def command(kind: Kind, options: Mapping[str, Any]) -> Sequence[str]:
    """The words of the equal command line."""
    first = next(f.name for f in fields(OPTIONS[kind]))
    words = ["karat", kind]
    for name, value in options.items():
        flag = {"n": "-n", "label": "--class"}.get(name, f"--{name.replace('_', '-')}") if name != first else ""
        if value is False:
            words.append(f"--no-{name.replace('_', '-')}")
        elif value is True:
            words.append(flag)
        else:
            for each in value if isinstance(value, list) else [value]:
                words += [flag, str(each)] if flag else [str(each)]
    return words


def _bad(param: str, message: str, code: str = "bad_option") -> Problem:
    return Problem(400, code, message, param)

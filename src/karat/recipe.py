"""A recipe: a family with its settings and a budget, from a file under recipes/ or a person's own TOML; data, not a class."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import json
import re
import sys
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from karat.errors import FitError, RunError
from karat.space import Codes, Fields, Grid, Space, Tokens

FOLDER = Path(__file__).parent / "recipes"
KINDS = {kind.__name__.lower(): kind for kind in (Grid, Fields, Codes, Tokens)}
LEAST = 16  # points in a batch that was made smaller
KEYS = ("family", "title", "about", "needs", "suits", "first_for", "among", "data", "model", "train", *KINDS)


@dataclass(frozen=True)
class Training:
    """The `[train]` table of a recipe: how the one loop is to run it."""

    minutes: float = 5.0
    batch: int = 64
    numbers: int = 0  # in a batch, at most: large points come in smaller batches, for steps count more; 0 for any
    average: float = 0.998
    precision: str = (
        "auto"  # or quick (bf16 where the hardware multiplies it), fp32, fp32-channels-last, bf16, bf16-channels-last
    )
    clock: str = "wall"  # or cpu: minutes of computing, for machines shared with others
    enough: int = 2_000_000  # points seen by which the recipe has usually given most of what it can
    save_seconds: float = 15.0  # between two checkpoints
    keep_best: bool = False  # end with the weights of the tenth of the budget that fit a validation part best


@dataclass(frozen=True)
class Recipe:
    """name, family (a file under families/, or the path of a person's own), settings of its Config, and of the loop."""

    name: str
    family: str
    about: str
    model: Mapping[str, Any]
    train: Training
    needs: tuple[str, ...] = ()  # "labels": only for data that has them
    title: str = ""  # what it is in a few words
    first_for: str = ""  # the type of space for whose content it is the default
    suits: tuple[str, ...] = ()  # types of space for whose content `look` proposes it; () for all that it can meet
    data: Mapping[str, Any] = field(default_factory=dict)  # settings of the data that it asks for
    digest: str = ""  # sha256 of the family's file, where that is a person's own

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "family": self.family,
            "about": self.about,
            "model": dict(self.model),
            "train": dataclasses.asdict(self.train),
            "needs": list(self.needs),
            "title": self.title,
            "first_for": self.first_for,
            "suits": list(self.suits),
            "data": dict(self.data),
            "digest": self.digest,
        }

    @staticmethod
    def from_dict(d: Mapping[str, Any]) -> Recipe:
        """The recipe that gave `d`, which may be a stranger's; RunError where it can be none."""
        for key, kind in typing.get_type_hints(Recipe).items():
            wanted = {str: str, tuple[str, ...]: list}.get(kind, Mapping)
            if not isinstance(d.get(key), wanted) or (wanted is list and not all(isinstance(x, str) for x in d[key])):
                raise RunError(
                    f"karat.json is damaged: its recipe has no {key} that is a {wanted.__name__}; train anew."
                )
        if not (
            d["family"] in families() or (d["family"].endswith(".py") and re.fullmatch("[0-9a-f]{64}", d["digest"]))
        ):
            raise RunError(f"the run was trained with a family {d['family'][:40]!r}, which this version does not have.")
        values = {f.name: d[f.name] for f in dataclasses.fields(Recipe)}
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return Recipe(**{**values, **lists, "train": settings(Training, d["train"], "train")})


def names() -> tuple[str, ...]:
    """Every recipe that comes with the install."""
    return tuple(sorted(p.stem for p in FOLDER.glob("*.toml")))


def first(space: type) -> str:
    """The recipe that is the default for content whose best space is of this type; FitError where none says so."""
    for name in names():
        if tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8")).get("first_for") == space.__name__:
            return name
    raise FitError(f"no recipe is the default for {space.__name__}; name one with --recipe: {', '.join(names())}.")


def among(name: str) -> tuple[str, ...]:
    """The recipes that a recipe of that name or file stands for, one of which is to be chosen by the data; none for others."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    return tuple(tomllib.loads(path.read_text(encoding="utf-8-sig")).get("among", ())) if path.is_file() else ()


def load(name: str, changes: Sequence[str] = (), family: str | None = None, spaces: Sequence[Space] = ()) -> Recipe:
    """The recipe of that name or file, with `changes` such as "model.width=128" made; FitError when it does not exist.

    family: a Python file that is to be run, alone or as what the file of the recipe names; no other file is.

    spaces: what the content can become, best first. A recipe that meets it in Fields takes what its table `[fields]` says,
    of the family too, over what it says itself; likewise `[grid]`, `[codes]` and `[tokens]`. Settings are a family's own:
    another one begins without them.
    """
    digest = "" if family is None else admit(Path(family))
    if family is not None and not name:
        table: dict[str, Any] = {"family": family, "about": f"the family of {Path(family).name}, at its defaults"}
        name = Path(family).stem
    else:
        path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
        if not path.is_file():
            raise FitError(_unknown("recipe", name, names()))
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise FitError(f"{path} is not valid TOML: {error}.") from None
        name = path.stem
    unknown = set(table) - set(KEYS)
    if unknown:
        raise FitError(_unknown("recipe key", min(unknown), KEYS))
    if not isinstance(table.get("family"), str):
        raise FitError(
            f'the recipe {name} names no family; write for example family = "vae". There are: {", ".join(families())}.'
        )
    own = {kind: table.pop(kind, {}) for kind in KINDS}
    _agreed(name, family, [table, *(over for over in own.values() if isinstance(over, dict))])
    for space in spaces:
        over = own[type(space).__name__.lower()]
        base = {k: v for k, v in table.items() if k not in ("model", "train")} if "family" in over else table
        special = _merged(base, over)
        if isinstance(space, module(special["family"], digest).Model.spaces):
            table = _fitting(special, space)
            break
    for change in changes:
        _set(table, change)
    unknown = set(table) - set(KEYS)
    if unknown:
        raise FitError(_unknown("recipe key", min(unknown), KEYS))
    theirs = table["family"].endswith(".py")
    recipe = Recipe(
        name,
        Path(table["family"]).name if theirs else table["family"],
        table.get("about", ""),
        table.get("model", {}),
        settings(Training, table.get("train", {}), "train"),
        tuple(table.get("needs", ())),
        table.get("title", ""),
        table.get("first_for", ""),
        tuple(table.get("suits", ())),
        table.get("data", {}),
        digest if theirs else "",
    )
    config(recipe)  # refuses unknown settings before anything is read
    return recipe


def _fitting(table: dict[str, Any], space: Space) -> dict[str, Any]:
    """`table` with a batch of points of `space` that holds no more than `train.numbers` numbers, and LEAST points at least."""
    train = table.get("train", {})
    most, batch = train.get("numbers", 0), train.get("batch", Training.batch)
    if not most or batch * space.numel <= most:
        return table
    return {**table, "train": {**train, "batch": min(batch, max(LEAST, most // space.numel // 8 * 8))}}


def _merged(table: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`table` with the values of `over` in place of its own, table by table."""
    out = dict(table)
    for key, value in over.items():
        inner = out.get(key)
        out[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return out


def _set(table: dict[str, Any], change: str) -> None:
    key, sign, text = change.partition("=")
    if not sign or "." not in key:
        raise FitError(f"--set {change!r}: wanted the form table.key=value, for example model.width=128.")
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):
        value = text
    *tables, last = key.strip().split(".")
    for part in tables:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise FitError(f"--set {change!r}: {part} is one setting ({table!r}) and not a table of them.")
    table[last] = value


def _agreed(name: str, family: str | None, tables: Sequence[Mapping[str, Any]]) -> None:
    """FitError where a recipe names a family's file that the person has not named as well, or another."""
    files = [str(t["family"]) for t in tables if str(t.get("family", "")).endswith(".py")]
    if family is not None and not files:
        raise FitError(f"--recipe {name} and --family {family} both say what to train; give one of them.")
    for file in files:
        if family is None or Path(file).name != Path(family).name:
            raise FitError(
                f"the recipe {name} names the family {file}, a Python file, which is run only when you name it too: "
                f"add --family {file}."
            )


def digest_of(file: Path) -> str:
    """sha256 of a family's file; FitError where there is none."""
    return hashlib.sha256(_source(file)).hexdigest()


def admit(file: Path, wanted: str | None = None) -> str:
    """Runs a family's file, which the person has named for that, and gives its sha256, by which `module` has it then.

    RunError, before anything is run, where that is not `wanted`.
    """
    source = _source(file)
    digest = hashlib.sha256(source).hexdigest()
    if wanted is not None and digest != wanted:
        raise RunError(
            f"{file} is not the family that the run was trained with (sha256 {digest[:12]} instead of {wanted[:12]}). "
            "Name that file with --family, or train anew."
        )
    key = _key(digest)
    if key in sys.modules:
        return digest
    loaded = types.ModuleType(key)
    loaded.__file__ = str(file)
    sys.modules[key] = loaded
    try:
        exec(compile(source, str(file), "exec"), loaded.__dict__)  # the very bytes of the digest
    except Exception as error:  # whatever a person's file may raise
        del sys.modules[key]
        raise FitError(f"{file} cannot be imported: {type(error).__name__}: {error}. Mend it and try again.") from error
    return digest


def admitted(digest: str) -> bool:
    """Whether a family's file of this sha256 was named and run in this process."""
    return _key(digest) in sys.modules


def _source(file: Path) -> bytes:
    if file.suffix != ".py" or not file.is_file():
        raise FitError(f"{file} does not exist; --family wants the path of a Python file exporting Config and Model.")
    try:
        return file.read_bytes()
    except OSError as error:
        raise FitError(f"{file} cannot be read: {error.strerror}.") from None


def _key(digest: str) -> str:
    return f"karat_family_{digest}"


def module(family: str, digest: str = "") -> types.ModuleType:
    """The module of a family: a file under families/ by its name, or a person's own by the sha256 that `admit` gave."""
    if family.endswith(".py"):
        if not digest or not admitted(digest):
            raise FitError(
                f"the family {family} is a Python file, which is run only when you name it: add --family {family}."
            )
        loaded = sys.modules[_key(digest)]
    else:
        known = families()
        if family not in known:
            raise FitError(_unknown("family", family, known))
        loaded = importlib.import_module(f"karat.families.{family}")
    for name in ("Config", "Model"):
        if not hasattr(loaded, name):
            raise FitError(f"{family} exports no {name}; a family exports a Config dataclass and a Model.")
    return loaded


def families() -> tuple[str, ...]:
    """Every family that comes with the install."""
    folder = Path(__file__).parent / "families"
    return tuple(sorted(p.stem for p in folder.glob("*.py") if p.stem not in ("__init__", "generator")))


def config(recipe: Recipe) -> Any:
    """The family's Config with the recipe's settings."""
    return settings(module(recipe.family, recipe.digest).Config, recipe.model, "model")


def settings(cls: type[Any], table: Mapping[str, Any], where: str) -> Any:
    """`cls`, a frozen dataclass, from a table; unknown keys and wrong types are refused with what was wanted."""
    hints = typing.get_type_hints(cls)
    known = tuple(f.name for f in dataclasses.fields(cls))
    values = {}
    if not isinstance(table, Mapping):
        raise FitError(f"{where}={table!r}: wanted a table of settings: {', '.join(known)}.")
    for key, value in table.items():
        if key not in known:
            raise FitError(_unknown("setting", f"{where}.{key}", tuple(f"{where}.{k}" for k in known)))
        values[key] = _check(value, hints[key], f"{where}.{key}")
        _sane(values[key], getattr(cls, key, None), f"{where}.{key}")
    return cls(**values)


def _sane(value: Any, default: Any, where: str) -> None:
    """Refuses numbers that no setting can be: not finite, negative, or 0 for a count whose default is not 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    least = 1 if isinstance(value, int) and isinstance(default, int) and default > 0 else 0
    if not least <= value < float("inf"):
        raise FitError(f"{where}={value!r}: wanted a number of at least {least}.")


def _check(value: Any, hint: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else settings(hint, value, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if value not in args:
            raise FitError(_unknown(where, str(value), tuple(map(str, args))))
        return value
    if origin is tuple:
        wanted = args[:1] * len(value) if isinstance(value, (list, tuple)) and args[1:] == (...,) else args
        if not isinstance(value, (list, tuple)) or len(value) != len(wanted):
            raise FitError(f"{where}={value!r}: wanted a list such as {[0] * max(1, len(wanted))}.")
        return tuple(_check(v, h, where) for v, h in zip(value, wanted, strict=True))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise FitError(f"{where}={value!r}: wanted {hint.__name__}.")
    return value


def _unknown(kind: str, found: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(found, known, 1, 0.4)
    hint = f"Did you mean {near[0]}? " if near else ""
    return f"no {kind} {found!r}. {hint}There are: {', '.join(known)}."


def fingerprint(recipe: Recipe) -> str:
    """What identifies the recipe's computation, for caches."""
    text = json.dumps([recipe.family, recipe.digest, recipe.model, recipe.train.batch], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

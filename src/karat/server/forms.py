"""What may be asked in a request, made from the dataclasses of options: their fields, types, defaults and help, written once there.

A form is a model of pydantic's that FastAPI reads bodies into and describes in /openapi.json. A field that it has not is refused
by the name of the nearest; null stands for a field that was left out; nothing is converted, so that "3" is no 3.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator

from karat.content.image.images import BUNDLED
from karat.content.table.rules.conditions import names_file
from karat.server.catalogue import Catalogue
from karat.server.problems import Problem, in_fields, nearest, short

LONGEST = 4096  # characters of a text that is no content
Options = TypeVar("Options")
Handler = TypeVar("Handler", bound=Callable[..., Any])

# What nobody may ask for over HTTP: it runs a file, asks another machine, writes where a client says, or is the server's to say.
NEVER = frozenset(
    "run out overwrite write_schema junit family trust_data sign time_stamp track on workers shards shard device threads "
    "business seeds".split()
)
PLACES = frozenset("data source schema prices policy encoder real made calibrate ab".split())  # below the served root
KNOWN = {"source": "digits", "data": "digits", "policy": "eu cn", "made": "reference:"}  # that are no places
GATES = ("none", "en", "zh", "personal")  # others are files
UNSET = ("data.schema", "data.query", "data.cache")  # a place, SQL that may read any, and a place


LIMITS: dict[str, Any] = {  # of fields that stand for the same everywhere
    "seed": Annotated[int, Field(ge=0, lt=2**62)],
    "n": Annotated[int, Field(ge=1, le=10**9)],
    "characters": Annotated[int, Field(ge=1, le=10_000_000)],
    "steps": Annotated[int, Field(ge=1, le=10**9)],
    "samples": Annotated[int, Field(ge=1, le=10**12)],
    "minutes": Annotated[float, Field(gt=0, le=10**6)],
    "epsilon": Annotated[float, Field(gt=0, le=10**6)],
    "holdout": Annotated[str, Field(max_length=LONGEST)] | Annotated[float, Field(gt=0, lt=1)],
    "keep": Annotated[float, Field(gt=0, le=1)],
    "size": Annotated[int, Field(ge=1, le=4096)],
    "shadows": Annotated[int, Field(ge=0, le=1000)],
    "canaries": Annotated[int, Field(ge=0, le=10_000)],
    "temperature": Annotated[float, Field(ge=0, le=2)],
    "top_p": Annotated[float, Field(gt=0, le=1)],
    "min_p": Annotated[float, Field(ge=0, lt=1)],
    "label": Annotated[str, Field(max_length=LONGEST)],
}
TOLD = {  # where the command line takes more than a request does
    "gate": "What made records must pass beside the usual gates (no copies of training records, no broken rules, no repeats): en "
    "or zh, short lists of words that block a text; personal, which keeps mail addresses, telephone and identity numbers out of "
    "text; none: no gate at all, nor the usual ones.",
    "given": 'Tables: what every row must hold, such as "income=>50K, sex=Female, age=30..40"; of related tables '
    '"customers.segment=gold", of any that has no parent.',
}


class Form(BaseModel):
    """A request."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=(), allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            known = _names(cls).values()
            for name in given:
                if name not in known:
                    message = f"{short(name)} is no field of this request: {nearest(str(name), list(known))}"
                    raise Problem(400, "unknown_field", message, str(name))
        return given


def form(
    name: str,
    *options: type,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    examples: Collection[Mapping[str, Any]] = (),
) -> type[Form]:
    """A form with the fields of the dataclasses `options`, where two have one of a name that of the first.

    only, without: which of the last of `options` there are, beside those of the others and never those of NEVER.
    examples: whole requests, for /openapi.json.
    """
    fields: dict[str, Any] = {}
    for kind in options:
        last = kind is options[-1]
        told, hints = parameters(kind), get_type_hints(kind, include_extras=True)
        if last:
            told, hints = told | TOLD, hints | LIMITS
        for each in dataclasses.fields(kind):
            skipped = last and (each.name in NEVER | set(without) or (only is not None and each.name not in only))
            if each.name in fields or skipped:
                continue
            alias = each.name if hasattr(Form, each.name) else None  # "schema" is pydantic's own word
            own = each.name if alias is None else f"{each.name}_"
            fields[own] = _field(each, _plain(hints[each.name]), told.get(each.name), alias)
    made = create_model(name, __base__=Form, __doc__=_about(options[0]), **fields)
    if examples:
        made.model_config = {**made.model_config, "json_schema_extra": {"examples": [dict(one) for one in examples]}}
    made.model_rebuild(force=True)
    return made


def takes(form: type[Form]) -> Callable[[Handler], Handler]:
    """Makes `form` the type of a route's argument `asked`, as which FastAPI reads its body."""

    def taking(handler: Handler) -> Handler:
        handler.__annotations__["asked"] = form
        return handler

    return taking


def said(form: Form) -> dict[str, Any]:
    """The fields that were given, and are not null."""
    names, values = _names(type(form)), form.__dict__
    return {names[name]: value for name in form.model_fields_set if (value := values[name]) is not None}


@cache
def _names(kind: type[Form]) -> dict[str, str]:
    """How a request calls each field of the form."""
    return {name: each.alias or name for name, each in kind.model_fields.items()}


def options_of(
    form: Form, kind: type[Options], catalogue: Catalogue, only: Collection[str] | None = None, **fixed: Any
) -> Options:
    """The options `kind` that a request asks for, whose places are those below the served root; `fixed` besides.

    only: fields of the request that are looked at, all by default.
    Problem (400) for what is no such place, and for settings that would lead elsewhere.
    """
    known = {each.name for each in dataclasses.fields(kind)} if only is None else set(only)  # type: ignore[arg-type]
    given = {name: _allowed(name, value, catalogue) for name, value in said(form).items() if name in known}
    return kind(**{**given, **fixed})


def _allowed(name: str, value: Any, catalogue: Catalogue) -> Any:
    """The value of a field as the options have it, once it leads nowhere else."""

    def refused(found: str, wanted: str) -> Problem:
        return Problem(400, "unfit", f"{short(found)} {wanted}", name)

    if name in PLACES and isinstance(value, str):
        named = any(
            re.fullmatch(word if word.isalpha() else f"{word}.*", value) for word in KNOWN.get(name, "").split()
        )
        if named:
            return BUNDLED if value == "digits" else value  # a served run may be named so
        return catalogue.place(value, name)
    if name == "recipe" and not re.fullmatch(r"[a-z0-9-]{1,40}", value):
        raise refused(value, "is no recipe; one that /v1/look lists was wanted, by its name.")
    if name == "given" and names_file(value):
        raise refused(value, "is no condition; wanted column=value, such as age=30..40.")
    for one in value if name == "gate" else ():
        if one not in GATES:
            raise refused(one, f"is no gate that may be asked for here; {nearest(one, GATES)}")
    for one in value if name == "set" else ():
        if one.partition("=")[0].strip() in UNSET:
            raise refused(one, "is not set over HTTP; leave it out.")
    return value


def parameters(kind: type) -> dict[str, str]:
    """What the docstring of a dataclass of options says of each field, in one line, with fields in place of flags."""
    text = inspect.getdoc(kind) or ""
    _, _, section = text.partition("Parameters\n----------\n")
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if re.fullmatch(r"[a-z_]\w*", line):
            name = line
        elif name:
            found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return {name: in_fields(told) for name, told in found.items()}


def _about(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n\nParameters\n")[0]


def _field(each: dataclasses.Field[Any], kind: Any, told: str | None, alias: str | None) -> tuple[Any, Any]:
    if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
        return kind, Field(description=told, alias=alias)
    default = list(each.default) if isinstance(each.default, tuple) else each.default
    return Union[kind, None], Field(default=default, description=told, alias=alias)  # noqa: UP007


def _listed(value: Any) -> Any:
    """One text is taken where a list of texts is wanted, as the command line takes it."""
    return [value] if isinstance(value, str) else value


def _plain(kind: Any) -> Any:
    """The type as JSON has it: text for paths and runs, lists for sequences, whole numbers within 64 bits."""
    if get_origin(kind) is Annotated:
        inner, *about = get_args(kind)
        limits = [one for one in about if type(one).__module__.startswith(("pydantic", "annotated_types"))]
        return Annotated[(inner, *limits)] if limits else _plain(inner)
    if get_origin(kind) in (Union, UnionType):
        kinds = list(dict.fromkeys(_plain(one) for one in get_args(kind) if one is not type(None)))
        return Union[(*kinds, None) if type(None) in get_args(kind) else tuple(kinds)]  # noqa: UP007
    if get_origin(kind) in (list, tuple) or getattr(get_origin(kind), "__name__", "") == "Sequence":
        return Annotated[list[_plain(get_args(kind)[0])], Field(max_length=64), BeforeValidator(_listed)]  # type: ignore[misc]
    if get_origin(kind) is dict:
        return Annotated[dict[str, _plain(get_args(kind)[1])], Field(max_length=256)]  # type: ignore[misc]
    if get_origin(kind) is Literal or kind is bool:
        return kind
    if kind is int:
        return Annotated[int, Field(ge=-(2**62), le=2**62)]
    if kind is float:
        return Annotated[float, Field(ge=-1e300, le=1e300)]
    return Annotated[str, Field(max_length=LONGEST)]  # of paths and runs, too

"""Options are written once: the dataclass is what Python, the command line and the workflow read."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

import karat
from karat import cli, options

KINDS = {
    "look": options.LookOptions, "train": options.TrainOptions, "assay": options.AssayOptions,
    "make": options.MakeOptions, "demo": options.DemoOptions,
}  # fmt: skip


def fields(kind: type) -> list[dataclasses.Field[object]]:
    return list(dataclasses.fields(kind))


@pytest.mark.parametrize("verb", KINDS)
def test_a_verb_has_the_names_and_defaults_of_its_options(verb: str) -> None:
    own = inspect.signature(getattr(karat, verb)).parameters
    wanted = {
        f.name: inspect.Parameter.empty if f.default is dataclasses.MISSING else f.default for f in fields(KINDS[verb])
    }
    assert {name: p.default for name, p in own.items()} == wanted
    assert all(not isinstance(p.annotation, str) for p in own.values()), "types, not their names"


@pytest.mark.parametrize("verb", KINDS)
def test_every_option_has_help_and_a_flag(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    described = re.findall(r"(?m)^    (\w+)\n        \S", KINDS[verb].__doc__ or "")
    assert sorted(described) == sorted(f.name for f in fields(KINDS[verb]))
    cli.main([verb, "--help"])
    told = capsys.readouterr().out
    for name in described:
        flag = {"klass": "class", "n": "number"}.get(name, name.replace("_", "-"))
        assert f"--{flag}" in told, name


@pytest.mark.parametrize("verb", KINDS)
def test_an_argument_that_is_no_option_is_refused_by_its_name(verb: str) -> None:
    with pytest.raises(TypeError, match="minuts"):
        getattr(karat, verb)("digits", minuts=1)


@pytest.mark.parametrize("verb", KINDS)
def test_options_cannot_be_changed_once_they_are_given(verb: str) -> None:
    first = [] if verb == "demo" else ["digits"]
    given = KINDS[verb](*first)
    with pytest.raises(dataclasses.FrozenInstanceError):
        given.threads = 2

"""What a view of a run shows: things along latent directions, between two of them, or as they come."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from karat.content.showing import Shown, of_records
from karat.request import Request
from karat.run import Run
from karat.server.engine.shelf import Loaded
from karat.server.problems import Problem
from karat.synthesizer import Synthesizer
from karat.synthesizer.latent import AXES, Latent, has_latents

SIDE, STEPS, ITEMS = 7, 9, 12  # of a grid, on the way between two items, of items as they come
REACHES = (1.0, 2.0, 3.0)
KEPT = 32


@dataclass(frozen=True)
class View:
    """What is looked at.   label: class, "" for all.   way: "directions", "between" or "items".   across, down: directions, from 1.

    reach: spreads to each side.   one, other: items of the seed, from 1.
    """

    label: str = ""
    seed: int = 0
    way: str = "directions"
    across: int = 1
    down: int = 2
    reach: float = 2.0
    one: int = 1
    other: int = 2

    def query(self, **other: Any) -> str:
        return urlencode({**vars(replace(self, **other))})


@dataclass(frozen=True)
class Scene:
    """A view of a run.   classes: to choose from, "" for any.   axes: latent directions, 0 where the family has none.

    shown: what is in the view.   items: things as they come, by the same seed.
    """

    run: Run
    view: View
    classes: list[str]
    axes: int
    shown: list[Shown]
    items: list[Shown]

    def at(self, number: int) -> Shown:
        if not 0 <= number < len(self.shown):
            raise Problem(404, "not_found", f"this view has {len(self.shown)} things, and none is number {number}.")
        return self.shown[number]


_kept: OrderedDict[tuple[Any, ...], list[Shown]] = OrderedDict()  # by run, model and view: each picture is a request


def scene_of(loaded: Loaded, asked: Mapping[str, str]) -> Scene:
    """What an address asks for; what it does not say, or says wrongly, is as usual."""
    run, synth = loaded.run, loaded.synth
    latent = Latent.of(synth, None) if has_latents(synth) else None
    told = latent is not None and latent.kind is not None  # a decoder that is told the class has none for any
    classes = [*([] if told else [""]), *run.spec["classes"]]
    view = _view(asked, classes, latent is not None)
    items = replace(view, way="items")
    axes = 0 if latent is None else len(latent.axes)
    return Scene(run, view, classes, axes, _shown(run, synth, view), _shown(run, synth, items))


def _view(asked: Mapping[str, str], classes: list[str], latent: bool) -> View:
    plain, ways = View(), ("directions", "between", "items") if latent else ("items",)

    def number(name: str, low: int, high: int) -> int:
        text = asked.get(name, "")
        there = text.isascii() and text.isdecimal() and len(text) < 10 and low <= int(text) <= high
        return int(text) if there else int(getattr(plain, name))

    way, label = asked.get("way", ""), asked.get("label", "")
    return View(
        label if label in classes else classes[0],
        number("seed", 0, 10**9),
        way if way in ways else ways[0],
        number("across", 1, AXES),
        number("down", 1, AXES),
        next((each for each in REACHES if asked.get("reach") == str(each)), plain.reach),
        number("one", 1, ITEMS),
        number("other", 1, ITEMS),
    )


def _shown(run: Run, synth: Synthesizer, view: View) -> list[Shown]:
    key = (run.path, run.spec.get("models", [""])[0], view)
    if key not in _kept:
        _kept[key] = _made(synth, view)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return _kept[key]


def _made(synth: Synthesizer, view: View) -> list[Shown]:
    if not has_latents(synth):
        block = synth.draw(Request(ITEMS, view.seed, label=view.label or None))
        return of_records(synth.codec, block.records)
    latent = Latent.of(synth, view.label or None)
    most = len(latent.axes)
    if view.way == "items":
        z = latent.items(ITEMS, view.seed)
    elif view.way == "between":
        z = latent.items(ITEMS, view.seed)
        z = latent.between(z[view.one - 1], z[view.other - 1], STEPS)
    else:
        z = latent.grid(min(view.across, most) - 1, min(view.down, most) - 1, SIDE, view.reach)
    return of_records(synth.codec, latent.made(z, view.seed))

"""A finished run's synthesizer, read with care: the run may be a stranger's."""

from __future__ import annotations

import json
import re

import torch

from karat.content import codec_named
from karat.content.codec import Codec
from karat.content.relational.related import Related
from karat.errors import KaratError, RunError
from karat.recipe import Recipe
from karat.run import Run
from karat.synthesizer.building import build, line_of, meet, weights_of
from karat.synthesizer.hierarchical import Hierarchical
from karat.synthesizer.single import Single
from karat.synthesizer.synthesizer import Synthesizer
from karat.synthesizer.typed import misfit


def new(codec: Codec, recipe: Recipe, classes: tuple[str, ...], seed: int) -> Synthesizer:
    """A synthesizer that has learned nothing yet; FitError where the recipe does not suit the content."""
    if isinstance(codec, Related):
        return Hierarchical(codec, recipe, seed)
    return Single(codec, build(recipe, meet(recipe, codec), len(classes), seed), classes)


def load(run: Run, device: torch.device, codec: Codec | None = None) -> Synthesizer:
    """The synthesizer of a finished run, ready to draw on `device`; RunError where the run is damaged or unfinished.

    codec: the run's own, where the caller has it already.
    """
    own = load_codec(run) if codec is None else codec
    classes = tuple(run.spec["classes"])
    if isinstance(own, Related):
        synth = Hierarchical(own, Recipe.from_dict(run.spec["recipe"]), run.spec["seed"])
        synth.put(weights_of(run.load_model()))
        return synth
    return _single(run, own, classes, device)


def load_codec(run: Run) -> Codec:
    """The codec that was saved with the run."""
    state = run.get("codec.json")
    try:
        codec = codec_named(state["name"]).restore({k: v for k, v in state.items() if k != "name"})
        wrong = misfit(codec)
        if wrong is None and not all(re.fullmatch(r"(\.[A-Za-z0-9]{1,12}){1,2}", suffix) for suffix in codec.wholes):
            wrong = f"its files end in {', '.join(codec.wholes)[:60]!r}"
        same = json.dumps({"name": codec.name, **codec.state()}, sort_keys=True) == json.dumps(state, sort_keys=True)
    except KaratError as error:
        raise RunError(f"{run.path / 'codec.json'} is damaged: {error}") from None
    except Exception as error:  # whatever a stranger's JSON makes of a codec
        raise RunError(
            f"{run.path / 'codec.json'} is damaged, or of another version of karat "
            f"({type(error).__name__}: {line_of(error)}); train anew."
        ) from None
    if wrong is not None:
        raise RunError(f"{run.path / 'codec.json'} is damaged: {wrong}; train anew.")
    if not same:
        raise RunError(
            f"{run.path / 'codec.json'} is damaged, or of another version of karat: it holds what no codec would write; train anew."
        )
    return codec


def _single(run: Run, codec: Codec, classes: tuple[str, ...], device: torch.device) -> Single:
    recipe = Recipe.from_dict(run.spec["recipe"])
    blob = run.load_model()
    try:
        model = build(recipe, meet(recipe, codec), len(classes), run.spec["seed"])
    except KaratError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError) as error:
        raise RunError(f"{run.path} is damaged: its codec and its recipe make no model ({line_of(error)}).") from None
    synth = Single(codec, model, classes)
    synth.put(weights_of(blob))
    synth.model = model.to(device).eval()
    return synth

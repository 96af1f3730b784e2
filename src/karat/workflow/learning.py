"""A run from its first step to its last: begun on data, or continued exactly where it stopped; its books closed either way."""

from __future__ import annotations

import tomllib
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from karat import __version__, synthesizer, trackers
from karat import recipe as recipes
from karat.content.table.io.sources import keep_frame
from karat.content.table.io.sql import is_url, without_credentials
from karat.data import DATABASES, TEXTS, Data, load
from karat.errors import DataError, FitError, RunError
from karat.families.generator import Fitted
from karat.options import TrainOptions
from karat.output import to_json
from karat.privacy import Target as Private
from karat.recipe import Recipe
from karat.run import Draft, Run
from karat.space import Codes
from karat.synthesizer import Synthesizer
from karat.training import loop
from karat.trust import keyed, seal, sealed, sign, signed
from karat.words import several
from karat.workflow import budgets, devices, running
from karat.workflow.several import choosing
from karat.worth.ledger import Ledger
from karat.worth.prices import find

Budget = tuple[float | None, int | None, int | None]  # minutes, steps, samples
PRIVATE = "marginals"  # the recipe whose guarantee is proved
BUDGETS = ("minutes", "steps", "samples")
UNSOUGHT = (
    "With --epsilon what holds between columns is not looked for, as that would spend of it; declare what you know as rules "
    "of --schema."
)


def begin(
    options: TrainOptions, console: Console, draft: Draft | None = None, called: Mapping[str, float] | None = None
) -> Run:
    """A new run on `options.source`: a path, a database's address, or a data frame, which is kept in the run's folder.

    draft: the folder that becomes the run, where the caller has begun it.   called: on each clock, when a person asked for
    it, where what has gone by since is part of the budget.
    """
    options = _settled(options)
    data, recipe, family = options.source, options.recipe, options.family
    own = [c for c in options.set if not c.startswith("data.")]
    settings = data_options([c for c in options.set if c.startswith("data.")])
    if recipe is not None or family is not None:  # a name that does not exist is said before anything is read
        settings = {**recipes.load(recipe if recipe is not None else "", own, family).data, **settings}
    where = devices.choose_device(options.device)
    find(options.prices, [Path.cwd()])  # wrong ones are refused before anything is read
    options = replace(options, track=trackers.check(_tracks(options)))
    out = None if options.out is None else Path(options.out)
    with ExitStack() as stack:
        if draft is None and (out is not None or not isinstance(data, str | Path)):
            asked = Path(family).stem if family is not None else recipe if recipe is not None else "auto"
            draft = stack.enter_context(Draft(free(Path("runs") / f"frame-{asked}") if out is None else out))
        if not isinstance(data, str | Path):
            assert draft is not None
            data = keep_frame(data, draft.claim("data.feather"))
        run, found, synth, plan = _created(data, options, own, settings, draft, stack)
    declared = find(options.prices, [run.path, Path.cwd()])
    with (
        run.lock(),
        Ledger(run.path / "ledger.jsonl", declared).entry("train", where.type) as entry,
    ):
        for line in run.spec.get("tried", ()):
            console.print(line, soft_wrap=True)
        _print_plan(
            console, found, run.spec["recipe"]["name"], plan, devices.describe(where), synth.gradient is not None
        )
        plan = replace(plan, shared=options.threads is None, called=None if called is None else called[plan.clock])
        return running.drive(run, found, synth, where, plan, entry, console)


def _settled(options: TrainOptions) -> TrainOptions:
    """The options with the settings that stand for `schema`, `labels`, `holdout` and `epsilon` among the others."""
    named = (("schema", options.schema), ("labels", options.labels), ("holdout", options.holdout))
    recipe, changes = options.recipe, [*options.set, *(f"data.{k}={v}" for k, v in named if v is not None)]
    changes += [] if options.discover else ["data.discover=false"]
    changes += ["train.keep_best=true"] if options.keep_best else []
    if options.public_schema and options.epsilon is None:
        raise FitError("--public-schema says what a private fit may tell; it goes with --epsilon.")
    if options.epsilon is not None:
        recipe, changes = private(options.epsilon, recipe, options.family, changes, options.public_schema)
    return replace(options, recipe=recipe, set=changes)


def _tracks(options: TrainOptions) -> tuple[str, ...]:
    return (options.track,) if isinstance(options.track, str) else tuple(options.track)


def _created(
    data: str | Path,
    asked: TrainOptions,
    own: Sequence[str],
    options: dict[str, Any],
    draft: Draft | None,
    stack: ExitStack,
) -> tuple[Run, Data, Synthesizer, loop.Plan]:
    """The run as it is begun, whole or not at all, and what it begins with.

    data: where they lie.   own: settings of the recipe.   options: settings of the data.
    """
    seed, family = asked.seed, asked.family
    holdout = options.pop("holdout", 0.1)
    private = _private(options, own, seed)
    epsilon = None if private is None else private.epsilon
    schema = _schema(options)
    found = load(data, options=options, holdout=holdout, private=private)
    if found.contents.facts.get("doubt"):
        raise DataError(found.contents.facts["doubt"])
    if private is not None:
        found = replace(found, notes=(*found.notes, UNSOUGHT))
        own = [*own, f"model.epsilon={epsilon}", f"model.delta={private.delta_of(len(found.train))}"]
    recipe, tried, budget = _among(found, own, asked)
    chosen = recipes.load(recipe, own, family, found.codec.spaces)
    if chosen.model.get("context"):
        raise FitError(
            f"model.context={chosen.model['context']} is for related tables, where it is set by itself; leave it out."
        )
    plan = budgets.with_budget(chosen, *budget, seed)
    synth = synthesizer.new(found.codec, chosen, found.classes, seed)
    found = _validated(found, chosen, synth, seed)
    if draft is None:
        draft = stack.enter_context(Draft(free(Path("runs") / f"{_stem(found.path)}-{chosen.name}")))
    place, inside = _lasting(found.path, draft.path)
    parts = {"codec.json": to_json({"name": found.codec.name, **found.codec.state()})}
    name = uuid.uuid4().hex[:12]
    spec = {
        "id": name,
        "version": __version__,
        "data": place,
        "inside": inside,
        "options": {name: value for name, value in options.items() if name not in ("schema", "cache")},
        "holdout": holdout,
        "fingerprint": _stored_fingerprint(name, found, epsilon),
        "seed": seed,
        "recipe": chosen.to_dict(),
        "minutes": plan.minutes,
        "steps": plan.steps,
        "samples": plan.samples,
        "epsilon": epsilon,
        "precision": None,
        "track": list(asked.track),
        "classes": list(found.classes),
        "threads": asked.threads,
        **tried,
    }
    run = draft.finish(spec, parts if schema is None else {**parts, "schema.toml": schema}, seal, sign)
    return run, found, synth, plan


def _among(found: Data, own: Sequence[str], asked: TrainOptions) -> tuple[str, dict[str, Any], Budget]:
    """The recipe, or that which is chosen for it; what was tried, for the run; and the budget, less what trials took of it."""
    recipe = asked.recipe
    if recipe is None:
        recipe = "" if asked.family is not None else recipes.first(type(found.codec.spaces[0]))
    names, budget = recipes.among(recipe), _budget(asked)
    if not names:
        return recipe, {}, budget
    plan = budgets.with_budget(recipes.load(recipe, own), *budget, asked.seed)
    began = plan.now()
    best, trials = choosing.choose(found, names, own, asked.seed, plan)
    minutes, steps, samples = budget
    if minutes is not None:
        minutes = max(minutes - (plan.now() - began) / 60, minutes / 10)
    return best, {"tried": [str(trial) for trial in trials]}, (minutes, steps, samples)


def _validated(found: Data, recipe: Recipe, synth: Synthesizer, seed: int) -> Data:
    """The data with a validation part, where the weights are to be chosen by one; FitError where there is nothing to choose."""
    if not recipe.train.keep_best:
        return found
    if synth.gradient is None:
        raise FitError(
            f"--keep-best: {recipe.name} is fitted at once and has no earlier weights to choose from; leave it out."
        )
    return found.validated(seed)


def _budget(options: TrainOptions) -> Budget:
    return options.minutes, options.steps, options.samples


def proceed(run: Run, options: TrainOptions, entry: Any, console: Console) -> Run:
    """Continues `run`, with a new total of its budget where one is given; FitError for settings that the run fixed."""
    budget = _budget(options)
    given = (
        options.recipe,
        options.out,
        options.schema,
        options.labels,
        options.holdout,
        options.epsilon,
        not options.discover,
        options.keep_best,
        options.set,
        options.seed not in (0, run.spec["seed"]),
        any(name not in run.spec["track"] for name in _tracks(options)),
    )
    if any(x for x in given):
        raise FitError(
            f"{run.path} is a run: its recipe and settings are fixed. Continue it with `karat train {run.path}`, "
            "or train anew from the data with another --out."
        )
    spec = run.spec
    recipe = permit(run, options.family)
    if spec["status"] == "trained" and issubclass(recipes.module(recipe.family, recipe.digest).Model, Fitted):
        raise RunError(f"{run.path} is fitted, and more time would change nothing; assay it, or train anew elsewhere.")
    kind = next(i for i, name in enumerate(BUDGETS) if spec[name] is not None)
    if all(b is None for b in budget):
        if spec["status"] == "trained":
            raise RunError(f"{run.path} has used its budget; give it more with --minutes or --steps, or assay it.")
        budget = (spec["minutes"], spec["steps"], spec["samples"])
    elif budget[kind] is None:
        raise FitError(f"{run.path} counts its budget in {BUDGETS[kind]}; give the new total as --{BUDGETS[kind]}.")
    elif budget[kind] <= spec[BUDGETS[kind]] and spec["status"] == "trained":
        raise FitError(f"{run.path} has used its budget; --minutes, --steps and --samples give the new, larger total.")
    found = again(run, options.data, options.trust_data)
    plan = budgets.with_budget(recipe, *budget, spec["seed"])
    plan = replace(plan, shared=options.threads is None and spec["threads"] is None)
    where = devices.choose_device(options.device)
    entry.device = where.type
    synth = synthesizer.new(found.codec, recipe, found.classes, spec["seed"])
    run.sign = sign if signed(spec) else None
    # no longer trained: who kills it before its first step can go on to the new total
    run.update({"minutes": plan.minutes, "steps": plan.steps, "samples": plan.samples, "status": "started"})
    _print_plan(console, found, recipe.name, plan, devices.describe(where), synth.gradient is not None)
    return running.drive(run, found, synth, where, plan, entry, console)


def permit(run: Run, family: str | Path | None) -> Recipe:
    """The recipe of a run, its family's file run where the person has named that very file; RunError otherwise."""
    recipe = Recipe.from_dict(run.spec["recipe"])
    if not recipe.digest:
        if family is not None:
            raise FitError(
                f"{run.path} was trained with the family {recipe.family}, not with a file; leave --family out."
            )
    elif family is not None:
        recipes.admit(Path(family), recipe.digest)
    elif not recipes.admitted(recipe.digest):
        raise RunError(
            f"{run.path} was trained with the Python file {recipe.family} (sha256 {recipe.digest[:12]}), which is run only "
            f"when you name it: add --family {recipe.family}."
        )
    return recipe


def again(run: Run, data: str | Path | None = None, trusted: bool = False) -> Data:
    """The data of a run, read and split as when it was begun; RunError where they are gone or have changed.

    data: where they lie now, else where the run says; kept once they are found to be the same.   trusted: that what a run
    that this user did not make says of its data may be opened.
    """
    spec, mine = run.spec, sealed(run.spec)
    place = run.source if data is None else data
    if not mine and not trusted and (data is None or any(map(_holds_text, spec["options"].values()))):
        settings = "".join(f", {name}={value!r}" for name, value in spec["options"].items())
        raise RunError(
            f"{run.path} was not made by you on this machine. It would read {str(place)!r}{settings}. If that may be read, "
            "add --trust-data; or name the data yourself with --data."
        )
    options = dict(spec["options"])
    if "schema.toml" in spec["parts"]:
        run.part("schema.toml")  # refuses another
        options["schema"] = run.path / "schema.toml"
    codec = synthesizer.load_codec(run)
    try:
        with nullcontext() if mine or data is not None else without_credentials(str(place)):
            found = load(place, options=options, holdout=spec["holdout"], codec=codec)
    except DataError as error:
        raise RunError(
            f"the data of {run.path} cannot be read again: {error} If they have moved, name the new place with --data."
        ) from None
    found = replace(found, fingerprint=_stored_fingerprint(spec["id"], found, spec["epsilon"]))
    if found.fingerprint != spec["fingerprint"]:
        changed = f"{place} has changed since {run.path} was begun" if data is None else f"{place} holds other data"
        raise RunError(
            f"{changed} (fingerprint {found.fingerprint[:12]} instead of {spec['fingerprint'][:12]}). "
            "Train anew, or name with --data where the old data lie."
        )
    if Recipe.from_dict(spec["recipe"]).train.keep_best:
        found = found.validated(spec["seed"])
    if data is not None:
        with nullcontext() if run.locked else run.lock():
            new, inside = _lasting(found.path, run.path)
            run.update({"data": new, "inside": inside})
            run.update({"seal": seal(run.spec)})
    return found


def _holds_text(value: Any) -> bool:
    """Whether a setting is text, which may be a query."""
    return isinstance(value, str) or (isinstance(value, list) and any(map(_holds_text, value)))


def _stored_fingerprint(name: str, found: Data, epsilon: float | None) -> str:
    """What the run `name` says of its data to know them by; of private ones nothing that anybody else can check."""
    if epsilon is None:
        return found.fingerprint
    secret = keyed(name, found.fingerprint)
    if secret is None:
        raise FitError(
            "a private run knows its data by a key of yours, and none can be kept in ~/.local/state/karat. Let XDG_STATE_HOME "
            "name a folder that can be written."
        )
    return secret


def _private(options: dict[str, Any], own: Sequence[str], seed: int) -> Private | None:
    """What --epsilon asks for, taken out of the `options` of the data; None where it is not given."""
    epsilon = options.pop("epsilon", None)
    if epsilon is None:
        return None
    inferred = bool(options.pop("public", False))
    if not inferred:
        options["declared"] = True
    settings = recipes.load(PRIVATE, own, None, (Codes((1,), (False,)),)).model
    refused = [name for name in ("epsilon", "share") if any(change.startswith(f"model.{name}=") for change in own)]
    if refused:
        raise FitError(
            f"model.{refused[0]} cannot be set beside --epsilon, which says how much privacy the whole fit spends."
        )
    seeded = settings.get("noise") == "seeded"
    return Private(float(epsilon), float(settings.get("delta", 0.0)), seed if seeded else None, inferred)


def _print_plan(console: Console, found: Data, recipe: str, plan: loop.Plan, device: str, learned: bool) -> None:
    budget = (
        f"{plan.minutes:g} minutes"
        if plan.minutes is not None
        else f"{plan.steps:,} steps"
        if plan.steps is not None
        else f"{plan.samples:,} samples"
    )
    classes = f" of {several(len(found.classes), 'class', 'classes')}" if found.classes else ""
    console.print(f"{found.path}: {len(found.contents.records):,} {found.codec.phrase()}{classes}")
    chosen_by = f", {len(found.validation):,} to choose the weights by" if len(found.validation) else ""
    console.print(f"{len(found.train):,} to learn from{chosen_by}, {len(found.holdout):,} set aside")
    for note in (*found.notes, *(f"skipped {name}: {why}" for name, why in found.contents.skipped)):
        console.print(note, soft_wrap=True)
    console.print(f"recipe {recipe}, {f'{budget}, on ' if learned else 'on '}{device}")


def private(
    epsilon: float, recipe: str | None, family: str | None, changes: Sequence[str], inferred: bool
) -> tuple[str, list[str]]:
    """The recipe and the settings of a fit with differential privacy; FitError for a recipe that has no proof of it.

    inferred: whether what the cells show of kinds and formats may be known.
    """
    if recipe not in (None, PRIVATE) or family is not None:
        raise FitError(
            f"--epsilon is kept by the recipe {PRIVATE} only; {recipe or family} promises nothing. Leave one of them out."
        )
    if not 0 < epsilon < float("inf"):
        raise FitError(f"--epsilon {epsilon:g}: wanted a number above 0; 1 is usual.")
    if not inferred and not any(change.startswith("data.schema=") for change in changes):
        raise FitError(
            "--epsilon: kinds, formats and spellings would be inferred from the very rows that are to be protected. Declare "
            "them with --schema (`karat look DATA --write-schema FILE` writes one to correct), or say with --public-schema that "
            "they may be known."
        )
    return PRIVATE, [*changes, f"data.epsilon={float(epsilon)}", f"data.public={'true' if inferred else 'false'}"]


def check_settings(options: TrainOptions) -> None:
    """FitError for settings of `options` that a recipe which they name has not, or not so; for those of data that are none."""
    data_options([each for each in options.set if each.startswith("data.")])
    if options.set and options.recipe in recipes.names():
        recipes.load(options.recipe, [each for each in options.set if not each.startswith("data.")])


def data_options(changes: Sequence[str]) -> dict[str, Any]:
    """The options of data from `data.name=value` settings; a value that is no TOML is text."""
    out: dict[str, Any] = {}
    for change in changes:
        key, sign, text = change.partition("=")
        name = key.removeprefix("data.")
        if not sign or not name.isidentifier():
            raise FitError(f"--set {change!r}: wanted data.name=value, for example data.size=64.")
        try:
            out[name] = tomllib.loads(f"v = {text}")["v"]
        except (ValueError, RecursionError):
            out[name] = text
        if name in TEXTS and not isinstance(out[name], str):  # a table, a column or a file may be called 2024 or true
            out[name] = text
    if "size" in out and (not isinstance(out["size"], int) or isinstance(out["size"], bool) or out["size"] < 1):
        raise FitError(f"--set data.size={out['size']}: wanted a whole number of pixels, at least 1.")
    return out


def _schema(options: Mapping[str, Any]) -> bytes | None:
    """The bytes of the schema that is given; None where there is none, or no such file: reading the data says so."""
    path = options.get("schema")
    return Path(path).read_bytes() if path is not None and Path(path).is_file() else None


def _lasting(path: str, folder: Path) -> tuple[str, bool]:
    """The place of data as it is found from any folder, an address as it stands; and whether it is inside the run."""
    if is_url(path) or not Path(path).exists():
        return path, False
    source, run = Path(path).resolve(), folder.resolve()
    return (str(source.relative_to(run)), True) if source.is_relative_to(run) else (str(source), False)


def _stem(path: str) -> str:
    name = path.rsplit("/", 1)[-1] if path.startswith(DATABASES) else Path(path).name
    return name.split(".")[0] or "data"


def free(path: Path) -> Path:
    """`path`, or the first of path-2, path-3, ... that holds no run."""
    i, free = 1, path
    while free.exists():
        i += 1
        free = path.with_name(f"{path.name}-{i}")
    return free

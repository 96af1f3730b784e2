"""What can be asked of `karat train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from karat.options.kinds import Source


@dataclass(frozen=True)
class TrainOptions:
    """Train a generator on data, or continue a run exactly where it stopped.

    Parameters
    ----------
    source
        What to learn from (see `karat look`), or the folder of a run to continue.
    data
        Of a run to continue: where its data lie now, if they were moved.
    trust_data
        Of a run that you did not make: read the data that it names.
    recipe
        Pictures: vae (the default), diffusion, ddpm, gan, cgan, dcgan, wgan-gp, mlp-gan. Tables: trees (the default),
        cart, autoregressive, auto (that of these three whose rows teach most), vae, gan, diffusion, ctgan, tvae, marginals.
        Text: autoregressive (the default), ngram, diffusion. Or the path of your own .toml.
    minutes
        Budget in minutes, kept within 5%. Of minutes, steps and samples give one; the default is the recipe's own.
    steps
        Budget in steps of the training loop.
    samples
        Budget in training samples seen.
    seed
        Seed of everything random.
    seeds
        Train so many runs, OUT-1, OUT-2, ..., with this seed and those after it; `karat assay OUT-*` compares them.
    out
        Folder of the run; runs/DATA-RECIPE by default.
    family
        A Python file of your own that exports Config and Model, in place of a recipe. It is run, and only when it is named
        here: to continue such a run, name it again.
    schema
        A TOML that corrects what is inferred of a table's columns, and declares rules (see `karat look --write-schema`).
    labels
        How the names of files of pictures or sounds are to be read, such as `{label}_{speaker}_{n}`, or their folders, such
        as `{alphabet}/{character}`: `label` is the class, and every name in braces can be used in --holdout. Of text in a
        table: the column that holds the class.
    holdout
        What is set aside for the judge: a share (0.1 by default), the last of the data as they stand (last:0.1), or what
        the names say (n<5, speaker=theo).
    epsilon
        Learn a table with differential privacy of this epsilon (the recipe marginals); docs/privacy.md says what it promises.
        Wants a --schema that declares the kind of every column of text, or --public-schema.
    discover
        Look for what holds between the columns of a table and keep to it in what is made (see `karat look`); --no-discover
        looks for nothing. With --epsilon nothing is looked for.
    public_schema
        With --epsilon: what the cells show of kinds, formats and spellings is inferred from them, and is no secret.
    device
        auto, cpu, cuda, cuda:1 or mps.
    threads
        CPU threads to use.
    set
        Deeper settings, such as model.width=64, model.lr=1e-3, train.batch=128, train.precision=fp32, data.size=64.
    track
        Also tell a tracker: tensorboard, wandb or mlflow, each of which keeps files in the run unless its own settings name a
        server. Give it again for another.
    keep_best
        End with the weights of that tenth of the budget which fit a validation part best: at least 64 of the records to learn
        from, which then are not learned from; never the judge's. For families that learn step by step.
    prices
        A prices.toml; without it the ledger keeps seconds and no money.
    """

    source: Source
    _: KW_ONLY
    data: str | Path | None = None
    trust_data: bool = False
    recipe: str | None = None
    minutes: float | None = None
    steps: int | None = None
    samples: int | None = None
    seed: int = 0
    seeds: int | None = None
    out: Path | None = None
    family: str | None = None
    schema: Path | None = None
    labels: str | None = None
    holdout: str | float | None = None
    epsilon: float | None = None
    discover: Annotated[bool, Parameter(negative="--no-discover")] = True
    public_schema: bool = False
    device: str = "auto"
    threads: int | None = None
    set: Sequence[str] = ()
    track: Sequence[str] = ()
    keep_best: bool = False
    prices: Path | None = None

"""What can be asked of `karat make`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from karat.options.kinds import NUMBER, RunLike


@dataclass(frozen=True)
class MakeOptions:
    """Make new content and write it as ordinary files, each labelled as AI-made.

    Parameters
    ----------
    run
        The folder of a finished run.
    n
        How many to make, 64 by default; one with --prompt or --stream, and where --out names a file of one.
    out
        Pictures and sounds: a folder of PNG or WAV files, or a file ending in .npy, .npz or .zip. A name ending in .png, .jpg,
        .webp, .tif or .gif, .wav, .flac, .ogg or .mp3 is a file of one; where -n asks for more, x.jpg is a folder x of such
        files. Tables: a file ending in .csv, .tsv, .json, .jsonl, .xlsx, .parquet, .feather, .orc, .db, .sqlite or .csv.gz, in
        the form of the data by default, of a database .parquet.
        Related tables: a folder, of files named as the real ones, or a .db with all of
        them. Text: a file ending in .txt, .md, .jsonl or .csv, or a folder of .txt files. By default in RUN/made, or the
        first of RUN/made-2, made-3, ... that is new. A folder whose making was stopped goes on where it was.
    shards
        Make so many files in place of one, each of about as many records, in a folder: --out big.parquet makes
        big.parquet/part-00000.parquet and so on. Each hangs on the seed and its number alone, keys differ in all of them,
        and one that is whole is not made again where the making was stopped.
    shard
        Of the shards make only these, on this machine: one number from 0, or the first and the last: 100-199.
    workers
        Processes that make shards side by side, 1 by default; on Ray as many as it has CPUs.
    on
        ray: make the shards as tasks of the Ray cluster that RAY_ADDRESS names, or of one on this machine. Its machines must
        see RUN and --out under the same names.
    family
        The Python file that the run was trained with, if it was; it is run.
    label
        Make this class only, by its name.
    given
        Tables: what every row must hold, such as "income=>50K, sex=Female, age=30..40"; or a file of partial rows, whose
        empty cells and absent columns are filled in. Of related tables "customers.segment=gold", of any that has no parent.
    balance
        Tables: a column whose values are all made equally often.
    gate
        What made records must pass beside the usual gates (no copies of training records, no broken rules, no repeats): en or
        zh, which are short lists of words that block a text; your own list (a .txt, a term a line); FILE.py:NAME, a function
        of the records; model.onnx; a folder of files in good/ and bad/ to learn from; personal, which keeps mail addresses,
        telephone and identity numbers out of text; likeness=FOLDER, which keeps out who is in a folder of faces or voices (a
        sub-folder for each person; with ",model.onnx" behind it by that encoder). May be given several times. none: no gate at
        all, nor the usual ones.
    keep
        Keep this share of what is drawn, the best by a classifier that tells real records from made ones; it takes the training
        data. So many more are drawn.
    classes
        How many to make of each class, in place of -n: "cat=300, dog=100"; of a table of its target or of the column named:
        "income: >50K=300, <=50K=100".
    independent
        Tables: draw every row by itself; by default the rows of a table keep together to what was learned, as a stratified
        sample does.
    prompt
        Text: what it begins with.
    temperature
        Text: below 1 likelier, above 1 more varied; 0 takes the likeliest.
    top_p
        Text: drawn from the likeliest that hold this share together.
    min_p
        Text: drawn from those at least this share as likely as the likeliest.
    stop
        Text: ends before this comes. May be given several times.
    characters
        Text: how many characters follow the prompt, however long a passage of the data is; by default about one passage.
    stream
        Text: show it while it comes, on standard output; it is written and labelled as well.
    seed
        Seed of what is made; the same seed gives the same content.
    device
        auto, cpu, cuda or mps.
    threads
        CPU threads to use.
    producer
        Your name or code in the label of origin: ASCII, without spaces.
    sign
        The folder of a key of `karat key`, with which each file is signed, last of all: by a C2PA manifest inside, or in a file
        beside.
    time_stamp
        With --sign: the address of a time-stamping service, the only thing for which a network is used.
    labels
        Whose rules the labels of origin follow: cn (GB 45438-2025), eu (the IPTC source type and karat's own fields), both, or
        private, which is both without the run, the recipe, the seed and the time. Both by default, or what --policy says.
    visible
        Show people too what it is, by the words of those rules: a text in the corner of pictures, a rhythm before sounds, a first
        line of text, a last column of tables.
    policy
        A policy file or pack, as of `karat assay`, whose `labels` count where --labels is not given.
    overwrite
        Replace what was made before and is there; never what the run learned from, nor files that karat did not make.
    safe_cells
        Tables: put a quote before cells of delimited files that a spreadsheet would run as formulas.
    watermark
        Put the run's watermark into what is made, by a secret key that is kept in RUN/watermark.key: `karat check` finds it again.
        Text by recipes that write from left to right, tables (which takes four times as long), pictures and sounds.
    keyed_noise
        Pictures by `diffusion` and `ddpm`: begin with noise whose signs follow a secret key that is kept in RUN/noise.key. No
        pixel is changed afterwards; `karat check` goes back from a picture to its noise.
    prices
        A prices.toml; without it the ledger keeps seconds and no money.
    """

    run: RunLike
    _: KW_ONLY
    n: Annotated[int | None, NUMBER] = None
    out: Path | None = None
    shards: int | None = None
    shard: str | None = None
    workers: int | None = None
    on: Literal["ray"] | None = None
    family: str | Path | None = None
    label: Annotated[str | None, Parameter(name="--class")] = None
    given: str | None = None
    balance: str | None = None
    gate: Sequence[str] = ()
    keep: float | None = None
    classes: str | None = None
    independent: bool = False
    prompt: str | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    stop: Sequence[str] = ()
    characters: int | None = None
    stream: bool = False
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    producer: str = "karat"
    labels: Literal["cn", "eu", "both", "private"] | None = None
    visible: bool = False
    policy: str | Path | None = None
    sign: Path | None = None
    time_stamp: str | None = None
    overwrite: bool = False
    safe_cells: bool = False
    watermark: bool = False
    keyed_noise: bool = False
    prices: Path | None = None

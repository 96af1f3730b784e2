"""How often each watermark is found, where there is none and where there is one, as it was made and after attacks.

    python benchmarks/watermarks.py --text shakespeare.txt --table adult-train.csv --pictures mnist cifar10-test.zip --sounds fsdd

Clean items are real: windows of a text of 200 tokens, tables of 100 to 500 rows drawn from a table, pictures, windows of one second
of all sounds laid end to end. --clean of each (10,000) are tested, a fifth of them with each of five keys, so that the rate is not
that of one key. Marked items are made by a run that is trained here (text, tables), or are real ones that were marked, as the mark
of a picture or a sound does not ask who made it. Found is what reaches a false positive rate of 0.1 %. CPU seconds, a thread.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import soundfile
import soxr
import torch
from PIL import Image

from karat import synthesizer
from karat.content.audio.sounds import Sounds
from karat.content.image.images import Images
from karat.content.table.table import Table
from karat.request import Request
from karat.run import Run
from karat.watermarks import scheme
from karat.watermarks.detection import FPR, detection
from karat.watermarks.noise import NoiseWatermark

KEYS = [bytes([65 + k]) * 32 for k in range(5)]
TOKENS, GROUPS = 200, (10, 100)
SIZES = (100, 300, 500)  # rows of a table
GROUPED = 2_000  # clean items that are also tested several at once


def share(found: Sequence[bool] | np.ndarray) -> str:
    """A share with its number."""
    found = np.asarray(found, bool)
    return f"{found.mean():.2%} ({found.sum():,} of {len(found):,})" if len(found) else "none"


def line(
    kind: str, item: str, state: str, found: Sequence[bool] | np.ndarray, *, groups: Sequence[str] = ("", "")
) -> None:
    print(f"| {kind} | {item} | {state} | {share(found)} | {' | '.join(groups)} |", flush=True)


def together(items: Any, found: Callable[[Any], bool]) -> list[str]:
    """How often so many items at once are `found`."""
    return [share([found(items[i : i + k]) for i in range(0, len(items) - k + 1, k)]) for k in GROUPS]


def of_p(p: np.ndarray) -> bool:
    """Whether p values of independent items are found together."""
    return detection("", p).found


def run_of(source: Path, folder: Path, recipe: str, *settings: str) -> Run:
    cli = [
        sys.executable,
        "-m",
        "karat",
        "train",
        source,
        "--recipe",
        recipe,
        "--out",
        folder,
        "--threads",
        "1",
        "--seed",
        "0",
    ]
    subprocess.run([*cli, *(x for s in settings for x in ("--set", s))], check=True, capture_output=True)
    return Run.open(folder)


def texts(args: argparse.Namespace, folder: Path, tokens: str) -> None:
    rng = np.random.default_rng(args.seed)
    whole = args.text.read_text()
    words = whole.split()
    run = run_of(args.text, folder / tokens, "ngram", f"data.tokens={tokens}")
    synth = synthesizer.load(run, torch.device("cpu"))
    marks: list[Any] = [scheme(synth.codec, key) for key in KEYS]
    long = int(TOKENS / marks[0].codec.density * 1.4)

    def window(text: str) -> str:
        """The first TOKENS tokens of a text."""
        codes = marks[0].codec.opening(text)[1 : TOKENS + 1]
        return b"".join(marks[0].codec.spelling[code] for code in codes.tolist()).decode("utf-8", "ignore")

    def tested(name: str, items: list[str], mine: list[Any]) -> None:
        """Items that were marked by the first of the marks `mine`, if at all."""
        p = np.array([mine[i % len(mine)].detect([text]).p_value for i, text in enumerate(items)])
        several = together(items[:GROUPED], lambda some: mine[0].detect(some).found)
        line("text", f"{TOKENS} {tokens}", name, p <= FPR, groups=several)

    begun = time.process_time()
    tested("clean", [window(whole[at : at + long]) for at in rng.integers(len(whole) - long, size=args.clean)], marks)
    print(f"{1e3 * (time.process_time() - begun) / args.clean:.1f} ms for each clean text", file=sys.stderr)
    asked, costs = Request(args.marked, args.seed, characters=long), []
    for request in (asked, marks[0].asked(asked)):
        begun = time.process_time()
        made = [window(text) for block in synth.stream(request) for text in block.records]
        costs.append(time.process_time() - begun)
    tested(f"marked, drawn in {costs[1]:.1f} s in place of {costs[0]:.1f} s", made, marks[:1])
    tested("25 % of the words changed", [changed(text, words, rng) for text in made], marks[:1])


def changed(text: str, words: list[str], rng: np.random.Generator) -> str:
    """The text with a quarter of its words replaced by any others."""
    parts = text.split(" ")
    for i in rng.choice(len(parts), len(parts) // 4, replace=False):
        parts[i] = words[rng.integers(len(words))]
    return " ".join(parts)


def tables(args: argparse.Namespace, folder: Path) -> None:
    run = run_of(args.table, folder / "table", "trees", "data.rows=8000")
    synth = synthesizer.load(run, torch.device("cpu"))
    marks: list[Any] = [scheme(synth.codec, key) for key in KEYS]
    real: Table = type(synth.codec).read(args.table, synth.codec.alike()).records
    codes, _ = marks[0].coded(real)
    for size in SIZES:
        rng = np.random.default_rng([args.seed, size])
        mine = [marks[i % len(KEYS)] for i in range(-(-args.clean // len(SIZES)))]
        begun = time.process_time()
        p = np.array([m.p_value(m.bits(codes[rng.choice(len(codes), size, replace=False)])) for m in mine])
        cost = (time.process_time() - begun) / len(mine)
        line("table", f"{size} rows", f"clean, {1e3 * cost:.1f} ms each", p <= FPR, groups=together(p, of_p))
        sized(args, synth, marks[0], real, size, rng)


def sized(
    args: argparse.Namespace,
    synth: synthesizer.Synthesizer,
    mark: Any,
    real: Table,
    size: int,
    rng: np.random.Generator,
) -> None:
    """Marked tables of so many rows."""
    costs = []
    for asked in (lambda request: request, mark.asked):
        begun = time.process_time()
        made = [synth.draw(asked(Request(size, args.seed + k))).records for k in range(args.marked // 5)]
        costs.append(time.process_time() - begun)

    def fewer(table: Table) -> Table:
        return table[rng.permutation(size)[: size * 9 // 10]]

    attacks: dict[str, Callable[[Table], Table]] = {
        f"marked, drawn in {costs[1]:.1f} s in place of {costs[0]:.1f} s": lambda table: table,
        "10 % of the cells changed": lambda table: cells(table, real, rng),
        "10 % of the rows lost, the others shuffled": fewer,
        "10 % of the columns lost": lambda table: columns(table, rng),
        "all of these": lambda table: columns(fewer(cells(table, real, rng)), rng),
    }
    for name, attack in attacks.items():
        p = np.array([mark.detect(attack(table)).p_value for table in made])
        line("table", f"{size} rows", name, p <= FPR, groups=together(p, of_p))


def cells(table: Table, real: Table, rng: np.random.Generator) -> Table:
    """A tenth of the cells replaced by others of their column."""
    out = {}
    for name in table.cells.column_names:
        column = table.cells[name].combine_chunks()
        others = real.cells[name].take(pa.array(rng.integers(len(real), size=len(table)))).combine_chunks()
        out[name] = pc.if_else(pa.array(rng.random(len(table)) < 0.1), others, column)
    return Table(pa.table(out), table.facts)


def columns(table: Table, rng: np.random.Generator) -> Table:
    """A table without a tenth of its columns."""
    names = table.cells.column_names
    return Table(table.cells.drop_columns([*rng.choice(names, -(-len(names) // 10), replace=False)]), table.facts)


def picture_of(record: np.ndarray) -> Image.Image:
    return Image.fromarray(record[..., 0] if record.shape[2] == 1 else record)


def record_of(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def jpeg(record: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    picture_of(record).save(file, "JPEG", quality=50)
    return record_of(Image.open(file))


def resized(record: np.ndarray, back: bool) -> np.ndarray:
    h, w = record.shape[:2]
    image = picture_of(record).resize((w // 2, h // 2), Image.Resampling.BICUBIC)
    return record_of(image.resize((w, h), Image.Resampling.BICUBIC) if back else image)


def cropped(record: np.ndarray, side: float, rng: np.random.Generator) -> np.ndarray:
    h, w = record.shape[:2]
    high, wide = round(h * side), round(w * side)
    top, left = rng.integers(h - high + 1), rng.integers(w - wide + 1)
    return record[top : top + high, left : left + wide]


def noisy(record: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(record + rng.normal(0, 10, record.shape), 0, 255).astype(np.uint8)


def pictures(args: argparse.Namespace, source: Path) -> None:
    rng = np.random.default_rng(args.seed)
    real = np.asarray(Images.read(source, {"limit": args.clean}).records)
    codec = Images(real.shape[3], *real.shape[1:3])
    measured(f"picture {real.shape[2]}x{real.shape[1]}", real, codec, attacks_of(rng), args)


def attacks_of(rng: np.random.Generator) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    return {
        "": lambda one: one,
        "JPEG q50": jpeg,
        "half the size": lambda one: resized(one, False),
        "half the size and back": lambda one: resized(one, True),
        "crop: 75 % of the area": lambda one: cropped(one, 0.75**0.5, rng),
        "crop: 75 % of each side": lambda one: cropped(one, 0.75, rng),
        "noise of 10 levels": lambda one: noisy(one, rng),
    }


def keyed_noise(args: argparse.Namespace, folder: Path, source: Path) -> None:
    """Pictures of a run, made and real, each of its real ones tested with one of many keys: going back asks for none."""
    run, rng = Run.open(folder), np.random.default_rng(args.seed)
    synth = synthesizer.load(run, torch.device("cpu"))
    real = np.asarray(Images.read(source, {"limit": args.clean}).records)
    model = getattr(synth, "model", None)
    marks = [NoiseWatermark(synth.codec, bytes([k]) * 32, model) for k in range(100)]
    attacks = attacks_of(rng)
    begun = time.process_time()
    made = np.concatenate([b.records for b in synth.stream(marks[0].asked(Request(args.marked, args.seed)))])
    cost, item = time.process_time() - begun, f"{run.spec['recipe']['name']} {real.shape[2]}x{real.shape[1]}"
    for name, attack in attacks.items():
        few = real if not name else real[: args.attacked]
        begun = time.process_time()
        found = marks[0].found([attack(one) for one in few])
        spent = (time.process_time() - begun) / len(few)
        p = np.concatenate([mark.chances(found[k :: len(marks)]) for k, mark in enumerate(marks)])
        groups = [found[k : k + 10] for k in range(0, min(len(found), GROUPED) - 9, 10)]
        several = share([marks[k % 100].together(some) <= FPR for k, some in enumerate(groups)])
        line(item, "1", f"clean {name}".strip() + f", {1e3 * spent:.0f} ms each", p <= FPR, groups=(several, ""))
        found = marks[0].found([attack(one) for one in made])
        several = [
            share([marks[0].together(found[i : i + k]) <= FPR for i in range(0, len(found) - k + 1, k)]) for k in GROUPS
        ]
        how = name or f"marked, drawn in {cost:.1f} s"
        line(item, "1", f"marked {name}" if name else how, marks[0].chances(found) <= FPR, groups=several)


def measured(
    item: str,
    real: np.ndarray,
    codec: Any,
    attacks: dict[str, Callable[[np.ndarray], np.ndarray]],
    args: argparse.Namespace,
) -> None:
    """Items [n, ...], as they are and marked, after each attack."""
    marks: list[Any] = [scheme(codec, key) for key in KEYS]
    few = real[: args.marked]
    begun = time.process_time()
    made = marks[0].embedded(few, np.random.default_rng(args.seed))
    cost = (time.process_time() - begun) / len(few)
    # of numbers from 0 to the top of a picture, or of waves
    noise = 10 * np.log10((few.astype(float) ** 2).sum() / ((made - few.astype(float)) ** 2).sum())
    for name, attack in attacks.items():
        parts = [[attack(one) for one in real[k :: len(KEYS)]] for k in range(len(KEYS))]
        begun = time.process_time()
        p = np.concatenate([mark.each(part) for mark, part in zip(marks, parts, strict=True)])
        spent = (time.process_time() - begun) / len(real)
        several = together(parts[1][:GROUPED], lambda some: marks[1].detect(some).found)
        line(item, "1", f"clean {name}".strip() + f", {1e3 * spent:.2f} ms each", p <= FPR, groups=several)
        hurt = [attack(one) for one in made]
        p = marks[0].each(hurt)
        several = together(hurt, lambda some: marks[0].detect(some).found)
        how = name or f"marked in {1e3 * cost:.1f} ms each, signal to mark {noise:.1f} dB"
        line(item, "1", f"marked {name}" if name else how, p <= FPR, groups=several)


def packed(wave: np.ndarray, rate: int) -> np.ndarray:
    """Through MP3 at 64 kbit/s: what a rate has as its highest constant one, where that is less."""
    file = io.BytesIO()
    settings = {"bitrate_mode": "CONSTANT", "compression_level": 0.0 if rate < 16_000 else 0.8}
    soundfile.write(file, wave, rate, format="MP3", subtype="MPEG_LAYER_III", **settings)
    file.seek(0)
    return soundfile.read(file, dtype="float32", always_2d=True)[0]


def sounds(args: argparse.Namespace) -> None:
    rng = np.random.default_rng(args.seed)
    found = Sounds.read(args.sounds, {})
    each, rate = np.asarray(found.records), int(found.facts["rate"])
    codec = Sounds.fit(found, np.arange(len(each)))
    ends = [np.flatnonzero(one.any(1))[-1] + 1 if one.any() else 0 for one in each]
    joined = np.concatenate([one[:end] for one, end in zip(each, ends, strict=True)])
    windows = np.zeros((args.clean, codec.mel.samples, 1), np.float32)
    for one, at in zip(windows, rng.integers(len(joined) - rate, size=args.clean), strict=True):
        one[:rate] = joined[at : at + rate]

    def halved(wave: np.ndarray) -> np.ndarray:
        return np.asarray(soxr.resample(soxr.resample(wave, rate, rate // 2), rate // 2, rate), np.float32)

    def trimmed(wave: np.ndarray) -> np.ndarray:
        long = np.flatnonzero(wave.any(1))[-1] + 1
        return wave[int(rng.integers(1, max(2, long // 5))) : long - long // 20]

    attacks: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "": lambda one: one,
        "MP3 64k": lambda one: packed(one, rate),
        "half the rate and back": halved,
        "up to a fifth of the beginning lost": trimmed,
        "noise 20 dB below": lambda one: one + rng.normal(0, 0.1 * one.std(), one.shape).astype(np.float32),
    }
    measured("sound 1 s", windows, codec, attacks, args)
    order = rng.permutation(len(each))
    measured("spoken digit, median 0.4 s", each[order], codec, {"": attacks[""]}, args)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--pictures", type=Path, nargs="*", default=[])
    parser.add_argument("--sounds", type=Path)
    parser.add_argument(
        "--noise", type=Path, nargs="*", default=[], help="a run by diffusion and its real pictures, ..."
    )
    parser.add_argument("--attacked", type=int, default=1_000, help="clean pictures after each attack, of --noise")
    parser.add_argument("--clean", type=int, default=10_000)
    parser.add_argument("--marked", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| content | item | state | found | 10 together | 100 together |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if args.text is not None:
            texts(args, Path(folder), "characters")
            texts(args, Path(folder), "bpe")
        if args.table is not None:
            tables(args, Path(folder))
    for source in args.pictures:
        pictures(args, source)
    if args.sounds is not None:
        sounds(args)
    for folder, source in zip(args.noise[::2], args.noise[1::2], strict=True):
        keyed_noise(args, folder, source)
    print(f"{time.process_time():.0f} CPU seconds")


if __name__ == "__main__":
    main()

"""`karat check` and `karat key`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from karat.options import CheckOptions, KeyOptions, takes_fields
from karat.verbs.entry import terminal

if TYPE_CHECKING:
    from rich.console import Console

    from karat.workflow.checking import Check, FileCheck, Result

SHOWN = 20  # files of a folder that are named one by one
WORDS = {
    "label": "label in the file",
    "label_beside": "label beside it",
    "c2pa": "C2PA manifest",
    "record": "record of a run",
}


@takes_fields(CheckOptions)
def check(options: CheckOptions) -> Check:
    """Say where files come from and whether they are as they were made: labels, signatures, watermarks, records of runs."""
    from karat.workflow import checking

    run, trust = None if options.run is None else Path(options.run), tuple(map(Path, options.trust))
    found = checking.check(options.places, run, trust, options.resembles, options.strict)
    console = terminal()
    if len(found.files) == 1 and not found.parts:
        _show_file(found.files[0], console)
    else:
        _show_many(found, console)
    if any(
        result.type == "record" and result.outcome == "not_applicable"
        for one in found.files
        if one.state == "no label"
        for result in one.results
    ):
        console.print("no run was asked: --run RUN asks whether that run made it", soft_wrap=True)
    for path, mark in found.together:
        _say(
            console,
            f"{path}: together they bear the watermark of run {mark.model} (false positives {mark.false_positive_rate:.2g})",
        )
    for path, likeness in found.resemblances:
        _say(console, f"{path} {likeness}")
    for line in found.failed:
        _say(console, f"not as it was made: {line}")
    return found


@takes_fields(KeyOptions)
def key(options: KeyOptions) -> list[Path]:
    """Make a key to sign what you make: a private key, its certificate, and a root.pem for those who check."""
    from karat.output import Output, make_folder
    from karat.provenance import signing

    folder = signing.key_folder() if options.out is None else Path(options.out)
    made = {folder / name: blob for name, blob in signing.make_key(options.name, options.days).items()}
    output = Output(options.overwrite, private=True)
    for path in made:
        output.check(path)
    make_folder(folder, private=True)
    output.write_all(made)
    console = terminal()
    console.print(f"key: {folder}; sign with `karat make RUN --sign {folder}`", soft_wrap=True)
    console.print(
        f"keep {folder / signing.PRIVATE} to yourself; give {folder / signing.ROOT} to those who check", soft_wrap=True
    )
    return list(made)


def _show_file(found: FileCheck, console: Console) -> None:
    _say(console, f"{found.path}: {found.state}; {found.says}")
    table = [(WORDS.get(result.type, result.type), *_cells(result)) for result in found.results]
    widths = [max((len(row[i]) for row in table), default=0) for i in range(3)]
    for row in table:
        cells = (text.ljust(width) for text, width in zip(row, (*widths, 0), strict=True))
        _say(console, ("  " + "  ".join(cells)).rstrip())
    if found.content is not None:
        console.print(f"  {'content'.ljust(widths[0])}  sha256 {found.content}", soft_wrap=True)


def _say(console: Console, line: str) -> None:
    """One line, whatever ends lines in names and labels: a stranger's label would else say the next one, too."""
    console.print("\\n".join(line.splitlines()), soft_wrap=True)


def _cells(result: Result) -> tuple[str, str, str]:
    """Outcome, validity, and by whom, as a person reads them."""
    if result.outcome != "detected":
        return result.outcome.replace("_", " "), "", ""
    validity = "not checked" if result.validation_state == "absent" else result.validation_state
    by = [text for text in (result.issuer, result.model and f"run {result.model}", result.generated_at) if text]
    if result.false_positive_rate is not None:
        by.append(f"false positives {result.false_positive_rate:.2g}")
    return "detected", validity, ", ".join(by)


def _show_many(found: Check, console: Console) -> None:
    rows = [
        (part.name, {True: "holds", False: "BROKEN", None: "cannot tell"}[part.holds], part.says)
        for part in found.parts
    ]
    odd = [one for one in found.files if one.state != "intact"]
    rows += [(str(one.path), one.state, one.says) for one in odd[:SHOWN]]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
    for name, state, says in rows:
        _say(console, f"{name.ljust(widths[0])}  {state.ljust(widths[1])}  {says}")
    if len(odd) > SHOWN:
        console.print(f"... and {len(odd) - SHOWN:,} more; --json names all", soft_wrap=True)
    if found.files or not found.parts:
        counts = ", ".join(f"{count:,} {state}" for state, count in sorted(found.states.items())) or "nothing to check"
        noun = "file" if len(found.files) == 1 else "files"
        console.print(f"{len(found.files):,} {noun}: {counts}", soft_wrap=True)

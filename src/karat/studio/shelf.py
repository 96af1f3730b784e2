"""The list of runs as a page shows it: what their small files say, and no model opened."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from karat.errors import RunError
from karat.run import Run
from karat.server.catalogue import Catalogue
from karat.server.problems import without_places

HEAD = 1 << 16  # bytes of report.json in which its verdict stands


@dataclass(frozen=True)
class Row:
    """A run in the list.   status: as the record says, or "damaged".   word: of its verdict, "" where none was found yet.

    changed: seconds since 1970.   error: what is wrong with a damaged one.
    """

    name: str
    path: Path
    status: str
    changed: float
    recipe: str = ""
    data: str = ""
    seed: int = 0
    word: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    error: str = ""

    def holds(self, words: list[str]) -> bool:
        """Whether each of the words, in lower case, stands somewhere in it."""
        text = " ".join((self.name, self.status, self.recipe, self.data, self.word, *self.tags, self.note)).lower()
        return all(word in text for word in words)


def rows(catalogue: Catalogue) -> list[Row]:
    """All runs, those changed last first."""
    found = [row(name, path) for name, path in catalogue.paths().items()]
    return sorted(found, key=lambda r: (-r.changed, r.name))


def row(name: str, path: Path) -> Row:
    """One run, read anew only where one of its files has changed."""
    return _row(name, path, tuple(_stamp(path / file) for file in ("karat.json", "report/report.json", "notes.json")))


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=4096)
def _row(name: str, path: Path, stamps: tuple[int, ...]) -> Row:
    changed = max(stamps) / 1e9
    try:
        run = Run.open(path)
        notes = notes_of(run)
        spec = run.spec
        return Row(
            name,
            path,
            str(spec["status"]),
            changed,
            str(spec["recipe"]["name"]),
            Path(str(spec["data"])).name,
            int(spec["seed"]),
            verdict_word(path),
            notes.tags,
            notes.note,
        )
    except RunError as error:
        return Row(name, path, "damaged", changed, error=without_places(str(error)))


def verdict_word(path: Path) -> str:
    """gold, bubble or unproven; "" where the run was not assayed. The verdict stands first in report.json, which may be long."""
    try:
        with (path / "report" / "report.json").open("rb") as file:
            head = file.read(HEAD).decode("utf-8", "ignore")
        found, _ = json.JSONDecoder().raw_decode(head, head.index('"verdict": ') + len('"verdict": '))
        word = found["word"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return word if word in ("gold", "bubble", "unproven") else ""


@dataclass(frozen=True)
class Notes:
    """What a person wrote to a run, kept in it as notes.json."""

    tags: tuple[str, ...] = ()
    note: str = ""


MOST_TAGS, LONGEST_TAG, LONGEST_NOTE = 20, 40, 10_000


def notes_of(run: Run) -> Notes:
    try:
        found: Any = run.get("notes.json")
    except RunError:
        return Notes()
    if not isinstance(found, dict):
        return Notes()
    tags = found.get("tags", ())
    kept = tuple(str(tag)[:LONGEST_TAG] for tag in tags[:MOST_TAGS]) if isinstance(tags, list) else ()
    return Notes(kept, str(found.get("note", ""))[:LONGEST_NOTE])


def write_notes(run: Run, tags: str, note: str) -> None:
    """Keeps them in the run.   tags: apart by commas, Chinese ones too."""
    named = [" ".join(tag.split())[:LONGEST_TAG] for tag in tags.replace("，", ",").replace("、", ",").split(",")]
    kept = list(dict.fromkeys(tag for tag in named if tag))[:MOST_TAGS]
    run.put("notes.json", {"tags": kept, "note": note.strip()[:LONGEST_NOTE]})

"""What a run made, as its folder has it, and what the studio keeps beside it: the command, and what the gates dropped."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from karat.content.showing import Things, things
from karat.curation.copies import NEAR
from karat.curation.drawing import Tally
from karat.curation.repeats import REPEATED
from karat.errors import DataError, RunError
from karat.output import BESIDE, INSIDE, Folder
from karat.provenance.signing.detached import INSIDE as SIGNED
from karat.run import Run
from karat.server.engine import Drawn, File
from karat.server.problems import Problem
from karat.workflow import checking, making
from karat.workflow.people.reviewing import made_in

TOLD = "studio"  # folder in the run, of what is told of each make: studio/made-2.json
MOST_FILES, MOST_BYTES = 2000, 2**28  # of a folder that is taken as one archive
_placing = threading.Lock()
DROPPED = {  # words that gates use, or begin with, and the key of their sentence
    NEAR: "copies",
    REPEATED: "repeats",
    "rows that break ": "rule",
    "on the block list ": "words",
    "ranked below ": "ranked",
}
PERSONAL = " in the text"


@dataclass(frozen=True)
class Told:
    """What is known of one make.   command: the line that makes the same.   candidates, dropped, notes: of the gates.

    seconds: of drawing.
    """

    command: str = ""
    candidates: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Made:
    """Files of one make.   things: what is in them, one by one.   when: in UTC."""

    name: str
    path: Path
    told: Told

    @property
    def files(self) -> list[Path]:
        """Without those that are labels or signatures of others."""
        if self.path.is_file():
            return [self.path]
        return sorted(p for p in self.path.iterdir() if p.is_file() and not _aside(p.name))

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files)

    @property
    def things(self) -> Things:
        return things(self.path)

    @property
    def when(self) -> str:
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def file(self, name: str) -> Path:
        """The file of that name; Problem (404) where there is none."""
        found = next((path for path in self.files if path.name == name), None)
        if found is None:
            raise Problem(404, "not_found", f"{self.name} has no file {name[:80]!r}.")
        return found

    def archive(self) -> bytes:
        """All of the folder, labels of origin too, as a ZIP archive."""
        files = [self.path] if self.path.is_file() else sorted(p for p in self.path.iterdir() if p.is_file())
        if len(files) > MOST_FILES or self.size > MOST_BYTES:
            message = (
                f"{self.name} holds {len(files):,} files of {self.size:,} bytes together; "
                "take them one by one, or where they lie."
            )
            raise Problem(400, "too_large", message)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for path in files:
                archive.write(path, f"{self.path.name}/{path.name}")
        return out.getvalue()


def all_made(run: Run) -> list[Made]:
    """The newest first."""
    return [Made(path.name, path, _told(run, path.name)) for path in made_in(run)]


def made(run: Run, name: str) -> Made:
    """What the run made at a name in its folder; Problem (404) where it made nothing there."""
    path = next((path for path in made_in(run) if path.name == name), None)
    if path is None:
        raise Problem(404, "not_found", f"{run.path.name} has made nothing that is called {name[:80]!r}.")
    return Made(name, path, _told(run, name))


def keep(drawn: Drawn, files: Sequence[File], command: str) -> str:
    """Puts files that were drawn into a new folder of the run, as `karat make` does; its name.   command: without `--out`."""
    run, options = drawn.run, drawn.options
    asked = {**drawn.request.to_dict(), "studio": True}
    with _placing:
        goal = making.place(run, None, asked, False)
        with Folder(making.output_of(run, options), goal, drawn.label, asked) as folder:
            for file in files:
                folder.write(file.name, file.content)
    checking.remember(run, folder.paths[:-1])
    tally: Tally = drawn.tally
    told = Told(command, tally.candidates, dict(tally.dropped), tuple(tally.notes), round(drawn.seconds, 3))
    run.put(f"{TOLD}/{goal.name}.json", asdict(told))
    return goal.name


def dropped(told: Told) -> list[tuple[str, str, int]]:
    """Key of the sentence, what it is about, and how many, the most first; a key "" for what another's gate says."""
    out = []
    for reason, count in sorted(told.dropped.items(), key=lambda x: -x[1]):
        begun = next((words for words in DROPPED if reason.startswith(words)), None)
        key = "personal" if reason.endswith(PERSONAL) else "" if begun is None else DROPPED[begun]
        out.append((key, reason if begun is None else reason[len(begun) :], count))
    return out


def _told(run: Run, name: str) -> Told:
    if not (run.path / TOLD / f"{name}.json").is_file():
        return Told()
    try:
        found: Any = run.get(f"{TOLD}/{name}.json")
        return Told(
            str(found["command"]),
            int(found["candidates"]),
            {str(reason): int(count) for reason, count in found["dropped"].items()},
            tuple(map(str, found["notes"])),
            float(found["seconds"]),
        )
    except (RunError, DataError, KeyError, TypeError, ValueError, AttributeError):
        return Told()  # whoever changed it


def _aside(name: str) -> bool:
    return name in (INSIDE, SIGNED) or name.endswith((BESIDE, ".signature.json")) or name.startswith(".")

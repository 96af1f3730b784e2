"""A review in a terminal: one thing a screen, one key an answer."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from karat.content.showing import Passage, Row, Shown, Sound
from karat.errors import RunError
from karat.review.decisions import REASONS
from karat.review.drawing import centred, drawn, page, wrapped
from karat.review.screen import CTRL_D, Screen, aside, open_file, opener
from karat.review.session import Session

KEYS = "a accept   r reject   e edit   u undo   o open   q quit   ? help"
HELP = """Say of each thing whether it may be used as it is. Every answer is kept at once; quit whenever you like and go on later.

a   accept
r   reject, and then a key for the reason: {reasons}
e   edit: text and rows in $VISUAL or $EDITOR, other files in the program that opens them; what comes back is kept
u   undo: take the last answer back
o   open the file in its own program; p plays a sound again; space shows more of a long text
q   quit (also Ctrl-C)

Some things come twice, some are real ones, and some are scrambled: they show how far answers can be relied on.
A look counts for two minutes at most, so that a pause does not count.
"""
Mend = Callable[[str, bytes], str]  # name and bytes of what came back -> the name under which it is kept


def ask(session: Session, screen: Screen, mend: Mend) -> None:
    """Asks until all is answered or the reviewer quits."""
    note = ""
    while session.look is not None:
        shown = session.show()
        _play(shown, screen)
        answer, note = _answered(session, screen, shown, mend, note)
        screen.hush()
        if answer == "quit":
            return


def _answered(session: Session, screen: Screen, shown: Shown, mend: Mend, note: str) -> tuple[str, str]:
    """What was done about one thing, and what to say about it beside the next."""
    at = 0
    while True:
        _draw(session, screen, shown, note or KEYS, at)
        key = screen.key()
        at = at + 1 if key == " " else at
        if key == "a":
            session.decide("accept")
            return "accept", ""
        if key == "r":
            reason = _reason(session, screen, shown)
            if reason is not None:
                session.decide("reject", reason)
                return "reject", ""
            note = ""
        elif key == "u":
            return "undo", "" if session.undo() else "there is nothing to undo"
        elif key in ("q", CTRL_D):
            return "quit", ""
        elif key == "e":
            note = _edited(session, screen, shown, mend)
            if not note:
                return "edit", ""
        elif key == "o":
            path = None if session.thing is None else session.thing.path
            note = "" if path is not None and open_file(path) else "there is nothing to open this with here"
        elif key == "p":
            note = "" if _play(shown, screen) else "there is nothing to play"
        elif key == "?":
            reasons = ", ".join(f"{k} {reason}" for k, reason in REASONS.items())
            screen.put("", wrapped(HELP.format(reasons=reasons), screen.room.columns), "any key goes back")
            screen.key()
            note = ""
        else:
            note = KEYS


def _draw(session: Session, screen: Screen, shown: Shown, below: str, at: int = 0) -> None:
    done, total, room = len(session.done), len(session.looks), screen.room
    screen.put(f"{done + 1} of {total}", centred(page(drawn(shown, room), at, room.lines), room), below)


def _reason(session: Session, screen: Screen, shown: Shown) -> str | None:
    listed = "   ".join(f"{k} {reason}" for k, reason in REASONS.items())
    _draw(session, screen, shown, f"why?   {listed}   (another key: back)")
    return REASONS.get(screen.key())


def _play(shown: Shown, screen: Screen) -> bool:
    if not isinstance(shown, Sound):
        return False
    import soundfile

    out = io.BytesIO()
    soundfile.write(out, shown.wave, shown.rate, format="WAV", subtype="PCM_16")
    return screen.play(out.getvalue())


def _edited(session: Session, screen: Screen, shown: Shown, mend: Mend) -> str:
    """Lets the reviewer mend the thing; "" once that is done, else why it was not."""
    thing = session.thing
    name = "thing" if thing is None else Path(thing.name).name.replace(":", "-")
    if isinstance(shown, Passage):
        name, blob = f"{Path(name).stem}.txt", f"{shown.text}\n".encode()
    elif isinstance(shown, Row):
        cells = dict(shown.cells)
        name, blob = f"{name}.json", (json.dumps(cells, indent=1, ensure_ascii=False) + "\n").encode()
    elif thing is not None and thing.path is not None:
        blob = thing.path.read_bytes()
    else:
        return "this one cannot be edited: accept or reject it"
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="karat-") as folder:
        copy = Path(folder) / name
        copy.write_bytes(blob)
        why = _in_editor(copy) if isinstance(shown, Passage | Row) else _in_program(copy, session, screen, shown)
        found = copy.read_bytes() if copy.is_file() else b""
    if why or found in (b"", blob):
        return why or "nothing was changed; accept or reject it"
    if isinstance(shown, Row):
        try:
            json.loads(found)
        except ValueError as error:
            return f"what came back is no JSON ({error}); nothing was kept"
    mending = time.monotonic() - began
    try:
        kept = "" if thing is None else mend(name, found)
    except RunError as error:
        return str(error)
    session.decide("edit", mended=kept, mending=mending)
    return ""


def _in_editor(copy: Path) -> str:
    """Runs the reviewer's editor on a file; why it could not be, else ""."""
    words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    if not words or not shutil.which(words[0]):
        return "there is no editor: let EDITOR name one"
    with aside():
        done = subprocess.run([*words, str(copy)], check=False)
    return "" if done.returncode == 0 else f"{words[0]} ended with {done.returncode}; nothing was kept"


def _in_program(copy: Path, session: Session, screen: Screen, shown: Shown) -> str:
    """Opens a file in whatever program edits it, and waits for the reviewer; why it could not be, else ""."""
    if opener() is None or not open_file(copy):
        return "there is no program here that opens this"
    _draw(
        session,
        screen,
        shown,
        f"save it in the program that opened ({copy}), then press d; another key leaves it as it was",
    )
    return "" if screen.key() == "d" else "nothing was changed; accept or reject it"

"""What lies in a folder, and a label for what is written there."""

from __future__ import annotations

from pathlib import Path

from karat.provenance.label import Label

LABEL = Label("karat", "0123456789ab", "seed0", "1")


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

"""Signing what `make` has written: before files of a folder get their names, after a single file has its own."""

from __future__ import annotations

from pathlib import Path

from karat.output import Folder, Output
from karat.provenance.signing import Signer
from karat.provenance.signing.detached import INSIDE


def sign_folder(folder: Folder, signer: Signer | None) -> None:
    """All files of the folder that hold no manifest, in one more file, which the folder's label names like the others."""
    if signer is None or folder.has(INSIDE):
        return
    folder.flush()
    blob = signer.beside([folder.stage / name for name in folder.digests], folder.stage)
    if blob is not None:
        folder.write(INSIDE, blob)


def sign_file(output: Output, goal: Path, signer: Signer | None) -> None:
    """The file, in another one beside it, where it holds no manifest."""
    blob = None if signer is None else signer.beside([goal], goal.parent)
    if blob is not None:
        output.write(Signer.place(goal), blob)

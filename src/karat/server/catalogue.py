"""The runs that are served, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from karat.errors import RunError
from karat.run import Run

DEEP = 2  # folders below a folder given, in which runs are looked for


@dataclass(frozen=True)
class Catalogue:
    """Runs below `folders`, looked for anew with each question, so that what others train or delete there is seen.

    A run's name is its folder's; where two share one, that of its parent stands before it, as `parent--name`.
    root: where new runs are made.
    """

    folders: tuple[Path, ...]
    root: Path

    def paths(self) -> dict[str, Path]:
        """The folders of runs by name, sorted by name."""
        found = sorted({path.resolve() for folder in (*self.folders, self.root) for path in _runs(folder, DEEP)})
        names = [path.name for path in found]
        named = {
            path.name if names.count(path.name) == 1 else f"{path.parent.name}--{path.name}": path for path in found
        }
        return dict(sorted(named.items()))

    def run(self, name: str) -> Run:
        """The run of this name; RunError where none is served under it, or it is damaged."""
        path = self.paths().get(name)
        if path is None:
            raise RunError(f"no run is served as {name!r}; /v1/models lists those that are.")
        return Run.open(path)


def _runs(folder: Path, deep: int) -> Iterator[Path]:
    if Run.is_run(folder):
        yield folder
    elif deep and folder.is_dir():
        for inner in folder.iterdir():
            if inner.is_dir() and not inner.is_symlink() and not inner.name.startswith("."):
                yield from _runs(inner, deep - 1)

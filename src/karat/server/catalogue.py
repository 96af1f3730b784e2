"""The runs that are served, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from karat.run import Run
from karat.server.problems import Problem, short

DEEP = 2  # folders below a folder given, in which runs are looked for


@dataclass(frozen=True)
class Catalogue:
    """Runs below `folders`, looked for anew with each question, so that what others train or delete there is seen.

    A run's name is its folder's; where two share one, that of its parent stands before it, as `parent--name`.
    root: the folder that is served, below which data and new runs are.   whole: whether all runs below it are served, or of those
    that nobody named only new ones.
    """

    folders: tuple[Path, ...]
    root: Path
    whole: bool = True

    def paths(self) -> dict[str, Path]:
        """The folders of runs by name, sorted by name."""
        found = sorted({path.resolve() for folder in self.grounds for path in _runs(folder, DEEP)})
        found = [path for path in found if not path.is_relative_to(self.uploads)]
        names = [path.name for path in found]
        named = {
            path.name if names.count(path.name) == 1 else f"{path.parent.name}--{path.name}": path for path in found
        }
        return dict(sorted(named.items()))

    def run(self, name: str) -> Run:
        """The run of this name; Problem (404) where none is served under it, RunError where it is damaged."""
        path = self.paths().get(name)
        if path is None:
            raise Problem(
                404, "model_not_found", f"no run is served as {short(name)}; /v1/models lists those that are."
            )
        return Run.open(path)

    @property
    def hidden(self) -> tuple[Path, ...]:
        """Folders of which no answer says where they are."""
        return tuple(
            dict.fromkeys(path for folder in (self.root, *self.folders) for path in (folder, folder.resolve()))
        )

    @property
    def home(self) -> Path:
        """The folder below the root in which new runs are made: the first given that holds runs, else the root, or `new` in it."""
        root = self.root.resolve()
        folders = (folder.resolve() for folder in self.folders)
        other = root if self.whole else root / "new"
        return next((f for f in folders if f.is_relative_to(root) and not Run.is_run(f)), other)

    @property
    def grounds(self) -> tuple[Path, ...]:
        """Where runs are looked for."""
        return (*self.folders, self.root if self.whole else self.home)

    @property
    def uploads(self) -> Path:
        """Where uploads are kept, which are data: nobody plants a run, or takes a run's name, by sending files."""
        return self.root.resolve() / "uploads"

    @property
    def comparisons(self) -> Path:
        """Where reports on several runs are kept, each in a folder of its own."""
        return self.root.resolve() / "comparisons"

    def place(self, name: str, param: str = "data", *, new: bool = False) -> Path:
        """What a request names below the root; Problem (400) for what is not there, hidden, or outside, by links too.

        name: a path from the root, such as "photos" or "tables/adult.csv".   param: the field that it stands in.   new: it need
        not be there.
        """
        refused = Problem(
            400,
            "no_such_place",
            f"{short(name)} is nothing in the served folder; a path from there was wanted, such as photos or tables/adult.csv.",
            param,
        )
        parts = PurePosixPath(name).parts
        if not parts or "\0" in name or "\\" in name or any(part.startswith((".", "/", "~")) for part in parts):
            raise refused
        root = self.root.resolve()
        try:
            found = (root / name).resolve(strict=not new)
        except (OSError, ValueError, RuntimeError):  # not there, too long for a name, a circle of links
            raise refused from None
        if not found.is_relative_to(root) or any(part.startswith(".") for part in found.relative_to(root).parts):
            raise refused
        return found


def _runs(folder: Path, deep: int) -> Iterator[Path]:
    if Run.is_run(folder):
        yield folder
    elif deep and folder.is_dir():
        for inner in folder.iterdir():
            if inner.is_dir() and not inner.is_symlink() and not inner.name.startswith("."):
                yield from _runs(inner, deep - 1)

"""What can be asked of `karat check` and `karat key`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    Places: TypeAlias = str | Path | Sequence[str | Path]
else:  # as the command line reads it
    Places = list[Path]


@dataclass(frozen=True)
class CheckOptions:
    """Say where files come from and whether they are as they were made: labels, signatures, watermarks, records of runs.

    Parameters
    ----------
    paths
        Files, folders of files, reports; or runs, of which their record, their model and their chains are checked.
    run
        The run by which the files may have been made; by default the one they lie in, else those in the folder runs.
    trust
        A root.pem of `karat key`, or a folder with one, whose signatures are trusted beside your own. May be given several
        times.
    resembles
        With --run: whether a file, or a folder as a whole, looks like what the run makes, by a classifier that is calibrated on
        its unseen real data, which must be where they were; with its error rates.
    strict
        Exit with 1 where anything is not known to be as it was made.
    """

    paths: Places
    _: KW_ONLY
    run: Path | None = None
    trust: Sequence[Path] = ()
    resembles: bool = False
    strict: bool = False

    @property
    def places(self) -> tuple[Path, ...]:
        """The paths, however many were given."""
        return tuple(map(Path, [self.paths] if isinstance(self.paths, str | Path) else self.paths))


@dataclass(frozen=True, kw_only=True)
class KeyOptions:
    """Make a key to sign what you make: a private key, its certificate, and a root.pem for those who check.

    Parameters
    ----------
    out
        Its folder; ~/.config/karat by default, where `karat check` looks for the root that you trust.
    name
        Who signs, as others will read it.
    days
        How long the certificates are valid.
    overwrite
        Replace a key that is there: what it signed can still be checked with a copy of its root.pem.
    """

    out: Path | None = None
    name: str = "karat"
    days: int = 825
    overwrite: bool = False

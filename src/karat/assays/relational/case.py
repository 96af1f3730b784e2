"""What an assay of related tables judges."""

from __future__ import annotations

from dataclasses import dataclass

from karat.views import DatabaseView, Tie


@dataclass(frozen=True)
class Case:
    """What an assay of related tables judges: how the rows of one table name those of another.

    number: of this tie among those of each side.
    apart: whether the generator is known not to have seen the unseen records.
    """

    train: DatabaseView
    unseen: DatabaseView
    made: DatabaseView
    number: int
    seed: int = 0
    apart: bool = True

    @property
    def sides(self) -> tuple[DatabaseView, DatabaseView, DatabaseView]:
        return self.train, self.unseen, self.made

    @property
    def ties(self) -> tuple[Tie, Tie, Tie]:
        """The tie of the training, the unseen and the made rows."""
        t, u, m = (side.ties[self.number] for side in self.sides)
        return t, u, m

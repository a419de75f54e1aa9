"""What a job of the bench is: the engine's own way, the raw way beside it, and the proof that both wrote the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from django.db import connection

from referral_site.bench.seed import Scale


class Job:
    """One job of the engine; a turn is one cohort of the seeded referrals, done by one side."""

    name: ClassVar[str]
    # What the seed must hold besides customers.
    needs: ClassVar[frozenset[str]] = frozenset()
    # Whose cohorts it works on: jobs of one name share them, one after the other. Empty: it needs none.
    cohorts: ClassVar[str] = ""
    # Each side has one turn a round; who begins, changes.
    rounds: ClassVar[int] = 3
    # A turn has one in so many of the referrals, where it is not said how many.
    share: ClassVar[int] = 20
    # Whether it runs without being asked for by name.
    by_default: ClassVar[bool] = True
    # What is vacuumed and analysed before each turn, so that no turn pays for the one before.
    tables: ClassVar[Sequence[str]] = ()
    # One row of figures on what a turn wrote, the same for each.
    proof: ClassVar[str] = ""

    def __init__(self, scale: Scale, first_cohort: int, folder: Path) -> None:
        self.scale = scale
        self.first_cohort = first_cohort
        self.folder = folder

    @property
    def rows(self) -> int:
        """How many rows of work a turn has."""
        return self.scale.due

    def cohort(self, turn: int) -> int:
        """The cohort of a turn."""
        return self.first_cohort + turn

    def prepare(self, turn: int, *, raw: bool) -> None:
        """Make ready what is not measured."""

    def ours(self, turn: int) -> None:
        """Do the turn the engine's way."""
        raise NotImplementedError

    def raw(self, turn: int) -> None:
        """Do the turn the way that ours is set beside: by raw SQL in one transaction, unless the job says otherwise."""
        raise NotImplementedError

    def finish(self, turn: int) -> None:
        """Undo what `prepare` left open; called also where the turn failed."""

    def written(self, turn: int) -> tuple[Any, ...]:
        """Say what the turn wrote."""
        if not self.proof:
            return ()
        with connection.cursor() as cursor:
            cursor.execute(self.proof, self.proof_of(turn))
            return tuple(cursor.fetchone())

    def proof_of(self, turn: int) -> dict[str, Any]:
        """The parameters of the proof."""
        raise NotImplementedError

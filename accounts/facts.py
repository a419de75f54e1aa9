"""Facts from outside, and what is said of them: the words that every import and API answers with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """A fact that was refused: where it stood, the code of TERMS "Facts that are refused", why, and the fact itself.

    `line` is empty for a reversal that waited since an earlier file or batch.
    """

    line: int | None
    code: str
    message: str
    fact: dict[str, str]


@dataclass(frozen=True)
class Tally:
    """What became of the facts of a file or batch, each counted once, by its outcome at the end."""

    accepted: int = 0
    waiting: int = 0
    duplicate: int = 0
    refused: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.accepted + other.accepted,
            self.waiting + other.waiting,
            self.duplicate + other.duplicate,
            self.refused + other.refused,
        )

    def __str__(self) -> str:
        return f"accepted={self.accepted} waiting={self.waiting} duplicate={self.duplicate} refused={self.refused}"


@dataclass(frozen=True)
class Receipt:
    """What became of the facts of one call: how many of each, and which were refused, in the order they stood in."""

    tally: Tally
    refusals: list[Refusal]

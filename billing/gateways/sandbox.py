"""A gateway for trying things out: it knows test numbers only, and keeps nothing.

Its page is ours, and takes the number, since there is nothing real to protect; the number goes no further than
`slip_for`, which turns it into the name of a test card.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from django.core import signing
from django.urls import reverse

from billing.gateways.interface import Card, UnableToTakeCard, outside_transactions

SALT = "billing.gateways.sandbox"
SLIP_LASTS = 600
"""Seconds."""


class Outcome(Enum):
    """What becomes of a test card."""

    ACCEPTED = "accepted"
    SHARED = "shared"
    DECLINED = "declined"
    EXPIRED = "expired"


@dataclass(frozen=True)
class SandboxCard:
    """A number that stands for no card, and what becomes of it."""

    number: str
    brand: str
    outcome: Outcome = Outcome.ACCEPTED

    @property
    def last_four(self) -> str:
        return self.number[-4:]

    @property
    def written(self) -> str:
        """The number in groups of four."""
        return " ".join(self.number[at : at + 4] for at in range(0, len(self.number), 4))


SANDBOX_CARDS = (
    SandboxCard("4242424242424242", "visa"),
    SandboxCard("5555555555554444", "mastercard"),
    SandboxCard("4000000000009235", "visa", Outcome.SHARED),
    SandboxCard("4000000000000002", "visa", Outcome.DECLINED),
    SandboxCard("4000000000000069", "visa", Outcome.EXPIRED),
)


class Sandbox:
    """The gateway of development and demo."""

    name = "sandbox"

    def form_targets(self) -> Sequence[str]:
        """Its page is one of ours."""
        return []

    @outside_transactions
    def open_customer(self, *, account_id: str, attempt: int) -> str:
        """Make up the name that an account would have."""
        return f"sandbox-{account_id}-{attempt}"

    @outside_transactions
    def entry_page(self, *, customer: str, back: str, cancelled: str) -> str:
        """Return our own page for test numbers."""
        return reverse("console:sandbox_card")

    @outside_transactions
    def card(self, *, customer: str, entry: str) -> Card:
        """Return the test card that a slip names, or what a real gateway would say of such a one."""
        try:
            slip = signing.loads(entry, salt=SALT, max_age=SLIP_LASTS)
        except signing.BadSignature:
            raise UnableToTakeCard("foreign") from None
        known_card = SANDBOX_CARDS[slip["card"]]
        if known_card.outcome in (Outcome.DECLINED, Outcome.EXPIRED):
            raise UnableToTakeCard(known_card.outcome.value)
        return Card(
            token=f"sandbox-{secrets.token_hex(12)}",
            brand=known_card.brand,
            last_four=known_card.last_four,
            expiry_month=slip["month"],
            expiry_year=slip["year"],
            fingerprint=fingerprint(known_card, customer),
        )

    @outside_transactions
    def forget(self, *, token: str) -> None:
        """Nothing was kept."""


def slip_for(number: str, *, month: int, year: int) -> str:
    """Return what names a test card, in place of its number. Raises UnableToTakeCard: not_a_test_card."""
    digits = "".join(character for character in number if character not in " -")
    numbers = [known_card.number for known_card in SANDBOX_CARDS]
    if digits not in numbers:
        raise UnableToTakeCard("not_a_test_card")
    return signing.dumps({"card": numbers.index(digits), "month": month, "year": year}, salt=SALT)


def fingerprint(known_card: SandboxCard, customer: str) -> str:
    """Return whose card it is: everybody's own, for everybody tries the same numbers, but for the shared one."""
    whose = "everybody" if known_card.outcome is Outcome.SHARED else customer
    return hashlib.sha256(f"{whose}|{SANDBOX_CARDS.index(known_card)}".encode()).hexdigest()[:16]

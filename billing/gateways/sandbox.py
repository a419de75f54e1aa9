"""A gateway for trying things out: it knows test numbers only, and takes no money.

What it has charged and given back it writes down, as a real one does, in tables of its own (`SandboxCharge`,
`SandboxRefund`). Its page is ours, and takes the number, since there is nothing real to protect; the number goes no
further than `slip_for`, which turns it into the name of a test card.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from django.core import signing
from django.db import transaction
from django.urls import reverse
from djmoney.money import Money

from billing.gateways.interface import (
    Card,
    UnableToCharge,
    UnableToReachGateway,
    UnableToRefund,
    UnableToTakeCard,
    outside_transactions,
)
from billing.models import SandboxCharge, SandboxRefund

SALT = "billing.gateways.sandbox"
SLIP_LASTS = 600
"""Seconds."""


class Outcome(Enum):
    """What becomes of a test card."""

    ACCEPTED = "accepted"
    SHARED = "shared"
    DECLINED = "declined"
    EXPIRED = "expired"
    NOT_CHARGED = "not-charged"
    """It comes on file, and is declined when it is to pay."""
    UNANSWERED = "unanswered"
    """It pays, but the answer is lost on its way."""


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
    SandboxCard("4000000000000341", "visa", Outcome.NOT_CHARGED),
    SandboxCard("4000000000000119", "visa", Outcome.UNANSWERED),
)


class Sandbox:
    """The gateway of development and demo."""

    name = "sandbox"
    least = Decimal("0.01")
    most = Decimal("9999999999.99")

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
            token=f"sandbox-{known_card.outcome.value}-{secrets.token_hex(12)}",
            brand=known_card.brand,
            last_four=known_card.last_four,
            expiry_month=slip["month"],
            expiry_year=slip["year"],
            fingerprint=fingerprint(known_card, customer),
        )

    @outside_transactions
    def forget(self, *, token: str) -> None:
        """Nothing was kept."""

    @outside_transactions
    def charge(self, *, customer: str, token: str, amount: Money, key: str, description: str) -> str:
        """Write down what becomes of it, once for each key; the token says which test card it is."""
        charge, is_new = SandboxCharge.objects.get_or_create(
            key=key,
            defaults={"token": token, "amount": amount.amount, "outcome": "declined" if _declines(token) else "made"},
        )
        if (charge.token, charge.amount) != (token, amount):
            raise UnableToCharge("refused")
        if is_new and token.startswith(f"sandbox-{Outcome.UNANSWERED.value}-"):
            raise UnableToReachGateway
        return _name_of(charge)

    @outside_transactions
    def find_charge(self, *, customer: str, key: str, since: datetime) -> str | None:
        """Return what was written down under the key."""
        charge = SandboxCharge.objects.filter(key=key).first()
        return _name_of(charge) if charge else None

    @outside_transactions
    def refund(self, *, charge_id: str, amount: Money, key: str) -> str:
        """Write down what goes back, once for each key, and never more than was taken."""
        with transaction.atomic():
            charges = SandboxCharge.objects.select_for_update(no_key=True, of=("self",))
            charge = charges.filter(key=charge_id.removeprefix(CHARGE)).first()
            if charge is None or charge.outcome != "made":
                raise UnableToRefund
            refund, is_new = SandboxRefund.objects.get_or_create(
                key=key, defaults={"charge": charge, "amount": amount.amount}
            )
            if (refund.charge_id, refund.amount) != (charge.pk, amount):
                raise UnableToRefund
            if is_new:
                charge.refunded += amount
                if charge.refunded > charge.amount:
                    raise UnableToRefund
                charge.save(update_fields=["refunded"])
        return f"sandbox-refund-{key}"


CHARGE = "sandbox-charge-"


def _declines(token: str) -> bool:
    return token.startswith(f"sandbox-{Outcome.NOT_CHARGED.value}-")


def _name_of(charge: SandboxCharge) -> str:
    if charge.outcome == "declined":
        raise UnableToCharge("declined")
    return f"{CHARGE}{charge.key}"


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

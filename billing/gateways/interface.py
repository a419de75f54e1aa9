"""What a gateway does for us, and what it tells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from django.db import connection
from django.utils.translation import gettext_lazy as _
from djmoney.money import Money

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Card:
    """What a gateway tells of a card that it keeps. `fingerprint` is the same whoever enters the card."""

    token: str
    brand: str
    last_four: str
    expiry_month: int
    expiry_year: int
    fingerprint: str


@dataclass(frozen=True)
class ToldDispute:
    """How a charge stands that the cardholder's bank has taken back, in US dollars; `state` is open, won or lost.

    `charge_ids` are the gateway's names for the charge, `key` is ours, empty where the gateway does not know it.
    """

    dispute_id: str
    charge_ids: tuple[str, ...]
    key: str
    amount: Decimal
    state: str


@dataclass(frozen=True)
class News:
    """What a gateway said, when asked, about what an event named; whatever it does not speak of is empty.

    `card` is kept for `customer`, and a new one if `is_new`; `gone_token` is a card that it does not keep any more,
    `gone_customer` a customer whom it does not know any more; `dispute` is how a disputed charge stands.
    """

    customer: str = ""
    card: Card | None = None
    is_new: bool = False
    gone_token: str = ""
    gone_customer: str = ""
    dispute: ToldDispute | None = None


class UnableToTakeCard(Exception):
    """The card does not come on file; `code` is one of `reasons`, which the customer reads."""

    reasons = {
        "declined": _("The card was declined. Try another card, or ask your bank."),
        "expired": _("The card has expired. Use one that is still valid."),
        "not_a_test_card": _("This is no test number. Never enter a real card here: choose one of the numbers below."),
        "unfinished": _("No card was entered, so nothing has changed."),
        "foreign": _("We could not tell whose card this is, so nothing has changed. Add it once more."),
        "removed": _("This card was removed before. Add it once more."),
        "unregistered": _("This account cannot have a payment method."),
        "many": _("This account has as many payment methods as it may have. Remove one first."),
    }

    def __init__(self, code: str) -> None:
        super().__init__(self.reasons[code])
        self.code = code


class UnableToReachGateway(Exception):
    """The gateway did not answer, or not in a way that we understand: nothing has changed, and later may be better."""

    code = "gateway"

    def __init__(self) -> None:
        super().__init__(_("Our payment provider does not answer at the moment. Nothing has changed: try again soon."))


class UnableToCharge(Exception):
    """The gateway said that it has not charged a card, and will not: `declined` by the bank, or `refused` by itself."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnableToRefund(Exception):
    """The gateway said that it does not give this back: `refused`."""

    code = "refused"

    def __init__(self) -> None:
        super().__init__(self.code)


class UnableToTrustEvent(Exception):
    """An event that was not signed by the gateway, not lately, or that cannot be read; `code` is signature or form."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Gateway(Protocol):
    """Somebody who keeps cards. Nothing is asked of them inside a database transaction."""

    name: str
    least: Decimal
    """What is less, in US dollars, it does not charge."""
    most: Decimal
    """Nor what is more."""

    def form_targets(self) -> Sequence[str]:
        """Origins outside the site to which its page leads a form that adds a card (CSP: form-action)."""

    def open_customer(self, *, account_id: str, attempt: int) -> str:
        """Make a customer known to the gateway, once for each attempt, and return the name that it has there."""

    def entry_page(self, *, customer: str, back: str, cancelled: str) -> str:
        """Return the address at which the customer enters a card.

        The gateway leads to `back` after that, with what names the entry as `entry`, or to `cancelled`.
        """

    def card(self, *, customer: str, entry: str) -> Card:
        """Return the card that was entered, as the gateway knows it. Raises UnableToTakeCard, UnableToReachGateway."""

    def forget(self, *, token: str) -> None:
        """Keep a card no longer; nothing where it is gone already. Raises UnableToReachGateway."""

    def charge(self, *, customer: str, token: str, amount: Money, key: str, description: str) -> str:
        """Take an amount from a card, once for each key, and return the name of the charge.

        Raises UnableToCharge, and UnableToReachGateway where the outcome is not known: `find_charge` asks it back.
        """

    def find_charge(self, *, customer: str, key: str, since: datetime) -> str | None:
        """Return the name of the charge that was made by this key since then, or None where there is none.

        Raises UnableToCharge where it was declined, UnableToReachGateway where that is not known.
        """

    def refund(self, *, charge_id: str, amount: Money, key: str) -> str:
        """Give back an amount of a charge, once for each key, and return the name of the refund.

        Raises UnableToRefund, and UnableToReachGateway where the outcome is not known: then ask by the same key again.
        """


def outside_transactions(ask: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Refuse to ask a gateway while a transaction is open: its locks would last as long as somebody else's answer."""

    @wraps(ask)
    def asked(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        if connection.in_atomic_block:
            raise RuntimeError(f"{ask.__qualname__} was called inside a database transaction.")
        return ask(*args, **kwargs)

    return asked

"""The words of the plain reading: terms, facts and their form, coupons and debts.

Money is `Decimal` dollars with two places, times are aware instants in UTC.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

Row = Mapping[str, str]
Verdict = Literal["accepted", "waiting", "duplicate", "refused"]

Rates = Mapping[str, Mapping[date, Decimal]]
NO_RATES: Rates = {}

CENT = Decimal("0.01")
ZERO = Decimal("0.00")
REWARD_KINDS = ("payout", "bonus")
ACCOUNT_TYPES = ("individual", "enterprise")
REVERSAL_TYPES = ("refund", "chargeback", "chargeback_reversal")
WHOLE_CURRENCIES = ("JPY", "KRW", "ISK")
FUTURE_TOLERANCE = timedelta(minutes=5)

AMOUNT_FORM = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")
EMAIL_FORM = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
INSTANT_FORM = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


# ---------------------------------------------------------------------------------------------------------- the terms


def _welcome() -> Mapping[str, Decimal]:
    return {"individual": Decimal("5.00"), "enterprise": Decimal("10.00")}


def _trial() -> Mapping[str, Decimal]:
    return {"individual": Decimal("300.00"), "enterprise": Decimal("1200.00")}


@dataclass(frozen=True)
class Terms:
    """One version of the numbers (TERMS: preamble); the defaults are those of TERMS. Sums in dollars, spans in days."""

    starts_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    payout: Decimal = Decimal("20.00")
    threshold: Decimal = Decimal("20.00")
    payout_days: int = 30
    bonus_rate: Decimal = Decimal("0.10")
    window_days: int = 90
    bonus_days: int = 30
    cap: Decimal = Decimal("300.00")
    credit_days: int = 180
    trial_days: int = 365
    welcome: Mapping[str, Decimal] = field(default_factory=_welcome)
    trial: Mapping[str, Decimal] = field(default_factory=_trial)


# ---------------------------------------------------------------------------------------------- what an import answers


@dataclass(frozen=True)
class Refusal:
    """One refused fact. `row` counts the rows of this file from 0; None is a waiting reversal of an earlier file."""

    row: int | None
    event_id: str
    code: str


@dataclass(frozen=True)
class Outcome:
    """Each row of the file once, by its final verdict; `refused` counts the earlier files' refused reversals too."""

    accepted: int
    waiting: int
    duplicate: int
    refused: int
    refusals: tuple[Refusal, ...]


class UnableToRecord(Exception):
    """A fact is refused (TERMS: Facts that are refused)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnableToGiveBack(Exception):
    """More is to be returned than the redemption still holds, or nothing."""


class Tally:
    """The verdicts on one file."""

    def __init__(self) -> None:
        self.verdicts: dict[int, Verdict] = {}
        self.refusals: list[Refusal] = []
        self.waiting_rows: dict[str, int] = {}

    def refuse(self, row: int | None, event_id: str, code: str) -> None:
        self.refusals.append(Refusal(row, event_id, code))
        if row is not None:
            self.verdicts[row] = "refused"

    def outcome(self) -> Outcome:
        verdicts = list(self.verdicts.values())
        return Outcome(
            accepted=verdicts.count("accepted"),
            waiting=verdicts.count("waiting"),
            duplicate=verdicts.count("duplicate"),
            refused=len(self.refusals),
            refusals=tuple(self.refusals),
        )


# ------------------------------------------------------------------------------------------------------------ the facts


@dataclass(frozen=True)
class Account:
    """An imported account; two are the same fact when all of this is equal, the e-mail without regard to case."""

    account_id: str
    email: str
    account_type: str
    country: str
    registered_at: datetime
    referred_by: str


@dataclass(frozen=True)
class SpendFact:
    """A payment or a reversal. What is not read (`payment_id` or `product`) is empty, and so is never compared."""

    event_id: str
    account_id: str
    type: str
    product: str
    currency: str
    amount: Decimal
    occurred_at: datetime
    payment_id: str


@dataclass(frozen=True)
class RedemptionFact:
    redemption_id: str
    account_id: str
    amount: Decimal
    occurred_at: datetime


@dataclass
class Payment:
    """A recorded payment and what its reversals did to it so far (TERMS: What counts as spend)."""

    fact: SpendFact
    qualifies: bool
    rate: Decimal = Decimal(1)
    refunded: Decimal = ZERO
    charged_back: Decimal = ZERO
    won: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        """What is left in the payment's own currency."""
        return self.fact.amount - self.refunded - self.charged_back + self.won

    @property
    def dollars(self) -> Decimal:
        """The net in dollars: the net in its currency times the payment's rate, half up (TERMS: Currencies)."""
        return (self.net * self.rate).quantize(CENT, rounding=ROUND_HALF_UP)


@dataclass
class Entry:
    type: str
    amount: Decimal
    balance_after: Decimal
    occurred_at: datetime


@dataclass
class Coupon:
    """TERMS: Credit. `friend_id` names the reward of a payout or bonus coupon, else it is empty."""

    number: int
    account_id: str
    kind: str
    friend_id: str
    amount: Decimal
    issued_at: datetime
    expires_at: datetime
    redeemed: Decimal = ZERO
    expired: Decimal = ZERO
    revoked: Decimal = ZERO
    entries: list[Entry] = field(default_factory=list)

    @property
    def remaining(self) -> Decimal:
        return self.amount - self.redeemed - self.expired - self.revoked

    def usable(self, at: datetime) -> bool:
        return self.issued_at <= at < self.expires_at

    def write(self, entry_type: str, amount: Decimal, at: datetime) -> None:
        """Add the entry of a change that has been made."""
        assert min(self.remaining, self.redeemed, self.expired, self.revoked) >= 0
        self.entries.append(Entry(entry_type, amount, self.remaining, at))

    def redeem(self, amount: Decimal, at: datetime) -> None:
        self.redeemed += amount
        self.write("REDEEM", -amount, at)

    def take_return(self, amount: Decimal, at: datetime) -> None:
        self.redeemed -= amount
        self.write("RETURN", amount, at)

    def expire(self, amount: Decimal, at: datetime) -> None:
        self.expired += amount
        self.write("EXPIRE", -amount, at)

    def revoke(self, amount: Decimal, at: datetime) -> None:
        self.revoked += amount
        self.write("REVOKE", -amount, at)


@dataclass
class Use:
    """What one redemption took from one coupon, less what has been returned."""

    coupon: Coupon
    amount: Decimal


@dataclass
class Debt:
    number: int
    account_id: str
    friend_id: str
    kind: str
    amount: Decimal
    outstanding: Decimal
    incurred_at: datetime


@dataclass
class Reward:
    """Of one friend and kind: *granted* and *let go* as TERMS' Settlement uses the words."""

    granted: Decimal = ZERO
    let_go: Decimal = ZERO
    ever_granted: bool = False


# --------------------------------------------------------------------------------- form (TERMS: Facts that are refused)


def read_id(raw: str) -> str:
    """`id`: empty, over 100 characters, or with a control character."""
    if not 1 <= len(raw) <= 100 or any(unicodedata.category(character) == "Cc" for character in raw):
        raise UnableToRecord("id")
    return raw


def read_amount(raw: str) -> Decimal:
    """`amount`: not of the form, or zero."""
    if not AMOUNT_FORM.fullmatch(raw) or Decimal(raw) == 0:
        raise UnableToRecord("amount")
    return Decimal(raw).quantize(CENT)


def read_one_of(raw: str, listed: Sequence[str]) -> str:
    """`type`: not listed."""
    if raw not in listed:
        raise UnableToRecord("type")
    return raw


def read_instant(raw: str) -> datetime:
    """`time`: not RFC 3339 with an offset. Digits below the microsecond are cut off."""
    parts = INSTANT_FORM.fullmatch(raw)
    if parts is None:
        raise UnableToRecord("time")
    year, month, day, hour, minute, second = (int(part) for part in parts.group(1, 2, 3, 4, 5, 6))
    microsecond = int((parts.group(7) or ".0")[1:7].ljust(6, "0"))
    try:
        local = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)
        return local - read_offset(parts.group(8))
    except (ValueError, OverflowError):
        raise UnableToRecord("time") from None


def read_offset(raw: str) -> timedelta:
    if raw in "Zz":
        return timedelta(0)
    hours, minutes = int(raw[1:3]), int(raw[4:6])
    if hours > 23 or minutes > 59:
        raise UnableToRecord("time")
    return timedelta(hours=hours, minutes=minutes) * (-1 if raw[0] == "-" else 1)


def read_email(raw: str) -> str:
    """`email`: not an address. Addresses are compared without regard to case, so it is kept in lower case."""
    if not EMAIL_FORM.fullmatch(raw):
        raise UnableToRecord("email")
    return raw.lower()


def read_account(row: Row) -> Account:
    account_id = read_id(row["account_id"])
    account_type = read_one_of(row["account_type"], ACCOUNT_TYPES)
    registered_at = read_instant(row["registered_at"])
    email = read_email(row["email"])
    return Account(account_id, email, account_type, row["country"], registered_at, row["referred_by"])


def read_spend(row: Row) -> SpendFact:
    event_id, account_id = read_id(row["event_id"]), read_id(row["account_id"])
    reversal = row["type"] in REVERSAL_TYPES
    payment_id = read_id(row["payment_id"]) if reversal else ""
    amount = read_amount(row["amount"])
    if row["currency"] in WHOLE_CURRENCIES and amount != int(amount):
        raise UnableToRecord("amount")
    fact_type = read_one_of(row["type"], ("payment", *REVERSAL_TYPES))
    occurred_at = read_instant(row["occurred_at"])
    product = "" if reversal else row["product"]
    return SpendFact(event_id, account_id, fact_type, product, row["currency"], amount, occurred_at, payment_id)


def read_redemption(row: Row) -> RedemptionFact:
    redemption_id, account_id = read_id(row["redemption_id"]), read_id(row["account_id"])
    return RedemptionFact(redemption_id, account_id, read_amount(row["amount"]), read_instant(row["occurred_at"]))


def refuse_future(at: datetime, now: datetime) -> None:
    """`time`: more than 5 minutes in the future."""
    if at > now + FUTURE_TOLERANCE:
        raise UnableToRecord("time")


def rate_of(payment: SpendFact, rates: Rates) -> Decimal:
    """The rate of the last banking day at or before a payment, at most 7 days older, else `currency`; dollars need none
    (TERMS: Currencies)."""
    if payment.currency == "USD":
        return Decimal(1)
    day = payment.occurred_at.astimezone(UTC).date()
    for age in range(8):
        if rate := rates.get(payment.currency, {}).get(day - timedelta(days=age)):
            return rate
    raise UnableToRecord("currency")

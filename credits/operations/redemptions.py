"""Credit that buys something (TERMS: Credit): files of redemptions, and one at a checkout."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection, transaction
from djmoney.money import Money

from accounts.facts import Receipt, Refusal, Tally
from accounts.models import ImportRun, ParkedRow
from accounts.operations import POISON, advance_run, park_facts, sift_poison
from accounts.retries import retried
from credits.models import Redemption
from credits.operations import redemptions_sql as sql
from credits.operations.coupons import lock_accounts

MOST_AHEAD = timedelta(minutes=5)

LIMIT = Decimal(10) ** 10

REFUSALS = {
    "id": "an id is empty, longer than 100 characters or holds a control character",
    "amount": "the amount is not a plain decimal above zero with at most two places",
    "currency": "the amount is not in US dollars",
    "time": "the time is not RFC 3339 with an offset, or lies in the future",
    "conflict": "the id is known with other content",
    "account": "the account is unknown",
    "product": "the product is unknown",
    "insufficient": "the amount is above what is left of the credit usable at that time",
}


class UnableToRedeem(Exception):
    """The redemption is refused; `code` is that of TERMS: Facts that are refused, `line` the place of what is at fault
    among its lines.
    """

    def __init__(self, code: str, *, line: int | None = None) -> None:
        self.code, self.line, self.message = code, line, REFUSALS[code]
        super().__init__(f"{code}: {self.message}")


class _LostRaceError(Exception):
    """Somebody recorded one of our ids since we judged it: judge again."""


class RedemptionFact(NamedTuple):
    """One row of a redemptions file as it came, in raw text; `line` says where it stood and rises from row to row."""

    line: int
    redemption_id: str
    account_id: str
    amount: str
    occurred_at: str

    @property
    def id(self) -> str:
        return self.redemption_id

    @property
    def fact(self) -> dict[str, str]:
        return {name: value for name, value in self._asdict().items() if name != "line"}


Poison = tuple[RedemptionFact, Exception]


class Entry(NamedTuple):
    """A CouponEntry to write; amounts in US dollars, `redemption` the id of the redemption, if it belongs to one."""

    coupon_id: int
    type: str
    amount: Decimal
    balance_after: Decimal
    redemption: str | None
    reference: str
    occurred_at: datetime


class _Wanted(NamedTuple):
    """A redemption to judge, in US dollars; `fault` is the code of a form that is not right."""

    redemption_id: str
    customer_id: int | None
    amount: Decimal
    occurred_at: datetime
    fault: str | None = None

    @property
    def content(self) -> tuple[object, ...]:
        return (self.customer_id, self.amount, self.occurred_at)


@dataclass
class _Purse:
    """A coupon with something left, as the redemptions before have left it."""

    coupon_id: int
    remaining: Decimal
    issued_at: datetime
    expires_at: datetime

    def is_usable_at(self, at: datetime) -> bool:
        return self.remaining > 0 and self.issued_at <= at < self.expires_at


@retried
def record_redemptions(
    *,
    source: str,
    facts: Sequence[RedemptionFact],
    now: datetime,
    run: ImportRun | None = None,
    lines_done: int | None = None,
) -> Receipt:
    """Record redemptions in one transaction, in order, and say what became of each (TERMS: Facts that are refused).

    `source` is the system that issued the ids. Locks the customers' CreditAccounts. With `run`, the run moves on to
    `lines_done` in the same transaction. Refusals are returned, not raised; a fact that fails by itself is parked, and
    refused as `parked`.
    """

    kind = ParkedRow.Kind.REDEMPTION

    def record(some: Sequence[RedemptionFact], poison: Sequence[Poison] = (), *, advance: bool = False) -> Receipt:
        while True:
            try:
                with transaction.atomic():
                    verdicts, _ = _redeem_all(source, _parse(some), now)
                    parked = park_facts(
                        kind=kind, source=source, sound=[fact.id for fact in some], poison=poison, now=now
                    )
                    receipt = _receipt(some, verdicts, parked)
                    if run is not None and advance:
                        advance_run(run=run, lines_done=lines_done or 0, tally=receipt.tally, refusals=receipt.refusals)
                    return receipt
            except _LostRaceError:
                continue

    try:
        return record(facts, advance=True)
    except POISON:
        sound, poison = sift_poison(rows=facts, rehearse=record)
    return record(sound, poison, advance=True)


@retried
def redeem(
    *, source: str, redemption_id: str, customer_id: int, amount: Money, occurred_at: datetime, now: datetime
) -> Redemption:
    """Spend US dollars of a customer's credit, soonest-expiring first, then in the order issued (TERMS: Credit).

    All or nothing; the same redemption again has no effect. Locks the CreditAccount. Raises UnableToRedeem.
    """
    if amount.currency.code != "USD":
        raise UnableToRedeem("currency")
    fault = "id" if not is_id(redemption_id) else None if is_payable(amount) else "amount"
    wanted = _Wanted(redemption_id, customer_id, Decimal(amount.amount), occurred_at, fault)
    while True:
        try:
            with transaction.atomic():
                (verdict,), inserted = _redeem_all(source, [wanted], now)
                if verdict in REFUSALS:
                    raise UnableToRedeem(verdict)
            break
        except _LostRaceError:
            continue
    if redemption_id not in inserted:
        return Redemption.objects.get(source=source, redemption_id=redemption_id)
    return Redemption(
        pk=inserted[redemption_id],
        source=source,
        redemption_id=redemption_id,
        customer_id=customer_id,
        amount=amount.amount,
        occurred_at=occurred_at,
        recorded_at=now,
    )


def is_payable(amount: Money) -> bool:
    """Say whether an amount is of the form that facts have: whole cents above zero, ten digits before the point."""
    value = Decimal(amount.amount)
    return value.is_finite() and 0 < value < LIMIT and value == round(value, 2)


def write_entries(*, entries: Sequence[Entry], redemptions: dict[str, int], now: datetime) -> None:
    """Write the entries in their order and move their coupons' parts; `redemptions` are the pks by id.

    The caller holds the customers' CreditAccounts.
    """
    columns = [list(column) for column in zip(*entries, strict=True)] or [[] for _ in Entry._fields]
    coupons, types, amounts, balances, names, references, times = columns
    with connection.cursor() as cursor:
        cursor.execute(
            sql.WRITE_ENTRIES,
            {
                "coupons": coupons,
                "types": types,
                "amounts": amounts,
                "balances": balances,
                "redemptions": [redemptions[name] if name is not None else None for name in names],
                "references": references,
                "times": times,
                "now": now,
            },
        )


def is_id(text: str) -> bool:
    """Whether the text can be an id: not empty, at most 100 characters, none a control character."""
    return 1 <= len(text) <= 100 and not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in text)


def _parse(facts: Sequence[RedemptionFact]) -> list[_Wanted]:
    """Read the raw text of all facts. A NUL, which text cannot hold, becomes another control character."""
    cells = [[cell.replace("\0", "\1") for cell in fact[1:]] for fact in facts]
    ids, accounts, amounts, times = ([row[place] for row in cells] for place in range(4))
    with connection.cursor() as cursor:
        cursor.execute(sql.PARSE, {"ids": ids, "accounts": accounts, "amounts": amounts, "times": times})
        return [_Wanted(*row) for row in cursor.fetchall()]


def _redeem_all(source: str, wanted: Sequence[_Wanted], now: datetime) -> tuple[list[str], dict[str, int]]:
    """Judge and write; return `accepted`, `duplicate` or the code of the refusal of each, and the new pks by id."""
    customers = sorted({one.customer_id for one in wanted if one.customer_id is not None and one.fault is None})
    # Two redemptions of one customer at once would both spend what is left: read only what the lock holds still.
    known_customers = set(lock_accounts(customer_ids=customers))
    wanted = [one if one.customer_id in known_customers else one._replace(customer_id=None) for one in wanted]
    known = _known(source, wanted)
    purses = _purses(customers)
    accepted: list[_Wanted] = []
    entries: list[Entry] = []
    verdicts = []
    for one in wanted:
        verdict = _judge(one, known, purses, now)
        if verdict == "accepted":
            known[one.redemption_id] = one.content
            accepted.append(one)
            entries += _spend(one, purses[one.customer_id or 0])
        verdicts.append(verdict)
    inserted = _insert(source, accepted, now) if accepted else {}
    if entries:
        write_entries(entries=entries, redemptions=inserted, now=now)
    return verdicts, inserted


def _known(source: str, wanted: Sequence[_Wanted]) -> dict[str, tuple[object, ...]]:
    ids = [one.redemption_id for one in wanted if one.fault is None]
    with connection.cursor() as cursor:
        cursor.execute(sql.KNOWN, {"source": source, "ids": ids})
        return {name: tuple(content) for name, *content in cursor.fetchall()}


def _purses(customers: Sequence[int]) -> dict[int, list[_Purse]]:
    purses: defaultdict[int, list[_Purse]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(sql.PURSES, {"customers": list(customers)})
        for customer_id, *purse in cursor.fetchall():
            purses[customer_id].append(_Purse(*purse))
    return purses


def _judge(one: _Wanted, known: dict[str, tuple[object, ...]], purses: dict[int, list[_Purse]], now: datetime) -> str:
    if one.fault:
        return one.fault
    if one.redemption_id in known:
        return "duplicate" if known[one.redemption_id] == one.content else "conflict"
    if one.customer_id is None:
        return "account"
    if one.occurred_at > now + MOST_AHEAD:
        return "time"
    usable = [purse.remaining for purse in purses[one.customer_id] if purse.is_usable_at(one.occurred_at)]
    return "accepted" if sum(usable, Decimal(0)) >= one.amount else "insufficient"


def _spend(one: _Wanted, purses: Sequence[_Purse]) -> list[Entry]:
    """Take the amount from the purses in their order, in part where less is needed."""
    entries, needed = [], one.amount
    for purse in purses:
        if needed and purse.is_usable_at(one.occurred_at):
            part = min(needed, purse.remaining)
            purse.remaining -= part
            needed -= part
            name = one.redemption_id
            entries.append(Entry(purse.coupon_id, "REDEEM", -part, purse.remaining, name, name, one.occurred_at))
    return entries


def _insert(source: str, accepted: Sequence[_Wanted], now: datetime) -> dict[str, int]:
    """Insert the redemptions; return their pks by id. Another source of the same id was faster: judge again."""
    parameters: dict[str, Any] = {
        "source": source,
        "ids": [one.redemption_id for one in accepted],
        "customers": [one.customer_id for one in accepted],
        "amounts": [one.amount for one in accepted],
        "times": [one.occurred_at for one in accepted],
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql.INSERT_REDEMPTIONS, parameters)
        inserted = dict(cursor.fetchall())
    if len(inserted) != len(accepted):
        raise _LostRaceError
    return inserted


def _receipt(facts: Sequence[RedemptionFact], verdicts: Sequence[str], parked: Sequence[Refusal]) -> Receipt:
    refusals = [
        Refusal(fact.line, verdict, REFUSALS[verdict], fact.fact)
        for fact, verdict in zip(facts, verdicts, strict=True)
        if verdict in REFUSALS
    ]
    refusals = sorted([*refusals, *parked], key=lambda refusal: refusal.line or 0)
    tally = Tally(verdicts.count("accepted"), 0, verdicts.count("duplicate"), len(refusals))
    return Receipt(tally, refusals)

"""Which mails the programme writes, in the transaction of what they tell of: a statement each over all whom it tells.

Nothing is written to whoever cannot be told (accounts.operations.whom_to_tell), nor of what took effect longer ago than
NEWS: history is not mailed. The callers hold what they have just changed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from accounts.arrays import bigints
from accounts.operations import Message, whom_to_tell, write_messages
from accounts.operations.outbox import NEWS
from referrals.models import Referral
from referrals.operations import mails_sql as sql

MOST_LINES = 10
"""Friends whom one mail tells of one by one."""


def tell_of_friends(*, friend_ids: Sequence[int], now: datetime) -> None:
    """Tell the referrers of friends who have just signed up through their links."""
    referrers = Referral.objects.filter(friend_id__in=friend_ids).values_list("referrer_id", flat=True)
    _write(sql.FRIEND_JOINED, referrers, now, friends=bigints(friend_ids))


def tell_of_qualified(*, referral_ids: Sequence[int], now: datetime) -> None:
    """Tell the referrers of friends who have qualified, of each once and for all."""
    referrers = Referral.objects.filter(pk__in=referral_ids).values_list("referrer_id", flat=True)
    _write(sql.FRIEND_QUALIFIED, referrers, now, referrals=bigints(referral_ids))


def tell_of_gifts(*, coupon_ids: Collection[int], customer_ids: Iterable[int], now: datetime) -> None:
    """Tell customers of the trial and the welcome credit that they have just got, all in one mail."""
    if coupon_ids:
        _write(sql.WELCOME, customer_ids, now, coupons=bigints(coupon_ids))


def tell_of_settlement(
    *, customer_ids: Sequence[int], referral_ids: Collection[int], as_of: datetime, now: datetime
) -> None:
    """Tell referrers of what a settlement took back and granted: of each one mail, however many friends they have."""
    if as_of < now - NEWS:
        return
    told = whom_to_tell(customer_ids=customer_ids)
    if told:
        chunk = {"told": bigints(told), "referrals": bigints(referral_ids), "at": as_of, "now": now}
        _execute(sql.CLAWED_BACK, chunk)
        _execute(sql.CREDIT_ARRIVED, chunk)


def tell_of_review(*, kind: str, referral: Referral, cause: int, now: datetime) -> None:
    """Tell a referrer that a referral is held, released or restored; `cause` is the flag or decision that did it."""
    _write(sql.ONE_REFERRAL, [referral.referrer_id], now, kind=kind, referral=referral.pk, cause=str(cause))


def tell_of_refusals(*, referrals: Sequence[Referral], cause: int, now: datetime) -> None:
    """Tell a referrer that referrals are refused, all in one mail; `cause` is the first of the decisions."""
    referrers = {referral.referrer_id for referral in referrals}
    of = bigints(referral.pk for referral in referrals)
    _write(sql.REFUSED, referrers, now, referrals=of, cause=str(cause))


def tell_of_revoked_welcome(*, customer_id: int, cause: int, amount: Decimal, now: datetime) -> None:
    """Tell a friend that what was left of the welcome credit, in US dollars, is revoked."""
    if amount:
        facts = {"revoked_amount": str(amount)}
        tell_account(kind="welcome_revoked", customer_id=customer_id, cause=cause, facts=facts, now=now)


def tell_account(
    *, kind: str, customer_id: int, cause: int, facts: Mapping[str, object] | None = None, now: datetime
) -> None:
    """Tell a customer what a decision has done to the account; `cause` is the decision."""
    if whom_to_tell(customer_ids=[customer_id]):
        message = Message(f"{kind}:{cause}", kind, customer_id, facts=facts or {})
        write_messages(messages=[message], now=now, hint=False)


def _write(statement: str, customer_ids: Iterable[int], now: datetime, **parameters: Any) -> None:
    told = whom_to_tell(customer_ids=set(customer_ids))
    if told:
        _execute(statement, {**parameters, "told": bigints(told), "news": now - NEWS, "now": now})


def _execute(statement: str, parameters: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, {**parameters, "lines": MOST_LINES})

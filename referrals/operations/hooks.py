"""Which events webhooks tell of, written in the transaction in which they happened: a statement a type, over all of it.

Where no endpoint wants a type, its statement asks for that and does nothing else. The callers hold what has changed.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from accounts.arrays import bigints
from accounts.retries import retried
from referrals.operations import hooks_sql as sql


def announce_friends(*, friend_ids: Sequence[int], now: datetime) -> None:
    """referral.created: the referrals of these friends that were made just now."""
    _write(sql.REFERRAL_CREATED, friends=bigints(friend_ids), now=now)


def announce_qualified(*, referral_ids: Collection[int], now: datetime) -> None:
    """referral.qualified: of each that is not refused, once and for all."""
    if referral_ids:
        _write(sql.REFERRAL_QUALIFIED, referrals=bigints(referral_ids), now=now)


def announce_settlement(*, referral_ids: Collection[int], as_of: datetime, now: datetime) -> None:
    """reward.clawed_back and reward.granted: what a settlement took back and granted of these referrals."""
    settled = {"referrals": bigints(referral_ids), "at": as_of, "now": now}
    _write(sql.REWARD_CLAWED_BACK, **settled)
    _write(sql.REWARD_GRANTED, **settled)


def announce_flag(*, flag_id: int, now: datetime) -> None:
    """flag.opened: a new flag, or a note that has become a hold."""
    _write(sql.FLAG_OPENED, flag=flag_id, now=now)


def announce_closed_flags(*, flag_ids: Iterable[int], now: datetime) -> None:
    """flag.closed: flags that were released, or refused with their referral."""
    _write(sql.FLAG_CLOSED, flags=bigints(flag_ids), now=now)


@retried
def announce_expiring(*, days: int, after: datetime, until: datetime, now: datetime) -> None:
    """coupon.expiring: what is left on coupons that expire within these instants, of each once for these days."""
    _write(sql.COUPON_EXPIRING, days=days, after=after, until=until, now=now)


@retried
def announce_expired(*, coupon_ids: Sequence[int], now: datetime) -> None:
    """coupon.expired: what has just expired on these coupons."""
    _write(sql.COUPON_EXPIRED, coupons=bigints(coupon_ids), now=now)


def _write(statement: str, **parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)

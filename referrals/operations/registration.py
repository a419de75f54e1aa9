"""What registration brings: a credit account, the Referral with its terms frozen, the trial and the welcome credit."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db import connection, transaction

from accounts.models import AccountType, User
from accounts.operations import known_by_address
from accounts.retries import retried
from credits.models import CouponKind
from credits.operations import NewCoupon, issue_coupons, lock_accounts, open_accounts
from referrals.models import ReferralLink
from referrals.operations.hooks import announce_friends
from referrals.operations.mails import tell_of_friends, tell_of_gifts

CHUNK = 10_000

# LATERAL … OFFSET 0 keeps each look-up to its index: an import that was killed leaves statistics that know of no rows,
# by which any other way looks as cheap.
REFER = """
WITH friend AS (
    SELECT id, registered_at, signup_attribution
    FROM accounts_user WHERE id = ANY(%(users)s) AND registered_at IS NOT NULL
), attributed AS (
    SELECT friend.id AS friend_id, friend.registered_at, referrer.id AS referrer_id
    FROM friend CROSS JOIN LATERAL (
        SELECT id FROM accounts_user WHERE account_id = friend.signup_attribution ->> 'referred_by' OFFSET 0
    ) AS referrer
    UNION ALL
    SELECT friend.id, friend.registered_at, link.owner_id
    FROM friend JOIN referrals_referrallink AS link ON link.code = friend.signup_attribution ->> 'code'
    WHERE link.id = ANY(%(working_links)s) AND friend.id <> ALL(%(known)s::bigint[])
)
INSERT INTO referrals_referral (friend_id, referrer_id, terms_id, registered_at, created_at, bonus_due_at,
    qualifying_spend, window_spend, payout_earned, bonus_earned, payout_granted, payout_let_go, bonus_granted,
    bonus_let_go, currency, held)
SELECT friend_id, referrer_id, terms.id, registered_at, %(now)s,
       registered_at + (terms.bonus_window_days + terms.bonus_delay_days) * interval '24 hours',
       0, 0, 0, 0, 0, 0, 0, 0, 'USD', false
FROM attributed
CROSS JOIN LATERAL (
    SELECT * FROM referrals_programmeterms WHERE starts_at <= attributed.registered_at ORDER BY starts_at DESC LIMIT 1
) AS terms
WHERE friend_id <> referrer_id
ORDER BY registered_at, friend_id
ON CONFLICT (friend_id) DO NOTHING
"""

ENTITLED = """
SELECT customer.id, customer.account_type, customer.registered_at,
       referral.id IS NOT NULL AND referral.refused_at IS NULL,
       terms.welcome_individual, terms.welcome_enterprise, terms.trial_individual, terms.trial_enterprise,
       terms.credit_valid_days, terms.trial_valid_days
FROM accounts_user AS customer
LEFT JOIN LATERAL (
    SELECT id, refused_at, held FROM referrals_referral WHERE friend_id = customer.id OFFSET 0
) AS referral ON true
CROSS JOIN LATERAL (
    SELECT * FROM referrals_programmeterms WHERE starts_at <= customer.registered_at ORDER BY starts_at DESC LIMIT 1
) AS terms
WHERE customer.id = ANY(%(users)s) AND customer.registered_at IS NOT NULL AND customer.closed_at IS NULL
  AND NOT coalesce(referral.held, false)
ORDER BY customer.registered_at, customer.id
"""


class _Entitled(NamedTuple):
    """A customer and the numbers of the terms in force when they registered."""

    customer_id: int
    account_type: str
    registered_at: datetime
    is_welcome: bool
    welcome_individual: Decimal
    welcome_enterprise: Decimal
    trial_individual: Decimal
    trial_enterprise: Decimal
    credit_valid_days: int
    trial_valid_days: int

    def coupons(self, given_at: datetime | None) -> list[NewCoupon]:
        # Never before the registration: the clock may have been set back since.
        at = max(given_at or self.registered_at, self.registered_at)
        enterprise = self.account_type == AccountType.ENTERPRISE
        trial = self.trial_enterprise if enterprise else self.trial_individual
        welcome = self.welcome_enterprise if enterprise else self.welcome_individual
        gifts = [(CouponKind.TRIAL, trial, self.trial_valid_days)]
        gifts += [(CouponKind.WELCOME, welcome, self.credit_valid_days)] if self.is_welcome else []
        return [
            NewCoupon(self.customer_id, kind, None, f"{kind}:{self.customer_id}", amount, at, at + timedelta(days=days))
            for kind, amount, days in gifts
            if amount > 0
        ]


@retried
@transaction.atomic
def admit(*, user_ids: Sequence[int], now: datetime) -> None:
    """Take in accounts that have just registered: each gets its credit account, its trial and, if its attribution names
    a referrer, its Referral and the welcome credit (TERMS: What a new customer gets).

    A code counts only if its link works now, and for a person who is no existing customer: one who comes back with an
    address that another account had brings no referral (TERMS: When things change). Accounts are taken as sets; one
    that was taken in already stays as it is.
    """
    for start in range(0, len(user_ids), CHUNK):
        chunk = list(user_ids[start : start + CHUNK])
        open_accounts(customer_ids=chunk)
        links = _working_links(chunk, now)
        # Imported accounts are facts: who referred them is not doubted.
        known = known_by_address(user_ids=chunk) if links else []
        with connection.cursor() as cursor:
            cursor.execute(REFER, {"users": chunk, "working_links": links, "known": known, "now": now})
        announce_friends(friend_ids=chunk, now=now)
        if links:
            tell_of_friends(friend_ids=chunk, now=now)
        _give(chunk, given_at=None, now=now)


@transaction.atomic
def give_welcome(*, user_ids: Sequence[int], now: datetime) -> None:
    """Give, as of `now`, the trial and welcome credit that have waited for a hold; what was given already is not again.

    Locks the customers' CreditAccounts; a caller that holds Referrals has locked these before.
    """
    lock_accounts(customer_ids=user_ids)
    _give(list(user_ids), given_at=now, now=now)


def _working_links(user_ids: Sequence[int], now: datetime) -> list[int]:
    codes = User.objects.filter(pk__in=user_ids, signup_attribution__has_key="code").values_list(
        "signup_attribution__code", flat=True
    )
    wanted = list(codes)
    if not wanted:
        return []
    return list(ReferralLink.objects.working(at=now).filter(code__in=wanted).values_list("pk", flat=True))


def _give(user_ids: list[int], *, given_at: datetime | None, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(ENTITLED, {"users": user_ids})
        entitled = [_Entitled(*row) for row in cursor.fetchall()]
    issued = issue_coupons(coupons=[coupon for one in entitled for coupon in one.coupons(given_at)], now=now)
    tell_of_gifts(coupon_ids=issued.values(), customer_ids=user_ids, now=now)

"""What a customer gets on passing enterprise verification (TERMS: What a new customer gets)."""

from datetime import datetime

from django.db import connection, transaction

from accounts.retries import retried
from credits.operations import NewCoupon, issue_coupons, lock_accounts
from referrals.operations.links import give_link
from referrals.operations.mails import tell_of_gifts

# What was given first says what is still missing, and until when it can be used: an account that was an enterprise from
# the start misses nothing. Welcome credit that a refusal has withdrawn does not come back, nor does a part of it.
DIFFERENCES = """
WITH customer AS (
    SELECT customer.id, customer.registered_at, referral.terms_id
    FROM accounts_user AS customer LEFT JOIN referrals_referral AS referral ON referral.friend_id = customer.id
    WHERE customer.id = %(user)s AND account_type = 'enterprise' AND disqualified_at IS NULL AND is_active
), terms AS (
    SELECT terms.* FROM referrals_programmeterms AS terms CROSS JOIN customer
    WHERE terms.id = terms_id OR (terms_id IS NULL AND starts_at <= registered_at)
    ORDER BY starts_at DESC LIMIT 1
), full_amount (kind, amount) AS (
    SELECT 'trial', trial_enterprise FROM terms
    UNION ALL
    SELECT 'welcome', welcome_enterprise FROM terms
)
SELECT customer.id, kind, NULL::bigint, kind || '-upgrade:' || customer.id, full_amount.amount - first.amount,
       %(now)s::timestamptz, first.expires_at
FROM customer
CROSS JOIN full_amount
JOIN credits_coupon AS first USING (kind)
WHERE first.source = kind || ':' || customer.id AND first.withdrawn_at IS NULL AND first.revoked = 0
  AND first.amount < full_amount.amount AND first.expires_at > %(now)s
ORDER BY kind
"""


@transaction.atomic
def grant_enterprise_difference(*, user_id: int, now: datetime) -> int:
    """Give an account that has become an enterprise what an enterprise gets above what it got; return how many coupons.

    Once, with the first coupons' expiry, in the numbers of the terms in force when it registered; nothing of what has
    expired. What a hold has kept back comes in full later. Locks the CreditAccount.
    """
    lock_accounts(customer_ids=[user_id])
    with connection.cursor() as cursor:
        cursor.execute(DIFFERENCES, {"user": user_id, "now": now})
        missing = [NewCoupon(*row) for row in cursor.fetchall()]
    issued = issue_coupons(coupons=missing, now=now)
    tell_of_gifts(coupon_ids=issued.values(), customer_ids=[user_id], now=now)
    return len(issued)


@retried
@transaction.atomic
def welcome_verified(*, user_id: int, now: datetime) -> None:
    """Give an account that has passed verification its link, and what it is still missing as an enterprise."""
    grant_enterprise_difference(user_id=user_id, now=now)
    give_link(user_id=user_id, now=now)

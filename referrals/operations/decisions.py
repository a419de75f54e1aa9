"""What staff and rules decide about referrals and accounts: holds, refusals, disqualifications, links off and on.

Every move is one transaction with a Decision and its reason, and one conditional UPDATE whose row count is checked.
What touches credit locks the CreditAccounts first, then the Referrals, and reads again after that (DESIGN: A customer's
credit has one lock).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from accounts.models import User
from accounts.operations import give_eligibility
from accounts.retries import retried
from credits.models import Coupon, CouponKind, CreditAccount
from credits.operations import lock_accounts, revoke_coupons
from referrals.models import Decision, DecisionReason, FraudFlag, Referral, ReferralLink
from referrals.operations.enterprise import grant_enterprise_difference, welcome_verified
from referrals.operations.hooks import announce_closed_flags, announce_flag, announce_qualified
from referrals.operations.mails import tell_account, tell_of_refusals, tell_of_review, tell_of_revoked_welcome
from referrals.operations.registration import give_welcome
from referrals.operations.tracking import recompute

REASONS = {
    "reason": "A decision needs a reason.",
    "already": "That is so already.",
    "unknown": "There is no such referral, flag, account or link.",
    "not_theirs": "One of the referrals is not this account's.",
    "disqualified": "The account is disqualified: its link stays off.",
    "closed": "The account is closed: its link stays off.",
    "rule": "A flag names the rule that raised it.",
    "severity": "A flag is a hold or a note.",
}

# A note that turns out to be a hold becomes one; anything else finds the open flag as it stands.
OPEN_FLAG = """
INSERT INTO referrals_fraudflag AS flag (referral_id, rule, severity, evidence, opened_at, outcome)
VALUES (%(referral)s, %(rule)s, %(severity)s, %(evidence)s, %(now)s, '')
ON CONFLICT (rule, referral_id) WHERE closed_at IS NULL
DO UPDATE SET severity = excluded.severity, evidence = excluded.evidence
WHERE flag.severity = 'note' AND excluded.severity = 'hold'
RETURNING id
"""

HOLD_WHILE_A_HOLD_IS_OPEN = """
UPDATE referrals_referral AS referral
SET held = EXISTS (
    SELECT FROM referrals_fraudflag
    WHERE referral_id = referral.id AND closed_at IS NULL AND severity = 'hold'
)
WHERE id = ANY(%(referrals)s)
"""

NOT_PAID_IN_FULL = ~Q(
    payout_earned__gt=0,
    payout_granted__gte=F("payout_earned"),
    bonus_granted__gte=F("bonus_earned"),
)


class UnableToDecide(Exception):
    """A decision that cannot be taken; `code` is one of REASONS."""

    def __init__(self, code: str) -> None:
        super().__init__(REASONS[code])
        self.code = code


@retried
@transaction.atomic
def open_flag(
    *,
    referral_id: int,
    rule: str,
    severity: str,
    evidence: Mapping[str, object],
    actor: User | None,
    reason: str,
    now: datetime,
) -> FraudFlag:
    """Open a flag on a referral, and return it; to a rule, one that it opened before and that is open still.

    A flag of severity hold stops the referral's grants from its commit on (TERMS: a hold). Locks the Referral. `actor`
    is None for a rule. Raises UnableToDecide: reason, rule, severity, unknown; and already, to a human only.
    """
    _require_reason(reason)
    if not rule.strip():
        raise UnableToDecide("rule")
    if severity not in FraudFlag.Severity.values:
        raise UnableToDecide("severity")
    (referral,) = _lock_referrals([referral_id])
    flag_id = _insert_flag(referral_id, rule, severity, evidence, now)
    if flag_id is None:
        if actor is not None:
            raise UnableToDecide("already")
        return FraudFlag.objects.get(rule=rule, referral_id=referral_id, closed_at=None)
    _keep_held([referral_id])
    announce_flag(flag_id=flag_id, now=now)
    action = Decision.Action.HOLD if severity == FraudFlag.Severity.HOLD else Decision.Action.NOTE
    _record(action, actor, reason, now, referral_id=referral_id, flag_id=flag_id)
    if severity == FraudFlag.Severity.HOLD and not referral.held:
        tell_of_review(kind="reward_held", referral=referral, cause=flag_id, now=now)
    return FraudFlag.objects.get(pk=flag_id)


@retried
@transaction.atomic
def release_flag(*, flag_id: int, actor: User | None, reason: str, now: datetime) -> None:
    """Close an open flag as unfounded. When nothing holds the referral any more, what waited for that arrives: the
    friend's trial and welcome credit now, the grants with the next settlement (TERMS: a hold).

    Locks the friend's CreditAccount, then the Referral. Raises UnableToDecide: reason, unknown, already.
    """
    _require_reason(reason)
    flag = FraudFlag.objects.select_related("referral").filter(pk=flag_id).first()
    if flag is None:
        raise UnableToDecide("unknown")
    lock_accounts(customer_ids=[flag.referral.friend_id])
    (was,) = _lock_referrals([flag.referral_id])
    if not _close_flags(FraudFlag.objects.filter(pk=flag_id), FraudFlag.Outcome.RELEASED, now):
        raise UnableToDecide("already")
    _keep_held([flag.referral_id])
    give_welcome(user_ids=[flag.referral.friend_id], now=now)
    _record(Decision.Action.RELEASE, actor, reason, now, referral_id=flag.referral_id, flag_id=flag_id)
    if was.held and not Referral.objects.filter(pk=was.pk, held=True).exists():
        tell_of_review(kind="reward_released", referral=was, cause=flag_id, now=now)


@retried
@transaction.atomic
def refuse(*, referral_id: int, actor: User | None, reason: str, now: datetime) -> None:
    """Refuse a referral: it earns nothing while it is refused, its open flags are closed with it, and what is left of
    the friend's welcome credit is revoked; the next settlement claws back what was granted (TERMS: refused).

    Locks the friend's and the referrer's CreditAccounts, then the Referral. Raises UnableToDecide: reason, unknown,
    already.
    """
    _require_reason(reason)
    _lock_with_credit([referral_id])
    _refuse_locked([referral_id], actor, reason, now)


@retried
@transaction.atomic
def lift_refusal(*, referral_id: int, actor: User | None, reason: str, now: datetime) -> None:
    """Let a refused referral earn again what its spend earns (TERMS: refused).

    Welcome credit that was revoked does not come back; what was never given arrives now, and what was spent before the
    refusal may be given back again.

    Locks the friend's and the referrer's CreditAccounts, then the Referral. Raises UnableToDecide: reason, unknown,
    already.
    """
    _require_reason(reason)
    (referral,) = _lock_with_credit([referral_id])
    if not Referral.objects.filter(pk=referral_id, refused_at__isnull=False).update(refused_at=None):
        raise UnableToDecide("already")
    recompute(referral_ids=[referral_id], now=now)
    announce_qualified(referral_ids=[referral_id], now=now)
    _welcome_coupons([referral]).filter(customer__customer__closed_at=None).update(withdrawn_at=None)
    give_welcome(user_ids=[referral.friend_id], now=now)
    grant_enterprise_difference(user_id=referral.friend_id, now=now)
    decision = _record(Decision.Action.LIFT_REFUSAL, actor, reason, now, referral_id=referral_id)
    tell_of_review(kind="reward_restored", referral=referral, cause=decision.pk, now=now)


@retried
@transaction.atomic
def disqualify(
    *, user_id: int, actor: User | None, reason: str, refuse_referrals: Sequence[int] | None = None, now: datetime
) -> None:
    """Disqualify an account: its link goes off, its credit is frozen, nothing more is granted to it, and the referrals
    chosen are refused; by default those not yet paid in full (TERMS: disqualified).

    Locks the User, the CreditAccounts of the account and of its friends, then its Referrals. Raises UnableToDecide:
    reason, unknown, already, not_theirs.
    """
    _require_reason(reason)
    if not CreditAccount.objects.filter(pk=user_id).exists():
        raise UnableToDecide("unknown")
    if not User.objects.filter(pk=user_id, disqualified_at=None).update(disqualified_at=now):
        raise UnableToDecide("already")
    # The account's own lock comes with its friends', in one order: taken before, it could wait for a refusal that
    # holds it and waits for a friend's.
    friends = list(Referral.objects.filter(referrer_id=user_id).values_list("friend_id", flat=True))
    lock_accounts(customer_ids=sorted({user_id, *friends}))
    chosen = _chosen_referrals(user_id, friends, refuse_referrals)
    _lock_referrals(chosen)
    CreditAccount.objects.filter(pk=user_id, frozen_at=None).update(frozen_at=now)
    ReferralLink.objects.filter(owner_id=user_id, switched_off_at=None).update(switched_off_at=now)
    decision = _record(Decision.Action.DISQUALIFY, actor, reason, now, customer_id=user_id)
    tell_account(kind="account_disqualified", customer_id=user_id, cause=decision.pk, now=now)
    _refuse_locked(chosen, actor, reason, now)


@retried
@transaction.atomic
def reinstate(*, user_id: int, actor: User | None, reason: str, now: datetime) -> None:
    """Take a disqualification back: the credit is free again, and the link is on unless it had been off before. What
    verification was to bring meanwhile comes now.

    Refused referrals stay refused: lifting is a decision of its own. Locks the User, then the CreditAccount. Raises
    UnableToDecide: reason, unknown, already.
    """
    _require_reason(reason)
    account = User.objects.select_for_update(no_key=True, of=("self",)).filter(pk=user_id).first()
    if account is None:
        raise UnableToDecide("unknown")
    off_since = account.disqualified_at
    if not User.objects.filter(pk=user_id, disqualified_at__isnull=False).update(disqualified_at=None):
        raise UnableToDecide("already")
    lock_accounts(customer_ids=[user_id])
    CreditAccount.objects.filter(pk=user_id).update(frozen_at=None)
    if account.closed_at is None:
        ReferralLink.objects.filter(owner_id=user_id, switched_off_at=off_since).update(switched_off_at=None)
    welcome_verified(user_id=user_id, now=now)  # what verification would have brought meanwhile
    decision = _record(Decision.Action.REINSTATE, actor, reason, now, customer_id=user_id)
    tell_account(kind="account_reinstated", customer_id=user_id, cause=decision.pk, now=now)


@retried
@transaction.atomic
def switch_link_off(*, user_id: int, actor: User | None, reason: str, now: datetime) -> None:
    """Switch an account's link off: later sign-ups through it have no referrer (TERMS: When things change).

    Raises UnableToDecide: reason, unknown, already.
    """
    _require_reason(reason)
    if not ReferralLink.objects.filter(owner_id=user_id, switched_off_at=None).update(switched_off_at=now):
        raise UnableToDecide("already" if ReferralLink.objects.filter(owner_id=user_id).exists() else "unknown")
    _record(Decision.Action.SWITCH_LINK_OFF, actor, reason, now, customer_id=user_id)


@retried
@transaction.atomic
def switch_link_on(*, user_id: int, actor: User | None, reason: str, now: datetime) -> None:
    """Switch an account's link on again; never that of a disqualified or closed account (TERMS: Who may refer).

    Locks the CreditAccount, which a disqualification and a closing hold. Raises UnableToDecide: reason, unknown,
    already, disqualified, closed.
    """
    _require_reason(reason)
    lock_accounts(customer_ids=[user_id])
    link = ReferralLink.objects.select_related("owner").filter(owner_id=user_id).first()
    if link is None:
        raise UnableToDecide("unknown")
    if link.owner.disqualified_at is not None:
        raise UnableToDecide("disqualified")
    if link.owner.closed_at is not None:
        raise UnableToDecide("closed")
    if not ReferralLink.objects.filter(pk=link.pk, switched_off_at__isnull=False).update(switched_off_at=None):
        raise UnableToDecide("already")
    _record(Decision.Action.SWITCH_LINK_ON, actor, reason, now, customer_id=user_id)


@retried
@transaction.atomic
def hand_eligibility(*, user_id: int, actor: User | None, reason: str, now: datetime) -> None:
    """Make an account the eligible one of its person, however often it was moved before (TERMS: Who may refer).

    Locks the Users of the identity. Raises UnableToDecide: reason; UnableToMoveEligibility: not_passed, eligible.
    """
    _require_reason(reason)
    give_eligibility(user_id=user_id, now=now)
    _record(Decision.Action.MOVE_ELIGIBILITY, actor, reason, now, customer_id=user_id)


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise UnableToDecide("reason")


def _lock_referrals(referral_ids: Iterable[int]) -> list[Referral]:
    """Lock by pk, and return what is so after the lock. Raises UnableToDecide("unknown") where one does not exist."""
    wanted = set(referral_ids)
    locking = Referral.objects.select_for_update(no_key=True, of=("self",)).filter(pk__in=wanted).order_by("pk")
    if len(locking.values_list("pk", flat=True)) != len(wanted):
        raise UnableToDecide("unknown")
    return list(Referral.objects.filter(pk__in=wanted).order_by("pk"))


def _lock_with_credit(referral_ids: Sequence[int]) -> list[Referral]:
    """Lock the friends' and referrers' CreditAccounts, then the Referrals. Friend and referrer of a Referral stay."""
    pairs = Referral.objects.filter(pk__in=referral_ids).values_list("friend_id", "referrer_id")
    lock_accounts(customer_ids=sorted({customer for pair in pairs for customer in pair}))
    return _lock_referrals(referral_ids)


def _chosen_referrals(user_id: int, locked: Sequence[int], chosen: Sequence[int] | None) -> list[int]:
    theirs = Referral.objects.filter(referrer_id=user_id, friend_id__in=locked)
    if chosen is None:
        return list(theirs.filter(NOT_PAID_IN_FULL, refused_at=None).values_list("pk", flat=True))
    if theirs.filter(pk__in=chosen).count() != len(set(chosen)):
        raise UnableToDecide("not_theirs")
    return sorted(set(chosen))


def _refuse_locked(referral_ids: Sequence[int], actor: User | None, reason: str, now: datetime) -> None:
    """Refuse all of them or none. The caller holds the CreditAccounts and the Referrals."""
    standing = Referral.objects.filter(pk__in=referral_ids, refused_at=None)
    if standing.update(refused_at=now, payout_earned=0, bonus_earned=0) != len(referral_ids):
        raise UnableToDecide("already")
    _close_flags(FraudFlag.objects.filter(referral_id__in=referral_ids), FraudFlag.Outcome.REFUSED, now)
    _keep_held(referral_ids)
    refused = list(Referral.objects.filter(pk__in=referral_ids).order_by("pk"))
    decisions = []
    for referral in refused:
        coupons = list(_welcome_coupons([referral]).values_list("pk", flat=True))
        left = revoke_coupons(coupon_ids=coupons, at=now, now=now, reference=f"refusal:{referral.pk}", withdraw=True)
        decisions.append(_record(Decision.Action.REFUSE, actor, reason, now, referral_id=referral.pk))
        tell_of_revoked_welcome(customer_id=referral.friend_id, cause=decisions[-1].pk, amount=left, now=now)
    if decisions:
        tell_of_refusals(referrals=refused, cause=decisions[0].pk, now=now)
    # A trial that waited for a hold waits no longer; the welcome credit is not a refused friend's.
    give_welcome(user_ids=[referral.friend_id for referral in refused], now=now)


def _welcome_coupons(referrals: Sequence[Referral]) -> QuerySet[Coupon]:
    friends = [referral.friend_id for referral in referrals]
    return Coupon.objects.filter(customer_id__in=friends, kind=CouponKind.WELCOME).order_by("pk")


def _insert_flag(
    referral_id: int, rule: str, severity: str, evidence: Mapping[str, object], now: datetime
) -> int | None:
    """Insert the flag; None if the rule has an open one that says as much (DESIGN: Exactly once)."""
    with connection.cursor() as cursor:
        cursor.execute(
            OPEN_FLAG,
            {
                "referral": referral_id,
                "rule": rule,
                "severity": severity,
                "evidence": json.dumps(evidence),
                "now": now,
            },
        )
        row = cursor.fetchone()
    return int(row[0]) if row else None


def _close_flags(flags: QuerySet[FraudFlag], outcome: str, now: datetime) -> int:
    closed = flags.filter(closed_at=None).update(closed_at=now, outcome=outcome)
    if closed:
        announce_closed_flags(flag_ids=flags.filter(closed_at=now).values_list("pk", flat=True), now=now)
    return closed


def _keep_held(referral_ids: Sequence[int]) -> None:
    """Let `held` say whether a hold is open. The caller has locked the Referrals."""
    with connection.cursor() as cursor:
        cursor.execute(HOLD_WHILE_A_HOLD_IS_OPEN, {"referrals": list(referral_ids)})


def _record(
    action: str,
    actor: User | None,
    reason: str,
    now: datetime,
    *,
    referral_id: int | None = None,
    customer_id: int | None = None,
    flag_id: int | None = None,
) -> Decision:
    decision = Decision.objects.create(
        action=action,
        actor=actor,
        decided_at=now,
        referral_id=referral_id,
        customer_id=customer_id,
        flag_id=flag_id,
    )
    DecisionReason.objects.create(decision=decision, text=reason.strip())
    return decision

"""How a reward's amount comes about, step by step, for the pages that show it (TERMS: What the referrer earns)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from djmoney.money import Money

from credits.models import RewardKind
from referrals.models import Clawback, ProgrammeTerms, Referral, Reward
from referrals.terms import CENT, ZERO


@dataclass(frozen=True)
class Reckoning:
    """What was earned, and the facts and numbers that it was computed from; the share only for a bonus.

    `above` is how far the spend in the window exceeds the threshold, `share` the rate's part of it before the cap.
    """

    kind: str
    terms: ProgrammeTerms
    qualifying_spend: Money
    window_spend: Money
    earned: Money
    refused: bool
    above: Decimal
    share: Decimal
    most: Decimal

    @property
    def is_qualified(self) -> bool:
        return bool(self.qualifying_spend.amount >= self.terms.qualifying_threshold)

    @property
    def is_capped(self) -> bool:
        return self.share > self.most


def reckoning(
    *,
    kind: str,
    terms: ProgrammeTerms,
    qualifying_spend: Money,
    window_spend: Money,
    earned: Money,
    refused: bool,
) -> Reckoning:
    """Lay out how `earned` follows from the sums and the terms. Pure."""
    above = max(ZERO, window_spend.amount - terms.qualifying_threshold)
    return Reckoning(
        kind=kind,
        terms=terms,
        qualifying_spend=qualifying_spend,
        window_spend=window_spend,
        earned=earned,
        refused=refused,
        above=above,
        share=(terms.bonus_rate * above).quantize(CENT, rounding=ROUND_HALF_UP),
        most=terms.cap_per_friend - terms.payout,
    )


def present_reckoning(referral: Referral, kind: RewardKind) -> Reckoning:
    """Return how the referral's payout or bonus comes about now; its terms are loaded with it."""
    return reckoning(
        kind=kind,
        terms=referral.terms,
        qualifying_spend=referral.qualifying_spend,
        window_spend=referral.window_spend,
        earned=referral.payout_earned if kind == RewardKind.PAYOUT else referral.bonus_earned,
        refused=referral.refused_at is not None,
    )


def recorded_reckoning(move: Reward | Clawback, terms: ProgrammeTerms) -> Reckoning:
    """Return how what was earned came about when a grant or a clawback was made, from what it recorded."""
    return reckoning(
        kind=move.kind,
        terms=terms,
        qualifying_spend=move.qualifying_spend,
        window_spend=move.window_spend,
        earned=move.earned,
        refused=isinstance(move, Clawback) and move.refused,
    )

"""What the console's first page reads: credit, what is coming, what is owed, and the next step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from credits.queries import Balance, Expiring, balance, soonest_expiring
from referrals.models import ProgrammeTerms
from referrals.queries.console import is_referred, terms_at
from referrals.queries.coupons import Debts, debts_of
from referrals.queries.figures import Figures, figures
from referrals.queries.friends import Coming, Friend, coming_soonest
from referrals.queries.standing import Standing, customer_with_standing, standing_of

SHOWN = 5


@dataclass(frozen=True)
class OverviewPage:
    """What Overview shows; `coming` are the rewards that fall due next, each with its friend."""

    standing: Standing
    was_referred: bool
    terms: ProgrammeTerms
    balance: Balance
    soonest: Expiring | None
    figures: Figures
    coming: list[tuple[Friend, Coming]]
    debts: Debts


def overview_page(*, customer_id: int, now: datetime) -> OverviewPage:
    """Return how the customer's account stands. Seven statements."""
    customer = customer_with_standing(customer_id)
    standing = standing_of(customer, now=now)
    return OverviewPage(
        standing=standing,
        was_referred=is_referred(customer),
        terms=terms_at(now),
        balance=balance(customer_id=customer_id, now=now),
        soonest=soonest_expiring(customer_id=customer_id, now=now),
        figures=figures(customer_id=customer_id, link_id=standing.link_id, is_disqualified=standing.is_disqualified),
        coming=[] if standing.is_disqualified else coming_soonest(customer_id=customer_id, number=SHOWN, now=now),
        debts=debts_of(customer_id),
    )

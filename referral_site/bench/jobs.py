"""The jobs, in the order in which they run; and which cohorts of the seed each works on."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from referral_site.bench.api import ApiSpend
from referral_site.bench.api_lists import ApiLists
from referral_site.bench.api_redemptions import ApiRedeem
from referral_site.bench.books import Audit
from referral_site.bench.imports import LargeImport, RefundImport, SpendImport
from referral_site.bench.job import Job
from referral_site.bench.landing import Landing
from referral_site.bench.pages import CouponsPage, FriendPage, ReferPage
from referral_site.bench.redemptions import Redeem, RedeemInCrowd
from referral_site.bench.seed import FRIENDS_EACH, LATE, NOTHING, PAYOUT_ONLY, WITH_BONUS, Cohort, registered_at
from referral_site.bench.sweeps import Bonus, Expiry, NothingDue, Payout, PinnedSnapshot, TwoWorkers

# Whoever settles the bonuses of a customer settles the payouts too, so that all payouts come first. After the
# audit come the pages, whose friends are no true story.
JOBS: tuple[type[Job], ...] = (
    SpendImport,
    RefundImport,
    ApiSpend,
    LargeImport,
    Payout,
    TwoWorkers,
    PinnedSnapshot,
    Bonus,
    Expiry,
    NothingDue,
    Redeem,
    RedeemInCrowd,
    ApiRedeem,
    Landing,
    Audit,
    ReferPage,
    FriendPage,
    CouponsPage,
    ApiLists,
)
# In order of registration: what is due for one group is due before what is due for the next one.
GROUPS = ("swept", "shared", "pinned", "imported")


def sizes(jobs: Sequence[type[Job]]) -> dict[str, int]:
    """Return how many cohorts of each group these jobs need: one a turn of the job with the most turns."""
    return {group: max((2 * job.rounds for job in jobs if job.cohorts == group), default=0) for group in GROUPS}


def first_cohort(job: type[Job], jobs: Sequence[type[Job]]) -> int:
    """Return the first cohort of a job among these jobs."""
    before = takewhile(lambda group: group != job.cohorts, GROUPS)
    return sum(sizes(jobs)[group] for group in before)


def least_cohorts(jobs: Sequence[type[Job]]) -> int:
    """Return how many cohorts the referrals must make at least, for a referrer to have one friend in each."""
    needed = sum(sizes(jobs).values())
    return needed if all(job.share < FRIENDS_EACH for job in jobs) else max(needed, FRIENDS_EACH)


def cohorts_of(jobs: Sequence[type[Job]]) -> list[Cohort]:
    """Return the cohorts that these jobs need, in order, and after them the one of everybody else.

    Whoever is not told otherwise has a bonus that no turn finds due: in life, too, much more is owed than due.
    """
    alike: dict[str, dict[str, Any]] = {
        "swept": {"spend": WITH_BONUS if Bonus in jobs else PAYOUT_ONLY, "is_paid": Payout not in jobs},
        "shared": {"is_paid": False},
        "pinned": {"is_paid": False},
        "imported": {"registered_at": LATE, "spend": NOTHING},
    }
    groups = [group for group, size in sizes(jobs).items() for _ in range(size)]
    return [
        Cohort(**{"registered_at": registered_at(number), "spend": WITH_BONUS, **alike.get(group, {})})
        for number, group in enumerate([*groups, ""])
    ]

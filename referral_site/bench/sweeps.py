"""The jobs of settlement."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import connection, transaction

from referral_site.bench import raw_sql
from referral_site.bench.crowd import Crowd
from referral_site.bench.job import Job
from referral_site.bench.seed import BASE, PARTS, due_at
from referrals.operations import Due, settle, track

REWARDS = ("referrals_referral", "referrals_reward", "credits_coupon", "credits_couponentry")
COUPONS = ("credits_coupon", "credits_couponentry")


class Sweep(Job):
    """A settlement of all that fell due since the turn before."""

    needs = frozenset({"referrals", "welcomes"})
    cohorts = "swept"
    due: ClassVar[Due]
    statement: ClassVar[str]
    days: ClassVar[int]

    def at(self, turn: int) -> datetime:
        """The instant of the turn: its cohort is due, and later cohorts are not."""
        return due_at(self.days, self.cohort(turn))

    def proof_of(self, turn: int) -> dict[str, Any]:
        return {"at": self.at(turn)}

    def ours(self, turn: int) -> None:
        settle(as_of=self.at(turn), now=self.at(turn), due=[self.due])

    def raw(self, turn: int) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(self.statement, {"at": self.at(turn)})


class Payout(Sweep):
    """Payouts of $20, one a referrer."""

    name = "payout"
    tables = REWARDS
    due = Due.PAYOUT
    statement = raw_sql.GRANT["payout"]
    days = 30
    proof = """
        SELECT count(*), sum(reward.amount), sum(coupon.remaining), sum(entry.amount), sum(payout_granted),
               sum(bonus_granted), min(coupon.expires_at - coupon.issued_at)
        FROM referrals_reward AS reward
        JOIN referrals_referral AS referral ON referral.id = reward.referral_id
        JOIN credits_coupon AS coupon ON coupon.id = reward.coupon_id
        JOIN credits_couponentry AS entry ON entry.coupon_id = coupon.id
        WHERE reward.granted_at = %(at)s
    """


class TwoWorkers(Payout):
    """The payout sweep by two processes at once, beside one: the ratio is the gain."""

    name = "two-workers"
    cohorts = "shared"
    rounds = 2

    def prepare(self, turn: int, *, raw: bool) -> None:
        """Gather the workers; beside two there is one, in a process of its own too."""

        def work(worker: int, alone: bool) -> None:
            if not (alone and worker):
                settle(as_of=self.at(turn), now=self.at(turn), due=[self.due])

        self.crowd = Crowd(clients=2, work=work)

    def ours(self, turn: int) -> None:
        self.crowd.run(raw=False)

    def raw(self, turn: int) -> None:
        self.crowd.run(raw=True)


class PinnedSnapshot(Payout):
    """The payout sweep while a report holds an old snapshot open, beside the same without.

    Before, under that very snapshot, each friend's spend was tracked and a part of the cohort was paid, time and again:
    so many dead versions lie there, and no vacuum can remove them.
    """

    name = "pinned-snapshot"
    needs = Payout.needs | {"spend"}
    cohorts = "pinned"
    rounds = 2
    piles = PARTS // 2
    report: Any = None

    @property
    def rows(self) -> int:
        return sum(len(range(part, self.scale.due, PARTS)) for part in range(self.piles, PARTS))

    def prepare(self, turn: int, *, raw: bool) -> None:
        """Open the report, on our own side, and pile up dead versions on both."""
        if not raw:
            self.report = connection.copy()
            with self.report.cursor() as cursor:
                cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("SELECT FROM referrals_referral LIMIT 1")
        for part in range(self.piles):
            at = due_at(self.days, self.cohort(turn), minutes=part)
            self.spend(turn, part, at)
            track(now=at)
            settle(as_of=at, now=at, due=[self.due])

    def spend(self, turn: int, part: int, at: datetime) -> None:
        """Record a payment of a dollar by each friend of the cohort, as a batch that is not applied yet."""
        parameters: dict[str, Any] = {"part": part, "at": at, **self.scale.friends_in_sql(self.cohort(turn))}
        with connection.cursor() as cursor:
            cursor.execute(raw_sql.SPEND_A_DOLLAR, parameters)

    def ours(self, turn: int) -> None:
        settle(as_of=self.at(turn), now=self.at(turn), due=[self.due])

    def raw(self, turn: int) -> None:
        self.ours(turn)

    def finish(self, turn: int) -> None:
        """Close the report."""
        if self.report:
            self.report.close()
            self.report = None


class Bonus(Payout):
    """Bonuses of $10.01, one a referrer."""

    name = "bonus"
    due = Due.BONUS
    statement = raw_sql.GRANT["bonus"]
    days = 120


class Expiry(Sweep):
    """Welcome coupons past their last day, one a customer."""

    name = "expiry"
    tables = COUPONS
    due = Due.EXPIRY
    statement = raw_sql.EXPIRE
    days = 180
    proof = """
        SELECT count(*), sum(coupon.remaining), sum(coupon.expired), sum(entry.amount)
        FROM credits_couponentry AS entry JOIN credits_coupon AS coupon ON coupon.id = entry.coupon_id
        WHERE entry.type = 'EXPIRE' AND entry.recorded_at = %(at)s
    """


class NothingDue(Job):
    """A settlement that finds nothing to do, among all referrals; raw asks the same questions.

    All payouts were due long ago and are granted; the bonuses are owed, and not due yet.
    """

    name = "nothing-due"
    needs = frozenset({"referrals", "welcomes"})
    at = BASE + timedelta(days=60)
    questions: ClassVar[Sequence[str]] = raw_sql.NOTHING_DUE

    @property
    def rows(self) -> int:
        return self.scale.referrals

    def ours(self, turn: int) -> None:
        settle(as_of=self.at, now=self.at)

    def raw(self, turn: int) -> None:
        with connection.cursor() as cursor:
            for statement in self.questions:
                cursor.execute(statement, {"at": self.at})
                assert not cursor.fetchall()

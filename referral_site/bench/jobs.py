"""The jobs: each with the engine's own way, the raw way beside it, and the proof that both wrote the same."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

from django.core.management import call_command
from django.db import connection, transaction
from djmoney.money import Money

from billing.signals import spend_recorded
from credits.operations import redeem
from referral_site.bench import crowd, raw_sql
from referral_site.bench.seed import BASE, BONUS, CLASSES, EXPIRY, IMPORT, PAYOUT, Scale, due_at
from referrals.operations import Due, settle, track
from referrals.receivers import hint_at_new_spend

SPEND = ("billing_spendevent", "referrals_referral")
REWARDS = ("referrals_referral", "referrals_reward", "credits_coupon", "credits_couponentry")
COUPONS = ("credits_coupon", "credits_couponentry")
REDEMPTIONS = (*COUPONS, "credits_redemption")
# A redemption takes the whole of two coupons of $5 and a part of the third.
ACROSS_THREE = Money("11.00", "USD")


class Job:
    """One job of the engine; a turn is one class of the seeded referrals, done by one side."""

    name: ClassVar[str]
    # What is vacuumed and analysed before each turn, so that no turn pays for the one before.
    tables: ClassVar[Sequence[str]] = ()
    # One row of figures on what a turn wrote, the same for each.
    proof: ClassVar[str] = ""

    def __init__(self, scale: Scale, folder: Path) -> None:
        self.scale = scale
        self.folder = folder

    @property
    def rows(self) -> int:
        """How many rows of work a turn has."""
        return self.scale.slice

    def prepare(self, turn: int) -> None:
        """Make ready what is not measured."""

    def ours(self, turn: int) -> None:
        """Do the turn the engine's way."""
        raise NotImplementedError

    def raw(self, turn: int) -> None:
        """Do the turn by raw SQL, in one transaction."""
        raise NotImplementedError

    def written(self, turn: int) -> tuple[Any, ...]:
        """Say what the turn wrote."""
        if not self.proof:
            return ()
        with connection.cursor() as cursor:
            cursor.execute(self.proof, self.proof_of(turn))
            return tuple(cursor.fetchone())

    def proof_of(self, turn: int) -> dict[str, Any]:
        """The parameters of the proof."""
        raise NotImplementedError


class SpendImport(Job):
    """A file of payments, two a friend and one line in a hundred twice: imported, then tracked."""

    name = "import"
    tables = SPEND
    proof = """
        SELECT count(*), sum(qualifying_spend), sum(window_spend), count(payout_due_at), sum(bonus_earned),
               (SELECT count(*) FROM billing_spendevent
                WHERE source = 'billing' AND customer_id %% %(classes)s = %(class)s)
        FROM referrals_referral WHERE friend_id %% %(classes)s = %(class)s AND qualifying_spend > 0
    """
    file = """
        COPY (
            SELECT 'bench-' || friend || '-' || n AS event_id, 'bench-' || friend AS account_id, 'payment' AS type,
                   'ecs' AS product, 'USD' AS currency, CASE n WHEN 1 THEN '15.00' ELSE '35.30' END AS amount,
                   CASE n WHEN 1 THEN '2025-11-06T09:00:00Z' ELSE '2025-12-03T10:30:00+01:00' END AS occurred_at,
                   '' AS payment_id
            FROM generate_series({first}, {friends}, {classes}) AS friend, generate_series(1, 2) AS n,
                 generate_series(1, CASE WHEN friend / {classes} %% 50 = 0 AND n = 1 THEN 2 ELSE 1 END) AS again
            ORDER BY hashint8(friend), n
        ) TO STDOUT WITH (FORMAT csv, HEADER)
    """

    @property
    def rows(self) -> int:
        return 2 * self.scale.slice

    @property
    def path(self) -> Path:
        return self.folder / "spend.csv"

    def proof_of(self, turn: int) -> dict[str, Any]:
        return {"classes": CLASSES, "class": IMPORT[turn]}

    def prepare(self, turn: int) -> None:
        statement = self.file.format(first=IMPORT[turn], friends=self.scale.referrals, classes=CLASSES)
        with connection.cursor() as cursor, self.path.open("w") as file:
            cursor.copy_expert(statement.replace("%%", "%"), file)

    def ours(self, turn: int) -> None:
        with no_hint():
            call_command("import_spend", str(self.path), stdout=StringIO())
        track(now=BASE)

    def raw(self, turn: int) -> None:
        with transaction.atomic(), connection.cursor() as cursor, self.path.open() as file:
            cursor.execute(raw_sql.STAGE)
            cursor.copy_expert(raw_sql.COPY, file)
            cursor.execute(raw_sql.RECORD_AND_AGGREGATE, {"now": BASE})


@contextmanager
def no_hint() -> Iterator[None]:
    """Leave the broker alone: it is not the database's time, and its queue is not ours."""
    spend_recorded.disconnect(hint_at_new_spend)
    try:
        yield
    finally:
        spend_recorded.connect(hint_at_new_spend)


class Sweep(Job):
    """A settlement of all that fell due since the turn before."""

    due: ClassVar[Due]
    statement: ClassVar[str]
    days: ClassVar[int]
    classes: ClassVar[range]

    def at(self, turn: int) -> datetime:
        """The instant of the turn: its class is due, and the classes of later turns are not."""
        return due_at(self.days, self.classes[turn])

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
    classes = PAYOUT
    proof = """
        SELECT count(*), sum(reward.amount), sum(coupon.remaining), sum(entry.amount), sum(payout_granted),
               sum(bonus_granted), min(coupon.expires_at - coupon.issued_at)
        FROM referrals_reward AS reward
        JOIN referrals_referral AS referral ON referral.id = reward.referral_id
        JOIN credits_coupon AS coupon ON coupon.id = reward.coupon_id
        JOIN credits_couponentry AS entry ON entry.coupon_id = coupon.id
        WHERE reward.granted_at = %(at)s
    """

    def proof_of(self, turn: int) -> dict[str, Any]:
        return {"at": self.at(turn)}


class Bonus(Payout):
    """Bonuses of $10.01, one a referrer."""

    name = "bonus"
    due = Due.BONUS
    statement = raw_sql.GRANT["bonus"]
    days = 120
    classes = BONUS


class Expiry(Sweep):
    """Welcome coupons past their last day, one a customer."""

    name = "expiry"
    tables = COUPONS
    due = Due.EXPIRY
    statement = raw_sql.EXPIRE
    days = 180
    classes = EXPIRY
    proof = """
        SELECT count(*), sum(coupon.remaining), sum(coupon.expired), sum(entry.amount)
        FROM credits_couponentry AS entry JOIN credits_coupon AS coupon ON coupon.id = entry.coupon_id
        WHERE entry.type = 'EXPIRE' AND entry.recorded_at = %(at)s
    """

    def proof_of(self, turn: int) -> dict[str, Any]:
        return {"at": self.at(turn)}


class NothingDue(Job):
    """A settlement that finds nothing to do, among all referrals; raw asks the same questions."""

    name = "nothing-due"
    at = BASE + timedelta(days=1)

    @property
    def rows(self) -> int:
        return self.scale.referrals

    def ours(self, turn: int) -> None:
        settle(as_of=self.at, now=self.at)

    def raw(self, turn: int) -> None:
        with connection.cursor() as cursor:
            for statement in raw_sql.NOTHING_DUE:
                cursor.execute(statement, {"at": self.at})
                assert not cursor.fetchall()


class Redeem(Job):
    """Redemptions of $11 across three coupons of $5, one a customer, one after the other on one connection."""

    name = "redemption"
    tables = REDEMPTIONS
    at = BASE + timedelta(days=2)
    proof = """
        SELECT count(*), sum(redemption.amount), sum(spent), sum(entries)
        FROM credits_redemption AS redemption CROSS JOIN LATERAL (
            SELECT sum(amount) AS spent, count(*) AS entries FROM credits_couponentry
            WHERE redemption_id = redemption.id
        ) AS entry WHERE redemption_id LIKE %(names)s
    """

    @property
    def rows(self) -> int:
        return self.scale.redemptions

    def proof_of(self, turn: int) -> dict[str, Any]:
        return {"names": f"{turn}-%"}

    def customers(self, turn: int) -> range:
        """The customers of the turn, who have not redeemed yet."""
        first = self.scale.referrals + 1 + turn * self.rows
        return range(first, first + self.rows)

    def ours(self, turn: int) -> None:
        for customer in self.customers(turn):
            redeem(
                source="bench",
                redemption_id=f"{turn}-{customer}",
                customer_id=customer,
                amount=ACROSS_THREE,
                occurred_at=self.at,
                now=self.at,
            )

    def raw(self, turn: int) -> None:
        for customer in self.customers(turn):
            crowd.redeem_raw(name=f"{turn}-{customer}", customer=customer, amount=ACROSS_THREE.amount, at=self.at)


class RedeemInCrowd(Redeem):
    """Redemptions of one cent on one account, from 16 connections at once."""

    name = "redemption-one-account-16-clients"

    @property
    def rows(self) -> int:
        return crowd.CLIENTS * self.each

    @property
    def each(self) -> int:
        """How many redemptions each client has."""
        return max(2, self.scale.redemptions // 10)

    def proof_of(self, turn: int) -> dict[str, Any]:
        return {"names": f"crowd-{turn}-%"}

    def prepare(self, turn: int) -> None:
        """Gather the clients, all for the last referrer's account."""
        account = self.scale.referrals + self.scale.referrers
        self.crowd = crowd.Crowd(turn=turn, customer=account, each=self.each, at=self.at)

    def ours(self, turn: int) -> None:
        self.crowd.redeem(raw=False)

    def raw(self, turn: int) -> None:
        self.crowd.redeem(raw=True)


JOBS: tuple[type[Job], ...] = (SpendImport, Payout, Bonus, Expiry, NothingDue, Redeem, RedeemInCrowd)

"""The demo's story: a referrer whose friends stand at every stage, told through the operations of the product.

Every instant is counted in days before the demo is loaded, so that the story holds on any day.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction

from accounts.models import AccountType, User
from accounts.operations import AccountFact, Identity, import_accounts, pass_verification
from accounts.operations.demo_clock import hire_demo_staff, open_demo_login
from accounts.retries import retried
from billing.gateways import Card
from billing.operations import SpendFact, add_card, check_out, record_spend
from billing.queries.checkout import Wanted, quote
from credits.operations import RedemptionFact, record_redemptions
from referrals.models import FraudFlag, Referral
from referrals.operations import settle
from referrals.operations.decisions import open_flag, refuse

REFERRER = "referrer@example.com"
FRIEND = "friend@example.com"
STAFF = "staff@example.com"
LOGINS = (REFERRER, FRIEND, STAFF)

SOURCE = "billing"
REFERRER_ID = "demo-referrer"
REFERRER_JOINED = 330
IDENTITY = Identity("US", "passport", "demo-referrer")


class Friend(NamedTuple):
    """A friend of the referrer: when they registered, and what they paid when, in days before the demo is loaded."""

    name: str
    registered: int
    payments: tuple[tuple[int, str, str], ...] = ()

    @property
    def account_id(self) -> str:
        return f"demo-{self.name}"

    @property
    def email(self) -> str:
        return f"{self.name}@example.com"


# No two in one month, by which the pages tell them apart.
FRIENDS = (
    Friend("amelia", 320, ((315, "ecs", "120.00"),)),  # all paid; a part of the payout expired unused
    Friend("carlos", 223, ((165, "rds", "20.00"),)),  # paid, partly spent, then charged back: a debt
    Friend("beatriz", 192, ((145, "ecs", "220.00"), (120, "oss", "100.00"))),  # payout and bonus paid
    Friend("gustav", 161, ((150, "ecs-gpu", "30.00"),)),  # refused
    Friend("fatima", 130, ((45, "ecs", "45.00"),)),  # under review
    Friend("dmitri", 99, ((60, "polardb", "80.00"),)),  # payout paid, the bonus on its way
    Friend("elena", 68, ((27, "ecs", "25.00"),)),  # $20 arriving in 3 days
    Friend("hiro", 37, ((10, "waf", "12.50"), (9, "domain", "15.00"))),  # part way; domains do not count
    Friend("friend", 6),  # joined, nothing spent yet
)

# What the referrer paid: it earns nobody anything, for nobody referred them.
OWN_PAYMENTS = ((240, "ecs", "64.00"), (130, "cdn", "18.40"), (41, "domain", "12.00"))


@retried
def load_demo(*, now: datetime) -> bool:
    """Load the demo's people and what happened to them; False, and nothing done, where they are there already.

    One transaction: the story is told whole or not at all; what is ordered at our own checkout comes after it. Takes an
    advisory lock, so that it is told once.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('demo'))")
        if User.objects.filter(account_id=REFERRER_ID).exists():
            return False
        Story(now).tell()
    order_here(now=now - timedelta(hours=1))
    return True


def order_here(*, now: datetime) -> None:
    """Let the referrer order at our own checkout: the trial pays for servers, a card for a domain.

    Apart from the story, for no gateway is asked within a transaction; the key lets it happen once.
    """
    customer_id, wanted = user_of(REFERRER_ID).pk, [Wanted("ecs", 2), Wanted("domain", 1)]
    seen = quote(customer_id=customer_id, wanted=wanted, now=now).seen
    check_out(customer_id=customer_id, key="demo", wanted=wanted, seen=seen, now=now)


@dataclass(frozen=True)
class Story:
    """What happened, up to `now`."""

    now: datetime

    def tell(self) -> None:
        """Let it happen in its order: who came, what they paid, what came of it, and what was doubted."""
        self.bring_people()
        self.let_the_referrer_refer()
        self.record_payments()
        self.settle_at(285)
        self.redeem("demo-order-1", "12.00", days=205)
        self.settle_at(200)
        self.refuse_gustav(days=140)
        self.settle_at(135, 115, 105)
        self.redeem("demo-order-2", "16.00", days=90)
        self.settle_at(72, 30)
        self.doubt_fatima(days=28)
        self.charge_back_carlos(days=5)
        self.settle_at(5)
        self.redeem("demo-order-3", "7.00", days=2)
        self.settle_at(0)
        self.open_logins()

    @retried
    def bring_people(self) -> None:
        referrer = AccountFact(1, REFERRER_ID, REFERRER, "individual", "US", self.written(REFERRER_JOINED), "")
        friends = [
            AccountFact(n, f.account_id, f.email, "individual", "US", self.written(f.registered), REFERRER_ID)
            for n, f in enumerate(FRIENDS, start=2)
        ]
        import_accounts(facts=[referrer, *friends], now=self.now)

    def let_the_referrer_refer(self) -> None:
        referrer, at = user_of(REFERRER_ID), self.ago(REFERRER_JOINED - 1)
        card = Card("sandbox-demo-referrer", "visa", "4242", 12, self.now.year + 3, "demo-referrer")
        add_card(customer_id=referrer.pk, gateway="sandbox", card=card, now=at)
        pass_verification(user_id=referrer.pk, identity=IDENTITY, account_type=AccountType.INDIVIDUAL, now=at)

    def record_payments(self) -> None:
        paid = [(REFERRER_ID, OWN_PAYMENTS), *((friend.account_id, friend.payments) for friend in FRIENDS)]
        payments = [
            (f"{account_id}-paid-{n}", account_id, product, amount, days)
            for account_id, theirs in paid
            for n, (days, product, amount) in enumerate(theirs, start=1)
        ]
        facts = [
            SpendFact(line, event_id, account_id, "payment", product, "USD", amount, self.written(days), "")
            for line, (event_id, account_id, product, amount, days) in enumerate(payments, start=1)
        ]
        record_spend(source=SOURCE, facts=facts, now=self.now)

    def charge_back_carlos(self, *, days: int) -> None:
        """His bank takes the payment back when a part of what it earned is spent already: a debt."""
        fact = SpendFact(
            1,
            "demo-carlos-back",
            "demo-carlos",
            "chargeback",
            "",
            "USD",
            "20.00",
            self.written(days),
            "demo-carlos-paid-1",
        )
        record_spend(source=SOURCE, facts=[fact], now=self.ago(days))

    def redeem(self, redemption_id: str, amount: str, *, days: int) -> None:
        fact = RedemptionFact(1, redemption_id, REFERRER_ID, amount, self.written(days))
        record_redemptions(source=SOURCE, facts=[fact], now=self.ago(days))

    def doubt_fatima(self, *, days: int) -> None:
        open_flag(
            referral_id=referral_of("demo-fatima").pk,
            rule="same_card",
            severity=FraudFlag.Severity.HOLD,
            evidence={"shared_with": "another friend"},
            actor=None,
            reason="Her card is that of another friend.",
            now=self.ago(days),
        )

    def refuse_gustav(self, *, days: int) -> None:
        refuse(
            referral_id=referral_of("demo-gustav").pk,
            actor=None,
            reason="The same person as an older account.",
            now=self.ago(days),
        )

    def settle_at(self, *days: int) -> None:
        for instant in map(self.ago, days):
            settle(as_of=instant, now=instant)

    def open_logins(self) -> None:
        password = settings.DEMO_PASSWORD
        for email in (REFERRER, FRIEND):
            open_demo_login(email=email, password=password)
        hire_demo_staff(email=STAFF, password=password, now=self.now)

    def ago(self, days: int) -> datetime:
        """The instant `days` before now."""
        return self.now - timedelta(days=days)

    def written(self, days: int) -> str:
        """The same as a file has it."""
        return self.ago(days).isoformat()


def user_of(account_id: str) -> User:
    return User.objects.get(account_id=account_id)


def referral_of(friend_id: str) -> Referral:
    return Referral.objects.get(friend__account_id=friend_id)

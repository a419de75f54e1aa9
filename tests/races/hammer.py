"""One process of the hammer: random operations through the product's doors, each with what it was told in a log.

    python -m tests.races.hammer SEED OPERATIONS SECONDS LOG [without-spend-lock|without-credit-lock]

on the database that DATABASE_URL names. It ends after so many operations or seconds, whichever comes first.
The locks are taken out for the controls only.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

JANUARY_TO_JUNE, FEBRUARY_TO_OCTOBER = (0, 150), (31, 300)
"""Days after the first of January."""

OWN_IDS, SHARED_IDS = 400, 60
"""Ids of payments: so many a process, which others may reverse; and so many that all processes send."""

REFUSES = (
    "UnableToDecide",
    "UnableToRedeem",
    "UnableToGiveBack",
    "UnableToSignUp",
    "UnableToVerify",
    "UnableToAddPaymentMethod",
)

GO = "go"
"""The file beside the logs whose presence is the sign to begin."""

OVERTAKEN = "another process"
"""Two processes import files with the same content: the command says so, and the other tells what became of it."""


def main(seed: int, operations: int, seconds: float, log: Path, *, without: str) -> None:
    import django

    django.setup()
    hash_passwords_quickly()
    take_out(without)
    with log.open("w", encoding="utf-8") as lines, TemporaryDirectory() as folder:
        # Without a lock of spend or credit, all blows go where it is missing.
        hammer = Hammer(seed, Path(folder), with_newcomers=not without)
        wait_for_the_others(log)
        deadline = monotonic() + seconds
        for _ in range(operations):
            if monotonic() > deadline:
                break
            lines.write(json.dumps(hammer.strike()) + "\n")
        lines.write(json.dumps(hammer.conflicts()) + "\n")


def wait_for_the_others(log: Path) -> None:
    """Say that this process is ready, and wait for the sign to begin: the first to come would have no rivals."""
    log.with_suffix(".ready").touch()
    while not log.with_name(GO).exists():
        sleep(0.01)


def hash_passwords_quickly() -> None:
    """Hash them as all tests do: the product takes its time on purpose."""
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def take_out(lock: str) -> None:
    """Take a lock out of this process."""
    from billing.operations import spend, spend_sql
    from credits.operations import redemptions, returns
    from referrals.operations import settlement

    judge = spend._judge_tangled

    def judge_and_linger(*batch: Any) -> Any:
        """Let others come between what is read and what is written: few would by themselves."""
        judgement = judge(*batch)
        sleep(0.03)
        return judgement

    def lock_nothing(*, customer_ids: list[int], skip_locked: bool = False) -> list[int]:
        return customer_ids

    if lock == "without-spend-lock":
        spend_sql.LOCK_IDS = "SELECT %(source)s"
        spend._judge_tangled = judge_and_linger  # type: ignore[assignment]
    if lock == "without-credit-lock":
        for module in (redemptions, returns, settlement):
            module.lock_accounts = lock_nothing  # type: ignore[attr-defined]


class Hammer:
    """Strikes at random, and says what it did and what it was told."""

    def __init__(self, seed: int, folder: Path, *, with_newcomers: bool) -> None:
        from referrals.models import Referral
        from tests.races.hammer_newcomers import Newcomers, gathered

        self.random = Random(seed)
        self.seed = seed
        self.folder = folder
        self.strikes = 0
        self.people = list(gathered())
        self.friends = [user for user in self.people if user.signup_attribution]
        referrals = Referral.objects.filter(friend__in=self.people).order_by("pk")
        self.referrers = list(gathered().filter(pk__in=referrals.values("referrer")))
        self.referrals = list(referrals.values_list("pk", flat=True))
        self.acts: list[tuple[int, Callable[[], dict[str, Any]]]] = [
            (30, self.spend),
            (6, self.spend_file),
            (20, self.redeem),
            (5, self.redemptions),
            (12, self.give_back),
            (8, self.settle),
            (5, self.track),
            (4, self.open_flag),
            (4, self.release_flag),
            (3, self.refuse),
            (3, self.lift),
            (1, self.disqualify),
            (2, self.reinstate),
        ]
        if with_newcomers:
            self.acts += Newcomers(self.random, seed, folder).acts

    def strike(self) -> dict[str, Any]:
        """Do something; return what, and what came of it. An error that no door foresees is what the test looks for."""
        self.strikes += 1
        (act,) = self.random.choices([act for _, act in self.acts], [weight for weight, _ in self.acts])
        try:
            return {"act": act.__name__, "refused": "", **act()}
        except Exception as problem:  # noqa: BLE001 - the test looks at what was raised
            name = type(problem).__name__
            if name in REFUSES:
                return {"act": act.__name__, "refused": getattr(problem, "code", name)}
            if name == "CommandError" and OVERTAKEN in str(problem):
                return {"act": act.__name__, "refused": "overtaken"}
            return {"act": act.__name__, "error": f"{name}: {problem}"}

    def conflicts(self) -> dict[str, Any]:
        """Return how often the database has undone something."""
        from accounts.retries import conflicts

        return {"act": "conflicts", "counts": [[*key, count] for key, count in conflicts.counts().items()]}

    # Spend

    def spend(self) -> dict[str, Any]:
        """Send a batch as the API would."""
        from billing.operations import record_spend

        facts = self.facts()
        receipt = record_spend(source="billing", facts=facts, now=now())
        refusals = [[refusal.line, refusal.fact["event_id"]] for refusal in receipt.refusals]
        return self.said(facts, receipt.tally.accepted, receipt.tally.waiting, refusals)

    def spend_file(self) -> dict[str, Any]:
        """Import a file by the command."""
        from django.core.management import call_command

        facts = [fact._replace(line=line) for line, fact in enumerate(self.facts(), start=2)]
        path, rejects, said = self.folder / "spend.csv", self.folder / "rejects.csv", io.StringIO()
        with path.open("w", newline="", encoding="utf-8") as lines:
            csv.writer(lines).writerows([facts[0]._fields[1:], *[fact[1:] for fact in facts]])
        call_command("import_spend", str(path), rejects=str(rejects), chunk_size=3, stdout=said)
        counts = dict(pair.split("=") for pair in said.getvalue().splitlines()[-1].split() if "=" in pair)
        with rejects.open(newline="", encoding="utf-8") as lines:
            refusals = [[int(row["line"] or 0) or None, row["event_id"]] for row in csv.DictReader(lines)]
        return self.said(facts, int(counts["accepted"]), int(counts["waiting"]), refusals)

    def said(self, facts: Sequence[Any], accepted: int, waiting: int, refusals: list[Any]) -> dict[str, Any]:
        refused = {line for line, _ in refusals}
        stand = [[one.type, one.event_id, one.account_id, one.amount] for one in facts if one.line not in refused]
        late = [event_id for line, event_id in refusals if line is None]
        return {"accepted": accepted, "waiting": waiting, "stand": stand, "late": late}

    def facts(self) -> list[Any]:
        lines = range(1, self.random.choice((1, 1, 2, 4, 8)) + 1)
        return [self.payment(line) if self.random.random() < 0.6 else self.reversal(line) for line in lines]

    def payment(self, line: int) -> Any:
        """A payment whose content follows from its id, so that it is the same whoever sends it; some are not."""
        from billing.operations import SpendFact

        event_id = self.payment_id(self.seed)
        content = Random(event_id)
        of, amount = content.choice(self.friends), content.randint(100, 9000)
        if self.random.random() < 0.03:
            amount += 1
        at = instant(content, JANUARY_TO_JUNE)
        product = content.choice(("ecs", "ecs", "rds", "cdn"))
        return SpendFact(line, event_id, of.account_id, "payment", product, "USD", cents(amount), at.isoformat(), "")

    def reversal(self, line: int) -> Any:
        """A reversal of a payment that somebody sends, has sent or never will."""
        from billing.operations import SpendFact

        shared = self.random.random() < 0.3
        event_id = f"r-shared-{self.random.randrange(SHARED_IDS)}" if shared else f"r-{self.seed}-{self.strikes}-{line}"
        content = Random(event_id)
        payment_id = self.payment_id(content.randrange(16), content)
        of = Random(payment_id).choice(self.friends)
        kind = content.choice(("refund", "refund", "chargeback", "chargeback_reversal"))
        amount = cents(content.randint(50, 6000))
        at = instant(content, FEBRUARY_TO_OCTOBER)
        return SpendFact(line, event_id, of.account_id, kind, "", "USD", amount, at.isoformat(), payment_id)

    def payment_id(self, seed: int, random: Random | None = None) -> str:
        random = random or self.random
        if random.random() < 0.5:
            return f"p-shared-{random.randrange(SHARED_IDS)}"
        return f"p-{seed}-{random.randrange(OWN_IDS)}"

    # Credit

    def redemption(self) -> tuple[str, Any, int, datetime]:
        shared = self.random.random() < 0.3
        name = f"o-shared-{self.random.randrange(SHARED_IDS)}" if shared else f"o-{self.seed}-{self.strikes}"
        content = Random(name)
        of = content.choice([*self.people, *self.referrers * 4])
        return name, of, content.randint(5, 300), instant(content, FEBRUARY_TO_OCTOBER)

    def redeem(self) -> dict[str, Any]:
        """Spend credit at a checkout."""
        from djmoney.money import Money

        from credits.operations import redeem

        name, customer, amount, at = self.redemption()
        redeem(
            source="billing",
            redemption_id=name,
            customer_id=customer.pk,
            amount=Money(cents(amount), "USD"),
            occurred_at=at,
            now=now(),
        )
        return {"redeemed": [[name, customer.account_id, cents(amount)]]}

    def redemptions(self) -> dict[str, Any]:
        """Send several redemptions, as a file does."""
        from credits.operations import RedemptionFact, record_redemptions

        facts = [
            RedemptionFact(line, f"{name}-f{line}", customer.account_id, cents(amount), at.isoformat())
            for line, (name, customer, amount, at) in enumerate([self.redemption() for _ in range(4)], start=2)
        ]
        receipt = record_redemptions(source="billing", facts=facts, now=now())
        refused = {refusal.line for refusal in receipt.refusals}
        return {"redeemed": [[one[1], one[2], one[3]] for one in facts if one.line not in refused]}

    def give_back(self) -> dict[str, Any]:
        """Refund a part of an order that somebody has placed."""
        from djmoney.money import Money

        from credits.models import Redemption
        from credits.operations import give_back

        redemption = Redemption.objects.select_related("customer__customer").order_by("?").first()
        if redemption is None:
            return {}
        return_id = f"b-{self.random.randrange(4)}"
        amount = cents(Random(f"{redemption.pk} {return_id}").randint(5, 100))
        give_back(
            source="billing",
            redemption_id=redemption.redemption_id,
            return_id=return_id,
            amount=Money(amount, "USD"),
            occurred_at=redemption.occurred_at + timedelta(days=1),
            now=now(),
        )
        return {"returned": [redemption.redemption_id, return_id, redemption.customer.customer.account_id, amount]}

    # The programme

    def settle(self) -> dict[str, Any]:
        """Settle everybody as of some instant."""
        from referrals.operations import Due, settle

        settled = settle(
            as_of=instant(self.random, FEBRUARY_TO_OCTOBER),
            now=now(),
            chunk_size=self.random.choice((1, 3, 1000)),
            due=self.random.choice((tuple(Due), tuple(Due), (self.random.choice(list(Due)),))),
            wait=self.random.random() < 0.7,
        )
        return {"granted": settled.granted, "amount": str(settled.amount)}

    def track(self) -> dict[str, Any]:
        from referrals.operations import track

        return {"tracked": track(now=now(), wait=self.random.random() < 0.5)}

    def open_flag(self) -> dict[str, Any]:
        from referrals.operations import open_flag

        severity = self.random.choice(("hold", "hold", "note"))
        open_flag(
            referral_id=self.random.choice(self.referrals),
            rule=self.random.choice(("same card", "same device")),
            severity=severity,
            evidence={},
            **self.decision(),
        )
        return {}

    def release_flag(self) -> dict[str, Any]:
        from referrals.models import FraudFlag
        from referrals.operations import release_flag

        open_flags = list(FraudFlag.objects.filter(closed_at=None).order_by("pk").values_list("pk", flat=True))
        if open_flags:
            release_flag(flag_id=self.random.choice(open_flags), **self.decision())
        return {}

    def refuse(self) -> dict[str, Any]:
        from referrals.operations import refuse

        refuse(referral_id=self.random.choice(self.referrals), **self.decision())
        return {}

    def lift(self) -> dict[str, Any]:
        from referrals.models import Referral
        from referrals.operations import lift_refusal

        refused = list(Referral.objects.exclude(refused_at=None).order_by("pk").values_list("pk", flat=True))
        lift_refusal(referral_id=self.random.choice(refused or self.referrals), **self.decision())
        return {}

    def disqualify(self) -> dict[str, Any]:
        from referrals.operations import disqualify

        disqualify(user_id=self.random.choice(self.referrers).pk, **self.decision())
        return {}

    def reinstate(self) -> dict[str, Any]:
        from accounts.models import User
        from referrals.operations import reinstate

        disqualified = list(User.objects.exclude(disqualified_at=None).order_by("pk").values_list("pk", flat=True))
        reinstate(user_id=self.random.choice(disqualified or [self.referrers[0].pk]), **self.decision())
        return {}

    def decision(self) -> dict[str, Any]:
        return {"actor": None, "reason": "a hammer", "now": now()}


def now() -> datetime:
    from tests.facts import NOW

    return NOW


def instant(random: Random, days: tuple[int, int]) -> datetime:
    from tests.facts import JANUARY

    return JANUARY + timedelta(days=random.randint(*days), seconds=random.randrange(86_400))


def cents(amount: int) -> str:
    return f"{amount // 100}.{amount % 100:02}"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "referral_site.settings")
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]), without="".join(sys.argv[5:]))

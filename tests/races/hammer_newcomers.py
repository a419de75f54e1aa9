"""What the hammer does to accounts: sign-ups, confirmations, files of accounts, verification, payment methods.

Needs Django to be set up. Every act says what it was told, for `test_hammer` to compare.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import time_machine
from allauth.account.models import EmailAddress
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.management import call_command
from django.db.models import QuerySet
from django.test import RequestFactory

from accounts.adapter import AccountAdapter
from accounts.models import AccountType, User
from accounts.operations import (
    AccountFact,
    Identity,
    add_payment_method,
    discard_unconfirmed,
    pass_verification,
    refuse_verification,
    remove_payment_method,
    sign_up,
)
from referrals.models import ReferralLink
from tests.facts import JANUARY, NOW

SHARED_ADDRESSES, SHARED_ACCOUNTS, OWN_ACCOUNTS, PERSONS = 40, 60, 150, 60
"""Addresses that all sign up and import with; ids that all import; ids that each imports; and documents they have."""

LONG_AGO = NOW - timedelta(days=30)
"""When those sign up who are discarded unless they confirm; nobody else signs up with their addresses."""

LINKED = "linked"
"""How the account ids begin whose links work throughout: they are left alone."""

TYPES = list(AccountType.values)


def gathered() -> QuerySet[User]:
    """Return those who were there before the hammer, the same to each process, however late it starts."""
    return User.objects.filter(account_id__regex="^(referrer|friend|linked)").order_by("pk")


class Newcomers:
    """Lets accounts come about, and says what it was told."""

    def __init__(self, random: Random, seed: int, folder: Path) -> None:
        self.random = random
        self.seed = seed
        self.folder = folder
        self.came = 0
        self.codes = list(
            ReferralLink.objects.filter(owner__in=gathered()).order_by("pk").values_list("code", flat=True)
        )
        self.known = list(gathered().values_list("account_id", flat=True))
        self.acts: list[tuple[int, Callable[[], dict[str, Any]]]] = [
            (12, self.sign_up),
            (8, self.confirm),
            (3, self.discard),
            (7, self.import_accounts),
            (7, self.verify),
            (1, self.refuse_verification),
            (6, self.payment_method),
        ]

    # Sign-ups

    def sign_up(self) -> dict[str, Any]:
        """Sign up as the form does, with a referral code or without."""
        self.came += 1
        is_old = self.random.random() < 0.3
        shared = f"newcomer-{self.random.randrange(SHARED_ADDRESSES)}@example.com"
        email = f"old-{self.seed}-{self.came}@example.com" if is_old else shared
        code = self.random.choice([*self.codes, ""])
        user = sign_up(
            email=self.random.choice((email, email.title())),
            password="correct-horse-battery",
            country="DE",
            attribution={"code": code, "typed": False} if code else {},
            now=LONG_AGO if is_old else NOW,
        )
        return {"signed_up": [user.account_id, email, code, is_old]}

    def confirm(self) -> dict[str, Any]:
        """Confirm an address of somebody who signed up, as the page with the mailed code does."""
        address = EmailAddress.objects.filter(user__registered_at=None).select_related("user").order_by("?").first()
        if address is None:
            return {}
        request = RequestFactory().get("/")
        request._messages = CookieStorage(request)  # type: ignore[attr-defined]
        with time_machine.travel(NOW, tick=False):
            confirmed = AccountAdapter(request).confirm_email(request, address)
        return {"confirmed": address.user.account_id} if confirmed else {"refused": "gone"}

    def discard(self) -> dict[str, Any]:
        """Discard who has not confirmed, as the job does."""
        return {"discarded": discard_unconfirmed(before=LONG_AGO + timedelta(days=7))}

    # Files of accounts

    def import_accounts(self) -> dict[str, Any]:
        """Import a file by the command."""
        facts = [self.account(line) for line in range(2, 2 + self.random.choice((1, 2, 3, 6)))]
        path, rejects, said = self.folder / "accounts.csv", self.folder / "rejected-accounts.csv", io.StringIO()
        with path.open("w", newline="", encoding="utf-8") as lines:
            csv.writer(lines).writerows([AccountFact._fields[1:], *[fact[1:] for fact in facts]])
        call_command("import_accounts", str(path), rejects=str(rejects), stdout=said)
        counts = dict(pair.split("=") for pair in said.getvalue().splitlines()[-1].split())
        with rejects.open(newline="", encoding="utf-8") as lines:
            refused = {int(row["line"]) for row in csv.DictReader(lines)}
        return {
            "imported": int(counts["accepted"]),
            "there": [list(fact[1:]) for fact in facts if fact.line not in refused],
        }

    def account(self, line: int) -> AccountFact:
        """An account whose content follows from its id, so that it is the same whoever sends it; some are not."""
        shared = self.random.random() < 0.5
        own = f"imported-{self.seed}-{self.random.randrange(OWN_ACCOUNTS)}"
        account_id = f"imported-shared-{self.random.randrange(SHARED_ACCOUNTS)}" if shared else own
        content = Random(account_id)
        name = content.choice((account_id, f"newcomer-{content.randrange(SHARED_ADDRESSES)}"))
        country = "FR" if self.random.random() < 0.05 else "DE"
        unsure = f"imported-shared-{content.randrange(SHARED_ACCOUNTS)}"
        referred_by = content.choice(("", content.choice(self.known), unsure))
        at = JANUARY + timedelta(days=content.randrange(250))
        return AccountFact(
            line, account_id, f"{name}@example.com", content.choice(TYPES), country, at.isoformat(), referred_by
        )

    # Who may refer

    def verify(self) -> dict[str, Any]:
        """Verify somebody, as a person or as a company; some have a document in common."""
        account = self.somebody()
        number = f"P{Random(account.account_id).randrange(PERSONS)}"
        account_type = self.random.choice(TYPES)
        passed = pass_verification(
            user_id=account.pk, identity=Identity("DE", "passport", number), account_type=account_type, now=NOW
        )
        return {"verified": [account.account_id, account_type, number, passed.is_eligible]}

    def refuse_verification(self) -> dict[str, Any]:
        refuse_verification(user_id=self.somebody().pk)
        return {}

    def payment_method(self) -> dict[str, Any]:
        """Put a payment method on file, or take it off."""
        account = self.somebody()
        if self.random.random() < 0.7:
            return {"on_file": [account.account_id, int(add_payment_method(user_id=account.pk, now=NOW))]}
        return {"on_file": [account.account_id, -int(remove_payment_method(user_id=account.pk))]}

    def somebody(self) -> User:
        """Anybody but those whose links are to work throughout; the unconfirmed are refused."""
        return User.objects.exclude(account_id__startswith=LINKED).order_by("?")[0]

"""The real engine behind the same few steps as the plain reading: its commands, its operations and its exports."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.core.management import call_command

from accounts.models import User
from referrals.models import FraudFlag, ProgrammeTerms, Referral
from referrals.operations import UnableToDecide, close_account, lift_refusal, open_flag, refuse, release_flag
from tests.histories import ACCOUNT_COLUMNS, NOW, REDEMPTION_COLUMNS, SPEND_COLUMNS, Step
from tests.plain_reading import Terms

COMMANDS = {
    "accounts": ("import_accounts", ACCOUNT_COLUMNS),
    "spend": ("import_spend", SPEND_COLUMNS),
    "redemptions": ("import_redemptions", REDEMPTION_COLUMNS),
}
FIRST_LINE_OF_FACTS = 2


@dataclass(frozen=True)
class Answer:
    """What an import said: its counts, and row (None: a reversal of an earlier file) and code of each refusal."""

    accepted: int
    waiting: int
    duplicate: int
    refused: int
    refusals: tuple[tuple[int | None, str], ...]


class Engine:
    """Drives the commands with files in `folder`; `chunk_size` is that of imports and of settlement alike."""

    def __init__(self, folder: Path, chunk_size: int) -> None:
        self._folder = folder
        self._chunk_size = chunk_size
        self._staff = User.objects.create_user("staff@example.com", is_staff=True, created_at=NOW)

    def take(self, step: Step) -> Answer | None:
        match step.kind:
            case "accounts" | "spend" | "redemptions":
                return self._import(step.kind, step.rows)
            case "settle":
                call_command("settle", as_of=step.at.isoformat(), chunk_size=self._chunk_size, stdout=io.StringIO())
            case "hold":
                self._hold(step)
            case "release":
                self._release(step)
            case "refuse":
                self._decide(refuse, step)
            case "lift":
                self._decide(lift_refusal, step)
            case "close":
                close_account(user_id=User.objects.get(account_id=step.friend_id).pk, now=step.at)
        return None

    def export(self, what: str) -> list[dict[str, str]]:
        path = self._folder / f"{what}.csv"
        call_command(f"export_{what}", to=str(path), stdout=io.StringIO())
        with path.open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))

    def _import(self, kind: str, rows: Sequence[Mapping[str, str]]) -> Answer:
        command, columns = COMMANDS[kind]
        path, rejects = self._folder / f"{kind}.csv", self._folder / "rejects.csv"
        with path.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, columns)
            writer.writeheader()
            writer.writerows(rows)
        said = io.StringIO()
        chunk = {} if kind == "accounts" else {"chunk_size": self._chunk_size}
        call_command(command, str(path), rejects=str(rejects), stdout=said, **chunk)
        return self._answer(said.getvalue().splitlines()[-1], rejects)

    @staticmethod
    def _answer(last_line: str, rejects: Path) -> Answer:
        counts = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", last_line)}
        with rejects.open(newline="", encoding="utf-8") as lines:
            refusals = [
                (int(row["line"]) - FIRST_LINE_OF_FACTS if row["line"] else None, row["code"])
                for row in csv.DictReader(lines)
            ]
        return Answer(**counts, refusals=tuple(sorted(refusals, key=str)))

    @staticmethod
    def _referral(step: Step) -> Referral:
        return Referral.objects.get(friend__account_id=step.friend_id)

    def _decide(self, decision: Callable[..., None], step: Step) -> None:
        """Decide; where the plain reading shrugs at what is so already, the engine says so."""
        try:
            decision(referral_id=self._referral(step).pk, actor=self._staff, reason="a test", now=step.at)
        except UnableToDecide as refusal:
            if refusal.code != "already":
                raise

    def _hold(self, step: Step) -> None:
        open_flag(
            referral_id=self._referral(step).pk,
            rule="a test",
            severity=FraudFlag.Severity.HOLD,
            evidence={},
            actor=None,  # a rule, to which a flag that is open already is no refusal
            reason="a test",
            now=step.at,
        )

    def _release(self, step: Step) -> None:
        for flag in self._referral(step).flags.filter(closed_at__isnull=True):
            release_flag(flag_id=flag.pk, actor=self._staff, reason="a test", now=step.at)


def start_terms(terms: Terms) -> None:
    """Put a version of the terms in force."""
    ProgrammeTerms.objects.create(
        starts_at=terms.starts_at,
        payout=terms.payout,
        qualifying_threshold=terms.threshold,
        payout_delay_days=terms.payout_days,
        bonus_rate=terms.bonus_rate,
        bonus_window_days=terms.window_days,
        bonus_delay_days=terms.bonus_days,
        cap_per_friend=terms.cap,
        credit_valid_days=terms.credit_days,
        trial_valid_days=terms.trial_days,
        welcome_individual=terms.welcome["individual"],
        welcome_enterprise=terms.welcome["enterprise"],
        trial_individual=terms.trial["individual"],
        trial_enterprise=terms.trial["enterprise"],
    )


def utc_text(at: datetime | None) -> str:
    """Write an instant as the exports do."""
    if at is None:
        return ""
    return at.isoformat().replace("+00:00", "Z")

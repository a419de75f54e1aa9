"""Reports of abuse from outside: recorded once, and a hold for as long as staff have not looked (TERMS: a hold)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.operations import keyed_digest
from accounts.retries import retried
from referrals.models import AbuseEvidence, AbuseReport, FraudFlag, Referral
from referrals.operations.decisions import open_flag

REASONS = {
    "account": "There is no such account.",
    "conflict": "The report id is known with other content.",
}


class UnableToReport(Exception):
    """The report is not recorded; `code` is one of REASONS."""

    def __init__(self, code: str) -> None:
        super().__init__(REASONS[code])
        self.code = code


@dataclass(frozen=True)
class ToldAbuse:
    """A report as it came: what an account is said to have done, and what speaks for it."""

    report_id: str
    account_id: str
    kind: str
    evidence: str | Mapping[str, object]


@retried
def report_abuse(*, told: ToldAbuse, now: datetime) -> AbuseReport:
    """Record a report, and hold the grants of the account's own referral until staff release or refuse it.

    The same report again changes nothing, whatever has become of its hold. Locks the Referral. Raises UnableToReport.
    """
    customer = User.objects.get_queryset().registered().filter(account_id=told.account_id).first()
    if customer is None:
        raise UnableToReport("account")
    digest = keyed_digest(f"abuse|{json.dumps(told.__dict__, sort_keys=True)}")
    try:
        # The key decides whether it is the first: the hold of one that is not goes with its transaction.
        with transaction.atomic():
            return _record(told, customer, digest, now)
    except IntegrityError as conflict:
        if "report_id" not in str(conflict):
            raise
    known = AbuseReport.objects.select_related("customer").get(report_id=told.report_id)
    if known.content_digest != digest:
        raise UnableToReport("conflict")
    return known


def _record(told: ToldAbuse, customer: User, digest: str, now: datetime) -> AbuseReport:
    report = AbuseReport.objects.create(
        report_id=told.report_id,
        customer=customer,
        kind=told.kind,
        flag=_hold(told, customer, now),
        content_digest=digest,
        received_at=now,
    )
    AbuseEvidence.objects.create(report=report, content=told.evidence)
    return report


def _hold(told: ToldAbuse, customer: User, now: datetime) -> FraudFlag | None:
    referral = Referral.objects.filter(friend=customer).first()
    if referral is None:
        return None
    return open_flag(
        referral_id=referral.pk,
        rule=f"abuse: {told.kind}",
        severity=FraudFlag.Severity.HOLD,
        evidence={"abuse_report": told.report_id},
        actor=None,
        reason=f"The account was reported: {told.kind}.",
        now=now,
    )

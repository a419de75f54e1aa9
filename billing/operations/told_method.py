"""The payment method that the billing system has on file for a customer: a fact, as it tells it."""

from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from accounts.operations import UnableToAddPaymentMethod
from billing.models import PaymentMethod
from billing.operations.payment_methods import Unregistered, keep_file, lock_file, remember


class ToldMethod(NamedTuple):
    """On file since then, usable before `expires_at` (None: without an end), of a card by its fingerprint there."""

    since: datetime
    expires_at: datetime | None
    fingerprint: str


def record_told_method(*, customer_id: int, told: ToldMethod | None, now: datetime) -> bool:
    """Record what the billing system has on file for a customer, None for nothing; False where that is recorded.

    What is on file here beside it stays. Remembers the card by its fingerprint. Locks the User. Raises
    UnableToAddPaymentMethod.
    """
    with transaction.atomic():
        try:
            user, methods = lock_file(customer_id, now)
        except Unregistered:
            raise UnableToAddPaymentMethod from None
        before = next((method for method in methods if method.gateway == PaymentMethod.Gateway.BILLING), None)
        if told == (before and ToldMethod(before.added_at, before.expires_at, before.fingerprint)):
            return False
        if before:
            PaymentMethod.objects.filter(pk=before.pk).update(removed_at=now)
        if told:
            remember(_record(customer_id, told), now)
        keep_file(user, now)
        return True


def _record(customer_id: int, told: ToldMethod) -> PaymentMethod:
    gateway = PaymentMethod.Gateway.BILLING
    number = PaymentMethod.objects.filter(customer_id=customer_id, gateway=gateway).count()
    return PaymentMethod.objects.create(
        customer_id=customer_id,
        gateway=gateway,
        token=f"billing-{customer_id}-{number}",
        fingerprint=told.fingerprint,
        expires_at=told.expires_at,
        added_at=told.since,
    )

"""What the pages of payment methods read."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts.models import IdentityVerification
from billing.gateways import can_charge
from billing.models import PaymentMethod
from billing.operations.payment_methods import MOST_METHODS

EXPIRES_SOON = timedelta(days=31)


@dataclass(frozen=True)
class MethodOnFile:
    """A payment method as its owner sees it."""

    method: PaymentMethod
    has_expired: bool
    expires_soon: bool

    @property
    def is_arranged(self) -> bool:
        return self.method.is_outside

    @property
    def is_told(self) -> bool:
        return self.method.gateway == PaymentMethod.Gateway.BILLING


@dataclass(frozen=True)
class PaymentPage:
    """What is on a customer's file, the default first, whether any of it can be used, and what is missing beside it."""

    methods: list[MethodOnFile]
    identity_is_missing: bool
    """Nothing that can be accepted was submitted: the other step to a referral link."""

    @property
    def none_is_usable(self) -> bool:
        return all(one.has_expired for one in self.methods)

    @property
    def is_full(self) -> bool:
        return len(self.methods) >= MOST_METHODS


def payment_page(*, customer_id: int, now: datetime) -> PaymentPage:
    """Return what is on a customer's file. Two statements."""
    submitted = IdentityVerification.objects.filter(customer_id=customer_id)
    return PaymentPage(
        methods=_methods(customer_id, now),
        identity_is_missing=not submitted.exclude(state=IdentityVerification.State.REFUSED).exists(),
    )


def default_card(*, customer_id: int, now: datetime) -> MethodOnFile | None:
    """Return the customer's default card, if it can be charged here; what staff arranged cannot. One statement."""
    cards = PaymentMethod.objects.on_file().exclude(gateway__in=PaymentMethod.OUTSIDE)
    card = cards.filter(customer_id=customer_id, is_default=True).first()
    return _on_file(card, now) if card and card.is_usable(now) and can_charge(card.gateway) else None


def _methods(customer_id: int, now: datetime) -> list[MethodOnFile]:
    methods = PaymentMethod.objects.on_file().filter(customer_id=customer_id)
    return [_on_file(method, now) for method in methods.order_by("-is_default", "-added_at", "-pk")]


def _on_file(method: PaymentMethod, now: datetime) -> MethodOnFile:
    usable = method.is_usable(now)
    return MethodOnFile(
        method=method,
        has_expired=not usable,
        expires_soon=usable and method.expires_at is not None and method.expires_at <= now + EXPIRES_SOON,
    )


@dataclass(frozen=True)
class Removal:
    """What taking a method off file comes to: which becomes the default, and whether a usable one is left."""

    one: MethodOnFile
    next_default: PaymentMethod | None
    leaves_none_usable: bool


def removal(*, customer_id: int, method_id: int, now: datetime) -> Removal:
    """Return what the removal of a customer's method comes to. One statement. Raises PaymentMethod.DoesNotExist."""
    on_file = _methods(customer_id, now)
    going = [one for one in on_file if one.method.pk == method_id and not one.is_arranged]
    if not going:
        raise PaymentMethod.DoesNotExist
    left = [one for one in on_file if one is not going[0]]
    was_usable = not going[0].has_expired
    newest = max(
        (one.method for one in left if not one.is_told), key=lambda method: (method.added_at, method.pk), default=None
    )
    return Removal(
        one=going[0],
        next_default=newest if going[0].method.is_default else None,
        leaves_none_usable=was_usable and all(one.has_expired for one in left),
    )

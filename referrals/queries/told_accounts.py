"""What an account comes to, as the billing system reads it."""

from dataclasses import dataclass

from accounts.models import IdentityVerification, User
from billing.models import PaymentMethod
from referrals.models import Referral


@dataclass(frozen=True)
class StandingAccount:
    """An account, its referrer's account id, whether it is verified, and what the billing system has on file for it."""

    user: User
    referrer: str | None
    is_verified: bool
    method: PaymentMethod | None


def referrer_of(*, user_id: int) -> str | None:
    """Return the account id of who referred an account, for good. One statement."""
    return Referral.objects.filter(friend_id=user_id).values_list("referrer__account_id", flat=True).first()


def standing_account(*, user: User) -> StandingAccount:
    """Return what an account comes to. Three statements."""
    passed = IdentityVerification.objects.filter(customer=user, state=IdentityVerification.State.PASSED)
    methods = PaymentMethod.objects.on_file().filter(customer=user, gateway=PaymentMethod.Gateway.BILLING)
    return StandingAccount(user, referrer_of(user_id=user.pk), passed.exists(), methods.first())

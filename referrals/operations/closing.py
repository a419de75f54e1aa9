"""A customer closes their account (TERMS: When things change)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from accounts.operations import Message, lock_to_close, shut, write_messages
from accounts.retries import retried
from billing.models import PaymentMethod
from billing.operations import clear_file, forget_cards
from credits.models import Coupon
from credits.operations import expire_coupons, lock_accounts, revoke_coupons, write_off_debts
from referrals.models import ReferralLink


@dataclass(frozen=True)
class Closed:
    """What went with an account, in US dollars: what was left on its coupons, the trial too, and what it owed."""

    revoked: Decimal
    written_off: Decimal


def close_account(*, user_id: int, now: datetime) -> Closed:
    """Close a customer's account: nobody signs in any more, its link goes off, its coupons are revoked, its debts are
    written off, its cards go, and what is not granted to it yet lapses: settlement passes over whoever has closed.

    What others earn by it goes on: its spend still counts. Digests of its addresses stay known, and a last mail goes to
    the address that it had. Locks the User, then the CreditAccount, which a settlement and a redemption hold. Raises
    UnableToClose: unknown, already, staff.
    """
    closed, cards = _close(user_id, now)
    forget_cards(methods=cards)
    return closed


@retried
@transaction.atomic
def _close(user_id: int, now: datetime) -> tuple[Closed, list[PaymentMethod]]:
    """Carry out all of it but what the gateways must be told, which no transaction waits for."""
    user = lock_to_close(user_id=user_id)
    lock_accounts(customer_ids=[user_id])
    reference = f"closing:{user_id}"
    expire_coupons(customer_ids=[user_id], at=now, now=now)
    coupons = list(Coupon.objects.filter(customer=user_id).order_by("pk").values_list("pk", flat=True))
    revoked = revoke_coupons(coupon_ids=coupons, at=now, now=now, reference=reference, withdraw=True)
    written_off = write_off_debts(customer_id=user_id, reference=reference, at=now, now=now)
    ReferralLink.objects.filter(owner_id=user_id, switched_off_at=None).update(switched_off_at=now)
    facts = {"revoked_amount": str(revoked), "written_off_amount": str(written_off)}
    farewell = Message(f"account_closed:{user_id}", "account_closed", user_id, recipient=user.email, facts=facts)
    write_messages(messages=[farewell], now=now)
    cards = clear_file(customer_id=user_id, now=now)
    shut(user=user, now=now)
    return Closed(revoked, written_off), cards or []

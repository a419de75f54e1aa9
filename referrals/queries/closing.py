"""What a customer would lose by closing their account, in figures (TERMS: When things change)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, DecimalField, ExpressionWrapper, F, Q, Sum
from djmoney.money import Money

from credits.models import Coupon, CouponKind, Debt, RewardKind
from credits.queries import Shelf, on_shelf
from referrals.models import Referral, ReferralLink


@dataclass(frozen=True)
class Loss:
    """One kind of coupons: how many are usable, and what is left on them."""

    kind: CouponKind
    coupons: int
    left: Money


@dataclass(frozen=True)
class Closing:
    """What goes with the account. `credit` is all but the trial; `lapsing` are earned rewards not granted yet."""

    credit: list[Loss]
    trial: Money
    lapsing: Money
    lapsing_rewards: int
    friends: int
    debts: Money
    has_link: bool

    @property
    def credit_in_all(self) -> Money:
        return sum((loss.left for loss in self.credit), Money(0, "USD"))


def closing(*, customer_id: int, now: datetime) -> Closing:
    """Return what closing the account at `now` would cost its customer. Four statements."""
    losses = _losses(customer_id, now)
    rewards = _lapsing(customer_id)
    debts = Debt.objects.filter(customer=customer_id, outstanding__gt=0).aggregate(sum=Sum("outstanding"))["sum"]
    return Closing(
        credit=[loss for loss in losses if loss.kind != CouponKind.TRIAL],
        trial=sum((loss.left for loss in losses if loss.kind == CouponKind.TRIAL), Money(0, "USD")),
        lapsing=sum((_money(rewards[kind]) for kind in RewardKind.values), Money(0, "USD")),
        lapsing_rewards=sum(rewards[f"{kind}_count"] for kind in RewardKind.values),
        friends=rewards["friends"],
        debts=_money(debts),
        has_link=ReferralLink.objects.filter(owner=customer_id, switched_off_at=None).exists(),
    )


def _losses(customer_id: int, now: datetime) -> list[Loss]:
    usable = Coupon.objects.filter(on_shelf(Shelf.USABLE, now), customer=customer_id)
    found = {
        row["kind"]: Loss(CouponKind(row["kind"]), row["coupons"], _money(row["left"]))
        for row in usable.values("kind").annotate(coupons=Count("pk"), left=Sum("remaining")).order_by()
    }
    return [found[kind] for kind in CouponKind.values if kind in found]


def _lapsing(customer_id: int) -> dict[str, Any]:
    """The sum and the number of what is earned and not granted, by kind, and how many friends there are."""
    wanted: dict[str, Any] = {"friends": Count("pk")}
    for kind in RewardKind.values:
        owed = Q(**{f"{kind}_granted__lt": F(f"{kind}_earned")})
        rest = ExpressionWrapper(
            F(f"{kind}_earned") - F(f"{kind}_granted"), output_field=DecimalField(max_digits=20, decimal_places=2)
        )
        wanted |= {kind: Sum(rest, filter=owed), f"{kind}_count": Count("pk", filter=owed)}
    found: dict[str, Any] = Referral.objects.filter(referrer=customer_id).aggregate(**wanted)
    return found


def _money(amount: object) -> Money:
    return amount if isinstance(amount, Money) else Money(amount or 0, "USD")

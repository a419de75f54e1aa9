"""What a customer's Coupons pages read: their credit, and from the referrals why it is that much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.db.models import OuterRef, Subquery, Sum
from djmoney.money import Money

from accounts.keyset import Page, Place
from accounts.models import AccountType
from billing.models import Product
from credits.models import Coupon, CouponEntry, CouponKind, Debt, RewardKind
from credits.queries import (
    ENTRIES_PAGE_SIZE,
    Balance,
    Expiring,
    Shelf,
    balance,
    coupons,
    entries,
    open_debts,
    shelf_of,
    soonest_expiring,
)
from referrals.models import Clawback, ProgrammeTerms, Referral, Reward
from referrals.queries.console import terms_at
from referrals.queries.reckonings import Reckoning, recorded_reckoning

DEBTS_SHOWN = 10
# What of the coupons the list marks as expiring soon.
EXPIRING_SOON = timedelta(days=14)


@dataclass(frozen=True)
class Debts:
    """What the next rewards settle: in total, and the oldest of them, each with its cause."""

    total: Money
    oldest: Sequence[Debt]
    more: bool


@dataclass(frozen=True)
class CouponsPage:
    """What Coupons shows."""

    balance: Balance
    soonest: Expiring | None
    debts: Debts
    shelf: Shelf
    coupons: Page[Coupon]
    soon: datetime
    credit_uses: Uses
    trial_uses: Uses
    nothing = Money(0, "USD")


@dataclass(frozen=True)
class RewardReason:
    """Why a payout or bonus coupon is that much: the grant that issued it, and how that came about."""

    reward: Reward
    reckoning: Reckoning
    before: Money


@dataclass(frozen=True)
class GiftReason:
    """Why a welcome or trial coupon is that much: the terms, and the account type whose amount it is.

    No account type where it is the difference that enterprise verification brought.
    """

    terms: ProgrammeTerms
    account_type: AccountType | None
    individual: Money
    enterprise: Money


@dataclass(frozen=True)
class Family:
    """Products of one family that a coupon does or does not buy."""

    name: str
    products: list[Product]


@dataclass(frozen=True)
class Uses:
    """Where a coupon can be used, and where it cannot."""

    buys: list[Family]
    does_not_buy: list[Family]


@dataclass(frozen=True)
class CouponPage:
    """What the page of one coupon shows. What is left on one that has expired counts as expired, swept or not."""

    coupon: Coupon
    shelf: Shelf
    left: Money
    expired: Money
    reward: RewardReason | None
    gift: GiftReason | None
    uses: Uses
    entries: list[CouponEntry]
    next_entry: int | None
    is_first: bool


def coupons_page(*, customer_id: int, shelf: Shelf, after: Place | None, now: datetime) -> CouponsPage:
    """Return balance, open debts, a page of the coupons on a shelf, and what coupons buy. Five statements."""
    products = _products()
    return CouponsPage(
        balance=balance(customer_id=customer_id, now=now),
        soonest=soonest_expiring(customer_id=customer_id, now=now),
        debts=debts_of(customer_id),
        shelf=shelf,
        coupons=coupons(customer_id=customer_id, shelf=shelf, after=after, now=now),
        soon=now + EXPIRING_SOON,
        credit_uses=_uses(products, CouponKind.PAYOUT),
        trial_uses=_uses(products, CouponKind.TRIAL),
    )


def coupon_page(*, customer_id: int, coupon_id: int, after: int, now: datetime) -> CouponPage:
    """Return one coupon, why it is that much, what it buys, and a page of its entries. At most five statements.

    Raises Coupon.DoesNotExist.
    """
    coupon = Coupon.objects.select_related("friend", "customer__customer").get(pk=coupon_id, customer=customer_id)
    found = list(entries(coupon_id=coupon.pk, after=after))
    shelf = shelf_of(coupon, now)
    nothing = Money(0, "USD")
    return CouponPage(
        coupon=coupon,
        shelf=shelf,
        left=nothing if shelf == Shelf.EXPIRED else coupon.remaining,
        expired=coupon.expired + (coupon.remaining if shelf == Shelf.EXPIRED else nothing),
        reward=_reward_reason(coupon) if coupon.kind in RewardKind.values else None,
        gift=_gift_reason(coupon) if coupon.kind in (CouponKind.WELCOME, CouponKind.TRIAL) else None,
        uses=_uses(_products(), coupon.kind),
        entries=found[:ENTRIES_PAGE_SIZE],
        next_entry=found[ENTRIES_PAGE_SIZE - 1].pk if len(found) > ENTRIES_PAGE_SIZE else None,
        is_first=after == 0,
    )


def debts_of(customer_id: int) -> Debts:
    """The oldest open debts, each with the clawback that opened it: same reward, same instant. One statement."""
    cause = Clawback.objects.filter(
        referral__friend=OuterRef("friend"), kind=OuterRef("kind"), clawed_back_at=OuterRef("opened_at"), debt__gt=0
    )
    referral = Referral.objects.filter(friend=OuterRef("friend"))
    owed = Debt.objects.filter(customer=customer_id, outstanding__gt=0).order_by().values("customer")
    oldest = list(
        open_debts(customer_id=customer_id).annotate(
            was_refused=Subquery(cause.values("refused")[:1]),
            referral_id=Subquery(referral.values("pk")[:1]),
            total=Subquery(owed.annotate(total=Sum("outstanding")).values("total")),
        )[: DEBTS_SHOWN + 1]
    )
    total = oldest[0].total if oldest else 0
    return Debts(
        total=total if isinstance(total, Money) else Money(total, "USD"),
        oldest=oldest[:DEBTS_SHOWN],
        more=len(oldest) > DEBTS_SHOWN,
    )


def _reward_reason(coupon: Coupon) -> RewardReason | None:
    """The grant that issued the coupon. One statement; none only where the coupon came without a grant."""
    reward = Reward.objects.filter(coupon=coupon).select_related("referral__terms").first()
    if reward is None:
        return None
    return RewardReason(reward, recorded_reckoning(reward, reward.referral.terms), reward.earned - reward.amount)


def _gift_reason(coupon: Coupon) -> GiftReason:
    """The terms in force when the coupon's owner registered, and whose amount it is. One statement."""
    owner = coupon.customer.customer
    terms = terms_at(owner.registered_at or coupon.issued_at)
    is_trial = coupon.kind == CouponKind.TRIAL
    individual = terms.trial_individual if is_trial else terms.welcome_individual
    enterprise = terms.trial_enterprise if is_trial else terms.welcome_enterprise
    return GiftReason(
        terms=terms,
        account_type=None if coupon.source.startswith(f"{coupon.kind}-upgrade:") else _type_of(coupon, individual),
        individual=Money(individual, "USD"),
        enterprise=Money(enterprise, "USD"),
    )


def _type_of(coupon: Coupon, individual: object) -> AccountType:
    """The account type whose amount was given: an account that is enterprise now may have been individual then."""
    owner_type = AccountType(coupon.customer.customer.account_type)
    return AccountType.INDIVIDUAL if coupon.amount.amount == individual else owner_type


def _products() -> list[Product]:
    """The catalogue, family by family. One statement."""
    return list(Product.objects.order_by("family", "name"))


def _uses(products: list[Product], kind: str) -> Uses:
    """What a coupon of this kind buys (TERMS: Credit)."""
    accepts = "accepts_trial" if kind == CouponKind.TRIAL else "accepts_credit"
    return Uses(
        buys=_families([product for product in products if getattr(product, accepts)]),
        does_not_buy=_families([product for product in products if not getattr(product, accepts)]),
    )


def _families(products: list[Product]) -> list[Family]:
    """Group products, ordered by family, by family."""
    return [Family(name, list(group)) for name, group in groupby(products, key=lambda product: product.family)]

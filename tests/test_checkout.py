"""An order: how it is quoted, placed and paid, to the cent, and what is not ordered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from pytest_django import Settings

from accounts.models import User
from billing.models import Charge, Order, OrderCoupon, PaymentMethod, Product, SandboxCharge
from billing.operations import (
    UnableToOrder,
    arrange_payment,
    check_out,
    finish_orders,
    place_order,
    remove_card,
)
from billing.queries.checkout import Wanted, quote
from credits.models import Coupon, Redemption
from credits.operations import CouponPart, UnableToRedeem, redeem, redeem_parts
from referrals.models import Referral, Reward
from referrals.operations import close_account, disqualify, settle
from tests.facts import NOW, day, register
from tests.ordering import (
    EXPIRES,
    buy,
    give_card,
    give_credit,
    left_on,
    parts_of,
    price,
    quoted,
    spend_of,
    taken_by,
    terms_of,
    trial_of,
    use_trial_up,
)

pytestmark = pytest.mark.django_db(transaction=True)

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def alice() -> User:
    """A customer with a card, and no trial left."""
    user = register("alice")
    give_card(user)
    use_trial_up(user)
    return user


@pytest.fixture
def bob() -> User:
    """A customer with a card and a trial of $300."""
    user = register("bob")
    give_card(user)
    return user


def refusal_of(attempt: Callable[[], object]) -> str:
    orders = Order.objects.count()
    with pytest.raises(UnableToOrder) as refusal:
        attempt()
    assert Order.objects.count() == orders
    assert not SandboxCharge.objects.exists()
    return refusal.value.code


# Who pays what


def test_trial_pays_first_then_credit_then_the_card(bob: User) -> None:
    coupon = give_credit(bob, "50")
    price("ecs", "100")
    order = buy(bob, domain=1, ecs=3, kubernetes=1, image_search=10)
    assert parts_of(order) == [
        ("domain", "0.00", "0.00", "11.99"),
        ("ecs", "300.00", "0.00", "0.00"),
        ("kubernetes", "0.00", "18.00", "0.00"),
        ("image-search", "0.00", "32.00", "10.00"),
    ]
    assert (order.state, str(order.total), str(order.cash)) == ("paid", "$371.99", "$21.99")
    assert left_on(coupon) == ["0.00"]
    assert taken_by(bob) == [(f"order:{order.number}", "21.99")]
    assert spend_of(bob) == [("domain", "11.99"), ("image-search", "10.00")]


def test_trial_takes_lines_in_their_order_and_credit_what_it_leaves(bob: User) -> None:
    give_credit(bob, "1000")
    price("ecs", "200")
    price("rds", "200")
    order = buy(bob, ecs=1, rds=1)
    assert parts_of(order) == [("ecs", "200.00", "0.00", "0.00"), ("rds", "100.00", "100.00", "0.00")]


def test_coupons_are_used_soonest_expiring_first_then_in_the_order_issued(alice: User) -> None:
    late, soon, sooner = (
        give_credit(alice, "5"),
        give_credit(alice, "5"),
        give_credit(alice, "5", expires_at=day(11, 9)),
    )
    order = buy(alice, rds=1)
    uses = OrderCoupon.objects.filter(order=order).order_by("pk").values_list("coupon", "amount")
    assert list(uses) == [(sooner.pk, 5), (late.pk, 4)]
    assert left_on(late, soon, sooner) == ["1.00", "5.00", "0.00"]


def test_coupon_that_is_left_out_stays(alice: User) -> None:
    kept, used = give_credit(alice, "5", expires_at=day(11, 9)), give_credit(alice, "5")
    order = buy(alice, without=[kept.pk], rds=1)
    assert parts_of(order) == [("rds", "0.00", "5.00", "4.00")]
    assert left_on(kept, used) == ["5.00", "0.00"]


def test_trial_that_is_left_out_stays(bob: User) -> None:
    trial = Coupon.objects.get(customer=bob.pk)
    order = buy(bob, without=[trial.pk], rds=1)
    assert (parts_of(order), left_on(trial)) == ([("rds", "0.00", "0.00", "9.00")], ["300.00"])


def test_redemptions_of_trial_and_credit_are_each_under_their_own_name(bob: User) -> None:
    give_credit(bob, "20")
    order = buy(bob, ecs=36)
    found = Redemption.objects.order_by("pk").values_list("source", "redemption_id", "amount", "occurred_at")
    assert list(found) == [("console", f"{order.number}-trial", 300, NOW), ("console", order.number, 6, NOW)]


def test_order_paid_by_credit_alone_asks_no_gateway(alice: User) -> None:
    coupon = give_credit(alice, "9")
    PaymentMethod.objects.update(is_default=False)
    order = buy(alice, rds=1)
    assert (order.state, left_on(coupon)) == ("paid", ["0.00"])
    assert not Charge.objects.exists()
    assert spend_of(alice) == []


def test_order_without_any_credit_is_charged_whole(alice: User) -> None:
    order = buy(alice, rds=1, domain=2)
    assert (order.state, taken_by(alice)) == ("paid", [(f"order:{order.number}", "32.98")])
    assert spend_of(alice) == [("rds", "9.00"), ("domain", "23.98")]
    assert Redemption.objects.count() == 1  # the fixture's


def test_coupon_that_is_not_usable_yet_or_any_more_does_not_pay(alice: User) -> None:
    give_credit(alice, "5", expires_at=NOW)
    assert buy(alice, rds=1).credit.amount == 0


def test_coupon_pays_until_its_last_moment(alice: User) -> None:
    give_credit(alice, "5")
    assert buy(alice, at=EXPIRES - timedelta(microseconds=1), rds=1).credit.amount == 5
    assert buy(alice, key="later", at=EXPIRES, rds=1).credit.amount == 0


def test_price_by_quantity_is_rounded_half_up_to_the_cent(alice: User) -> None:
    price("oss", "0.0150")
    assert [str(quoted(alice, oss=number).total.amount) for number in (1, 3)] == ["0.02", "0.05"]


def test_line_keeps_the_price_that_it_was_ordered_at(alice: User) -> None:
    order = buy(alice, rds=2)
    price("rds", "99")
    line = order.lines.get()
    assert (line.price, line.quantity, str(line.amount)) == (9, 2, "$18.00")


def test_same_product_twice_is_one_line(alice: User) -> None:
    chosen = [Wanted("rds", 1), Wanted("domain", 1), Wanted("rds", 2)]
    lines = quote(customer_id=alice.pk, wanted=chosen, now=NOW).lines
    assert [(line.product.code, line.quantity) for line in lines] == [("rds", 3), ("domain", 1)]


def test_order_of_the_whole_catalogue(bob: User) -> None:
    coupons = [give_credit(bob, f"{number}.37") for number in range(1, 30)]
    chosen = [Wanted(code, 3) for code in Product.objects.filter(price__isnull=False).values_list("code", flat=True)]
    shown = quote(customer_id=bob.pk, wanted=chosen, now=NOW)
    order = check_out(customer_id=bob.pk, key="all", wanted=chosen, seen=shown.seen, now=NOW)
    lines = list(order.lines.all())
    assert len(lines) == len(chosen) > 50
    assert (order.state, str(order.trial)) == ("paid", "$300.00")
    assert sum(line.cash.amount for line in lines) == order.cash.amount == SandboxCharge.objects.get().amount.amount
    assert order.credit.amount == sum(coupon.amount.amount for coupon in coupons)


# What is not ordered


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        ([], "empty"),
        ([Wanted("unknown", 1)], "product"),
        ([Wanted("a\0b", 1)], "product"),
        ([Wanted("rds", 0)], "quantity"),
        ([Wanted("rds", -1)], "quantity"),
        ([Wanted("rds", 2**31)], "quantity"),
        ([Wanted("rds", 2**31 - 1), Wanted("rds", 1)], "quantity"),
        ([Wanted("rds", 2), Wanted("rds", -1)], "quantity"),
    ],
)
def test_what_makes_no_order_is_refused(alice: User, chosen: list[Wanted], code: str) -> None:
    with pytest.raises(UnableToOrder) as refusal:
        quote(customer_id=alice.pk, wanted=chosen, now=NOW)
    assert refusal.value.code == code
    attempt = {"customer_id": alice.pk, "key": "k", "wanted": chosen, "seen": "", "now": NOW}
    assert refusal_of(lambda: check_out(**attempt)) == code  # type: ignore[arg-type]


def test_product_without_a_price_is_not_ordered_and_is_named(alice: User) -> None:
    Product.objects.filter(code="rds").update(price=None, unit="")
    with pytest.raises(UnableToOrder) as refusal:
        quoted(alice, ecs=1, rds=1)
    assert (refusal.value.code, refusal.value.products) == ("product", ("rds",))


@pytest.mark.parametrize(("quantity", "is_payable"), [(99_999_999, True), (100_000_000, False)])
def test_an_amount_has_ten_digits_at_most(alice: User, quantity: int, is_payable: bool) -> None:
    price("rds", "100")
    if is_payable:
        order = buy(alice, rds=quantity)
        assert (order.state, spend_of(alice)) == ("paid", [("rds", "9999999900.00")])
    else:
        assert refusal_of(lambda: buy(alice, rds=quantity)) == "amount"


def test_the_sum_has_ten_digits_at_most(alice: User) -> None:
    price("rds", "100")
    assert refusal_of(lambda: buy(alice, rds=99_999_999, waf=2)) == "amount"


def test_a_line_that_comes_to_nothing_is_refused(alice: User) -> None:
    price("oss", "0.0049")
    assert refusal_of(lambda: buy(alice, oss=1)) == "amount"
    assert str(quoted(alice, oss=2).total) == "$0.01"


def test_without_a_default_card_cash_cannot_be_paid(alice: User) -> None:
    remove_card(customer_id=alice.pk, method_id=PaymentMethod.objects.get().pk, now=NOW)
    assert refusal_of(lambda: buy(alice, rds=1)) == "card"


def test_what_staff_arranged_cannot_pay_here(alice: User) -> None:
    remove_card(customer_id=alice.pk, method_id=PaymentMethod.objects.get().pk, now=NOW)
    arrange_payment(customer_id=alice.pk, now=NOW)
    assert refusal_of(lambda: buy(alice, rds=1)) == "card"


def test_a_test_card_does_not_pay_where_real_money_is_taken(alice: User, settings: Settings) -> None:
    """As after an installation that was tried out has gone into production."""
    terms = terms_of(alice, rds=1)
    order = place_order(**{**terms, "key": "before"})
    settings.PAYMENT_GATEWAY = "stripe"
    assert refusal_of(lambda: check_out(**terms)) == "card"
    assert finish_orders(now=NOW + HOUR - SECOND) == 0
    order.refresh_from_db()
    assert (order.state, SandboxCharge.objects.exists()) == ("placed", False)


def test_card_pays_until_it_expires(alice: User) -> None:
    end = PaymentMethod.objects.get().expires_at
    assert end
    assert buy(alice, at=end - SECOND, rds=1).state == "paid"
    with pytest.raises(UnableToOrder) as refusal:
        buy(alice, key="later", at=end, rds=1)
    assert refusal.value.code == "card"


def not_confirmed() -> User:
    return User.objects.create_user("eve@example.com", created_at=NOW)


def closed() -> User:
    user = register("eve")
    give_card(user)
    close_account(user_id=user.pk, now=NOW)
    return user


@pytest.mark.parametrize("account", [not_confirmed, closed])
def test_account_that_is_none_orders_nothing(account: Callable[[], User]) -> None:
    assert refusal_of(lambda: buy(account(), rds=1)) == "account"


@pytest.mark.parametrize("key", ["", "k" * 65, "a\0b"])
def test_a_button_needs_its_name(alice: User, key: str) -> None:
    assert refusal_of(lambda: buy(alice, key=key, rds=1)) == "key"


def test_disqualified_account_pays_with_money_alone(bob: User) -> None:
    coupon, trial = give_credit(bob, "20"), Coupon.objects.get(kind="trial")
    disqualify(user_id=bob.pk, actor=None, reason="Mining.", now=NOW)
    shown = quoted(bob, rds=1)
    assert (shown.is_frozen, shown.coupons) == (True, [])
    assert buy(bob, rds=1).cash.amount == 9
    assert left_on(coupon, trial) == ["20.00", "300.00"]


# What has changed since the preview


def use_elsewhere(user: User) -> None:
    redeem(
        source="billing", redemption_id="r", customer_id=user.pk, amount=quoted(user, rds=1).credit, occurred_at=NOW,
        now=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        use_elsewhere,
        lambda user: price("rds", "9.01"),
        lambda user: disqualify(user_id=user.pk, actor=None, reason="Fraud.", now=NOW),
        lambda user: give_credit(user, "1", expires_at=day(11, 9)),
        lambda user: Product.objects.filter(code="rds").update(accepts_credit=False),
    ],
    ids=["credit used", "price", "credit frozen", "another coupon first", "product takes no credit"],
)
def test_order_that_would_be_paid_otherwise_than_shown_is_not_placed(
    alice: User, change: Callable[[User], object]
) -> None:
    give_credit(alice, "9")
    terms = terms_of(alice, rds=1)
    change(alice)
    assert refusal_of(lambda: check_out(**terms)) == "changed"


def test_coupon_that_expires_after_the_preview_changes_the_order(alice: User) -> None:
    give_credit(alice, "9")
    terms = terms_of(alice, at=EXPIRES - SECOND, rds=1)
    assert refusal_of(lambda: check_out(**{**terms, "now": EXPIRES})) == "changed"
    assert check_out(**terms).state == "paid"


def test_what_an_order_is_to_use_is_not_offered_to_another(alice: User) -> None:
    coupon = give_credit(alice, "9")
    place_order(**terms_of(alice, ecs=1))
    assert [(str(one.pays), str(one.stays)) for one in quoted(alice, rds=1).coupons] == [("$0.50", "$0.00")]
    assert [one.coupon.pk for one in quoted(alice, rds=1).coupons] == [coupon.pk]
    finish_orders(now=NOW + MINUTE + SECOND)
    assert left_on(coupon) == ["0.50"]


# Once


def test_same_button_again_is_the_same_order_and_nothing_more(alice: User) -> None:
    coupon = give_credit(alice, "5")
    terms = terms_of(alice, rds=1)
    first = check_out(**terms)
    assert check_out(**terms).pk == check_out(**{**terms, "now": NOW + HOUR}).pk == first.pk
    assert (taken_by(alice), left_on(coupon)) == ([(f"order:{first.number}", "4.00")], ["0.00"])
    assert spend_of(alice) == [("rds", "4.00")]


def test_button_of_one_customer_is_not_that_of_another(alice: User, bob: User) -> None:
    assert buy(alice, rds=1).pk != buy(bob, rds=1).pk


def test_gateway_is_asked_outside_any_transaction(alice: User) -> None:
    terms = terms_of(alice, rds=1)
    with pytest.raises(RuntimeError, match="inside a database transaction"), transaction.atomic():
        check_out(**terms)
    assert not SandboxCharge.objects.exists()


# Parts of coupons


def redeem_some(user: User, *parts: tuple[Coupon, str], name: str = "parts", at: datetime = NOW) -> Redemption:
    chosen = [CouponPart(coupon.pk, Decimal(amount)) for coupon, amount in parts]
    return redeem_parts(
        source="console",
        redemption_id=name,
        customer_id=user.pk,
        parts=chosen,
        occurred_at=at,
        now=NOW,
    )


def test_parts_again_have_no_effect_and_other_parts_conflict(alice: User) -> None:
    one, other = give_credit(alice, "5"), give_credit(alice, "5")
    first = redeem_some(alice, (one, "2"), (other, "1"))
    assert redeem_some(alice, (one, "2"), (other, "1")).pk == first.pk
    with pytest.raises(UnableToRedeem, match="conflict"):
        redeem_some(alice, (one, "1"), (other, "2"))
    assert left_on(one, other) == ["3.00", "4.00"]


@pytest.mark.parametrize(
    ("amount", "name", "at", "code"),
    [
        ("5.01", "parts", NOW, "insufficient"),
        ("5", "parts", EXPIRES, "time"),
        ("5", "parts", day(9, 30), "insufficient"),
        ("0", "parts", NOW, "amount"),
        ("-1", "parts", NOW, "amount"),
        ("0.001", "parts", NOW, "amount"),
        ("5", "", NOW, "id"),
    ],
)
def test_parts_that_cannot_be_had_are_refused_whole(
    alice: User, amount: str, name: str, at: datetime, code: str
) -> None:
    one, other = give_credit(alice, "5"), give_credit(alice, "5")
    with pytest.raises(UnableToRedeem) as refusal:
        redeem_some(alice, (other, "1"), (one, amount), name=name, at=at)
    assert (refusal.value.code, left_on(one, other)) == (code, ["5.00", "5.00"])


def test_coupon_of_somebody_else_is_not_had(alice: User, bob: User) -> None:
    with pytest.raises(UnableToRedeem, match="insufficient"):
        redeem_some(alice, (give_credit(bob, "5"), "1"))


# What a referrer earns by it


def test_cash_of_a_friends_order_counts_and_earns_the_referrer_a_payout(alice: User) -> None:
    frank = register("frank", referred_by=alice, at=day(10, 20))
    give_card(frank)
    price("image-search", "100")
    welcome = Coupon.objects.get(customer=frank.pk, kind="welcome")
    buy(frank, key="first", without=[trial_of(frank)], rds=2, image_search=1)
    assert left_on(welcome) == ["0.00"]
    settle(as_of=NOW, now=NOW)
    assert Referral.objects.get().qualifying_spend.amount == 13
    buy(frank, key="second", at=NOW + HOUR, without=[trial_of(frank)], rds=1)
    due = NOW + HOUR + timedelta(days=30)
    settle(as_of=due - SECOND, now=due)
    assert not Reward.objects.exists()
    settle(as_of=due, now=due)
    assert Reward.objects.get().amount.amount == 20

"""Staff set what a product costs, in the admin, and the catalogue says so."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User
from billing.models import Product
from billing.operations import UnableToSetPrice, set_price
from tests.facts import JANUARY, register
from tests.pages import read, signed_in

pytestmark = pytest.mark.django_db(transaction=True)

CATALOGUE = "/console/catalogue/?q=ecs"
DESK = "/admin/billing/product/"


@pytest.fixture
def ecs() -> Product:
    return Product.objects.get(code="ecs")


def change(product: Product, price: str, *, unit: str = "month", regular: str | None = None) -> None:
    set_price(
        product_id=product.pk, price=Decimal(price), unit=unit, regular_price=Decimal(regular) if regular else None
    )


def test_the_catalogue_has_the_new_price(ecs: Product) -> None:
    change(ecs, "9.0125", unit="hour")
    assert "Elastic Compute Service Earns referral credit Accepts credit Trial $9.0125 per hour" in read(
        register("alice"), CATALOGUE
    )


def test_a_regular_price_makes_an_offer_and_none_ends_it(ecs: Product) -> None:
    alice = register("alice")
    change(ecs, "5", regular="8.5")
    assert "$5.00 per month instead of $8.50" in read(alice, CATALOGUE)
    change(ecs, "5")
    assert "instead of" not in read(alice, CATALOGUE)


@pytest.mark.parametrize(
    ("price", "unit", "regular", "code"),
    [
        ("0", "month", None, "price"),
        ("-1", "month", None, "price"),
        ("0.00001", "month", None, "price"),
        ("100000000", "month", None, "price"),
        ("NaN", "month", None, "price"),
        ("1", "moon", None, "unit"),
        ("1", "", None, "unit"),
        ("1", "month", "1", "regular"),
        ("1", "month", "2.00001", "regular"),
    ],
)
def test_what_is_no_price_is_refused(ecs: Product, price: str, unit: str, regular: str | None, code: str) -> None:
    with pytest.raises(UnableToSetPrice) as refusal:
        change(ecs, price, unit=unit, regular=regular)
    assert refusal.value.code == code
    ecs.refresh_from_db()
    assert (ecs.price.amount, ecs.unit) == (Decimal("8.50"), "month")


def test_the_greatest_and_the_smallest_price_are_taken(ecs: Product) -> None:
    change(ecs, "99999999.9999")
    change(ecs, "0.0001", regular="0.0002")


def test_a_product_that_is_gone_has_no_price() -> None:
    with pytest.raises(UnableToSetPrice) as refusal:
        change(Product(pk=0), "1")
    assert refusal.value.code == "gone"


def staff(*permissions: str) -> Client:
    user = User.objects.create_user("price@example.com", is_staff=True, created_at=JANUARY)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return signed_in(user)


def answer(product: Product, **fields: str) -> dict[str, object]:
    return {"action": "change_price", "_selected_action": [product.pk], **fields}


def test_staff_are_asked_for_the_price_first(ecs: Product) -> None:
    desk = staff("view_product", "change_product")
    asked = desk.post(DESK, answer(ecs)).content.decode()
    assert "Set the price" in asked
    said = desk.post(DESK, answer(ecs, carry_out="yes", price="7.25", unit="month"), follow=True).content.decode()
    assert "Done for Elastic Compute Service." in said
    ecs.refresh_from_db()
    assert ecs.price.amount == Decimal("7.25")


def test_staff_who_may_only_look_set_no_price(ecs: Product) -> None:
    desk = staff("view_product")
    assert "change_price" not in desk.get(DESK).content.decode()
    desk.post(DESK, answer(ecs, carry_out="yes", price="7.25", unit="month"))
    ecs.refresh_from_db()
    assert ecs.price.amount == Decimal("8.50")

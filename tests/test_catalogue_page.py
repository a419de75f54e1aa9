"""The catalogue: what can be ordered, for how much, and which money pays for it; the address holds what is chosen."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from billing.models import Product
from tests.facts import register
from tests.markup import faults
from tests.pages import read, signed_in, words

pytestmark = pytest.mark.django_db

CATALOGUE = "/console/catalogue/"


@pytest.fixture
def alice() -> User:
    return register("alice")


def test_every_product_with_a_price_stands_under_its_family(alice: User) -> None:
    page = read(alice, CATALOGUE)
    for product in Product.objects.all():
        assert product.name in page, product
        assert product.family in page, product
    Product.objects.filter(code="waf").update(price=None, unit="")
    assert "Web Application Firewall" not in read(alice, CATALOGUE)


@pytest.mark.parametrize(
    ("sought", "row"),
    [
        (
            "Elastic Compute Service",
            "Elastic Compute Service Earns referral credit Accepts credit Trial $8.50 per month",
        ),
        ("content delivery", "Content Delivery Network Accepts credit Trial $0.041 per GB"),
        ("DNS", "DNS $1.20 per month"),
        ("first domain", "First domain for a year Special offer $0.99 per year instead of $11.99"),
        ("kms", "Key Management Service Earns referral credit Accepts credit Trial $0.03 per 1,000 calls"),
    ],
)
def test_a_product_stands_with_its_badges_and_its_price(alice: User, sought: str, row: str) -> None:
    assert row in read(alice, f"{CATALOGUE}?q={sought}")


def test_a_search_finds_every_word_in_name_code_and_family(alice: User) -> None:
    found = read(alice, f"{CATALOGUE}?q=GATEWAY+vpn")
    assert "VPN Gateway" in found
    assert "NAT Gateway" not in found
    assert "VPN Gateway" in read(alice, f"{CATALOGUE}?q=networking+vpn-gateway")
    assert "Nothing found" in read(alice, f"{CATALOGUE}?q=no+such+thing")


def test_a_family_stands_alone(alice: User) -> None:
    page = read(alice, f"{CATALOGUE}?family=Security")
    assert "Web Application Firewall" in page
    assert "PolarDB" not in page
    assert "Nothing found" in read(alice, f"{CATALOGUE}?family=Weather")


def test_text_and_family_hold_together(alice: User) -> None:
    page = read(alice, f"{CATALOGUE}?family=Networking&q=gateway")
    assert "NAT Gateway" in page
    assert "API Gateway" not in page
    assert "Elastic IP Address" not in page


def test_what_is_chosen_is_counted_and_summed_up_to_the_cent(alice: User) -> None:
    assert "Nothing chosen yet" in read(alice, CATALOGUE)
    # 0.019 x 25 is 0.475: half up, $0.48.
    assert "1 product · $0.48" in read(alice, f"{CATALOGUE}?item=oss:25")
    assert "2 products · $17.48" in read(alice, f"{CATALOGUE}?item=oss:25&item=ecs:2&item=nothing:9")


def test_a_form_becomes_an_address(alice: User) -> None:
    answer = signed_in(alice).get(f"{CATALOGUE}?q=+gpu+&family=&item=oss:25&quantity.ecs-gpu=3&quantity.ecs=&csrf=x")
    assert answer["Location"] == f"{CATALOGUE}?q=gpu&item=oss%3A25&item=ecs-gpu%3A3"


def test_a_search_keeps_what_is_chosen_and_not_shown(alice: User) -> None:
    page = signed_in(alice).get(f"{CATALOGUE}?q=gpu&item=oss:25&without=7").content.decode()
    assert '<input type="hidden" name="item" value="oss:25">' in page
    assert '<input type="hidden" name="without" value="7">' in page
    assert "1 product · $0.48" in words(page)


def test_its_markup_has_no_faults(alice: User) -> None:
    client = signed_in(alice)
    for address in (CATALOGUE, f"{CATALOGUE}?item=ecs:2&q=x", f"{CATALOGUE}?family=Special+offers"):
        assert faults(client.get(address).content.decode()) == []


def test_what_is_sought_is_no_markup(alice: User) -> None:
    page = signed_in(alice).get(f"{CATALOGUE}?q=%22%3E%3Cscript%3E&item=%3Cb%3E:1").content.decode()
    assert "<script>" not in page
    assert "<b>" not in page


def test_more_products_run_no_more_statements(alice: User) -> None:
    client = signed_in(alice)
    counts = []
    for number in range(2):
        Product.objects.bulk_create(
            Product(
                code=f"more-{number}-{n}", name="More", family="DNS", earns_credit=False, accepts_credit=False,
                accepts_trial=False, price=1, unit="month",
            )
            for n in range(100 * number)
        )  # fmt: skip
        with CaptureQueriesContext(connection) as statements:
            client.get(f"{CATALOGUE}?item=ecs:1")
        counts.append(len(statements))
    assert counts == [3, 3]


def test_visitors_are_asked_to_sign_in() -> None:
    assert Client().get(CATALOGUE)["Location"] == f"/accounts/login/?next={CATALOGUE}"

"""Nobody reads of another what is not theirs: a walk through the whole URLconf as two customers and as a visitor."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.urls import reverse
from djmoney.money import Money
from pytest_django import Settings

from accounts.models import IdentityVerification, User
from billing.gateways import Card
from billing.operations import add_card
from credits.models import Coupon
from credits.operations import redeem
from referrals.models import Referral
from referrals.operations import refuse, settle
from tests.facts import NOW, chargeback, day, fact, record, register
from tests.ordering import buy
from tests.pages import make_eligible
from tests.site_map import plain_addresses, routes, view_of, views_without_a_page, walk

pytestmark = pytest.mark.django_db(transaction=True)

# Pages that anybody may open, signed in or not.
FOR_ANYBODY = re.compile(r"^/($|accounts/|r/|dev/|free-trial/|terms/|privacy/|favicon|robots|api/|webhooks/)")
# Addresses below /accounts/ that only the holder of an account may open.
FOR_THE_HOLDER = ("/accounts/password/change/", "/accounts/password/set/", "/accounts/2fa/")

CANARY = "canary-xq7"
CARD_CANARY = re.compile(r"\b7351\b")
# What no customer but the friends bought.
PRODUCT = "PolarDB"


@dataclass(frozen=True)
class Strangers:
    """Two customers with friends, coupons and debts of their own, and no ties between them."""

    alice: User
    dora: User


@pytest.fixture
def strangers() -> Strangers:
    return Strangers(referrer_with_friends("alice"), referrer_with_friends("dora"))


def referrer_with_friends(name: str) -> User:
    """A referrer with a friend who was paid and charged back, one on the way and one refused; each is a canary."""
    referrer = register(name)
    make_eligible(referrer)
    friends = [register(f"{CANARY}-{name}-{n}", referred_by=referrer) for n in range(3)]
    IdentityVerification.objects.bulk_create(
        [
            IdentityVerification(
                customer=friend,
                legal_name=f"{CANARY} {friend.account_id}",
                submitted_digest=friend.account_id,
                submitted_at=NOW,
            )
            for friend in friends
        ]
    )
    for friend in friends:
        card = Card(f"pm-{friend.account_id}", "visa", "7351", 12, 2030, f"{CANARY}-{friend.account_id}")
        add_card(customer_id=friend.pk, gateway="sandbox", card=card, now=NOW)
    record(
        *(fact(friend, f"{friend.account_id}-pays", "25", day(1, 5), product="polardb") for friend in friends[:2]),
        fact(referrer, f"{name}-pays", "9", day(1, 6)),
    )
    settle(as_of=day(2, 10), now=NOW)
    redeem(
        source="test", redemption_id=f"order-of-{name}", customer_id=referrer.pk, amount=Money(15, "USD"),
        occurred_at=day(2, 11), now=NOW,
    )  # fmt: skip
    record(chargeback(friends[0], f"{friends[0].account_id}-back", "25", f"{friends[0].account_id}-pays", day(2, 12)))
    refuse(
        referral_id=Referral.objects.get(friend=friends[2]).pk, actor=None, reason=f"{CANARY} did it", now=day(2, 13)
    )
    settle(as_of=day(3, 1), now=NOW)
    buy(referrer, ecs=1)
    return referrer


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def answers(client: Client, *, more: list[str]) -> Iterator[tuple[str, str]]:
    """Every address that this reader finds, pages and files, and what it answers."""
    found: dict[str, str] = {}

    def fetch(address: str) -> str | None:
        answer = client.get(address)
        if answer.status_code != 200:
            return None
        found[address] = b"".join(answer).decode(errors="replace")
        return found[address] if answer.headers["Content-Type"].startswith("text/html") else ""

    walk(fetch, more=more)
    yield from found.items()


def objects_of(user: User) -> list[str]:
    """The addresses, with a part of their own, at which this customer finds something."""
    plain = set(plain_addresses())
    found = [address for address, _ in answers(signed_in(user), more=[])]
    return [
        address
        for address in found
        # The code that a reader's own link is drawn as has one address for everybody.
        if urlsplit(address).path not in plain and address.startswith("/console/") and view_of(address) != "console:qr"
    ]


def test_what_is_another_customers_is_not_found(strangers: Strangers) -> None:
    theirs, mine = objects_of(strangers.dora), objects_of(strangers.alice)
    assert {view_of(address) for address in theirs} >= {
        "console:friend",
        "console:coupon",
        "console:coupon_file",
        "console:order",
        "console:invoice",
    }
    client = signed_in(strangers.alice)
    for address in theirs:
        assert client.get(address).status_code == 404, address
        assert client.post(address).status_code in (403, 404, 405), address
    for address in mine:
        assert client.get(address).status_code == 200, address


def test_a_friend_does_not_find_what_is_their_referrers(strangers: Strangers) -> None:
    friend = Referral.objects.filter(referrer=strangers.alice)[0].friend
    client = signed_in(friend)
    for address in objects_of(strangers.alice):
        assert client.get(address).status_code == 404, address


def test_a_visitor_is_asked_to_sign_in_wherever_something_is_somebodys(strangers: Strangers) -> None:
    client = Client()
    for address in [*plain_addresses(), *objects_of(strangers.alice)]:
        if FOR_ANYBODY.match(address) and not address.startswith(FOR_THE_HOLDER):
            continue
        answer = client.get(address)
        if answer.status_code == 405:
            answer = client.post(address)
        assert answer.status_code == 302, address
        assert answer["Location"].startswith("/accounts/login/"), address


def test_a_friend_is_named_nowhere(strangers: Strangers) -> None:
    """Neither their address nor their name, their account or their payments; nor what they bought."""
    read = dict(answers(signed_in(strangers.alice), more=[]))
    assert {view_of(address) for address in read} >= {"console:refer", "console:friend", "console:coupons_file"}
    for address, text in read.items():
        assert CANARY not in text, address
        assert not CARD_CANARY.search(text), address
        # What can be ordered and what coupons buy is the catalogue, and so is what anybody may read.
        if not FOR_ANYBODY.match(address) and not address.startswith(("/console/catalogue/", "/console/coupons/")):
            assert PRODUCT not in text, address


def test_a_friend_reads_themselves(strangers: Strangers) -> None:
    """The control: what is sought in the referrer's pages is found in the friend's own."""
    friend = Referral.objects.filter(referrer=strangers.alice).earliest("pk").friend
    read = dict(answers(signed_in(friend), more=[]))
    assert CANARY in read["/console/"]
    assert CARD_CANARY.search(read["/console/payment-methods/"])
    assert PRODUCT in read["/console/orders/"]


def test_every_view_is_walked_through(strangers: Strangers, settings: Settings) -> None:
    settings.DEMO = True
    found = [dict(answers(signed_in(strangers.alice), more=[])), dict(answers(Client(), more=[invitation()]))]
    assert views_without_a_page([*found[0], *found[1]]) == set(), "link to them, or say in tests/site_map.py why not"


def invitation() -> str:
    return reverse("link", args=[Referral.objects.values_list("referrer__referral_link__code", flat=True)[0]])


def test_staff_pages_are_not_a_customers(strangers: Strangers) -> None:
    coupon = Coupon.objects.filter(customer=strangers.alice.pk)[0]
    for address in ("/admin/", f"/admin/credits/coupon/{coupon.pk}/change/", "/admin/accounts/user/"):
        assert signed_in(strangers.alice).get(address).status_code == 302


def test_the_map_has_the_views_of_the_site() -> None:
    assert {"landing", "console:overview", "console:friend", "account_login", "demo:mail"} <= set(routes())

"""The programme's page: its numbers, the operator's cards, and answers; all follows the terms and the catalogue."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Product
from referrals.models import BenefitCard, ProgrammeTerms
from tests.facts import register
from tests.markup import faults
from tests.newcomers import SIGN_UP, referrer
from tests.pages import words

pytestmark = pytest.mark.django_db

NEW_TERMS = {
    "payout": 21,
    "qualifying_threshold": "22.50",
    "payout_delay_days": 31,
    "bonus_rate": "0.125",
    "bonus_window_days": 91,
    "bonus_delay_days": 32,
    "cap_per_friend": 301,
    "credit_valid_days": 181,
    "trial_valid_days": 366,
    "welcome_individual": 6,
    "welcome_enterprise": 11,
    "trial_individual": 302,
    "trial_enterprise": 1203,
    "attribution_days": 33,
    "unconfirmed_days": 8,
}
NEW_FIGURES = {
    "/": "$21 $22.50 31 12.5% 91 32 $301 181 366 $6 $11 $302 $1,203 33",
    "/free-trial/": "$302 $1,203 366",
    "/terms/": "$21 $22.50 31 12.5% 91 32 $301 181 366 $6 $11 $302 $1,203 33 8",
    "/privacy/": "33 8 $22.50",
    SIGN_UP: "$302 $1,203 $6 $11 366 181 $22.50",
    "/r/nobody/": "$302 $1,203 366",
    "LINK": "$302 $1,203 $6 $11 366 181 $22.50",
}


def seen(client: Client, address: str) -> str:
    page = client.get(address).content.decode()
    assert faults(page) == []
    return words(page)


def questions(client: Client) -> dict[str, str]:
    page = client.get("/").content.decode()
    found = re.findall(r"<summary>(.*?)</summary>(.*?)</details>", page, flags=re.DOTALL)
    return {question: words(answer) for question, answer in found}


@pytest.mark.parametrize("address", NEW_FIGURES)
def test_every_page_follows_the_terms_in_force(client: Client, address: str) -> None:
    place = f"/r/{referrer('alice').code}/" if address == "LINK" else address
    before = seen(client, place)
    ProgrammeTerms.objects.create(starts_at=timezone.now() - timedelta(seconds=1), **NEW_TERMS)
    place = f"/r/{referrer('ann').code}/" if address == "LINK" else address
    if address == "/r/nobody/":
        place = "/r/nobody-else/"
    after = seen(client, place)
    for figure in NEW_FIGURES[address].split():
        alone = rf"(?<![\d.$]){re.escape(figure)}(?![\d%]|[.,]\d)"
        assert re.search(alone, after), figure
        assert not re.search(alone, before), figure
    if address != "/terms/":
        assert not re.search(r"\$300\b|\$1,200\b|\$5\b|\$10\b|\b90 days|\b365 days", after)


def test_terms_that_have_not_started_are_on_no_page(client: Client) -> None:
    before = {address: seen(client, address) for address in ("/", "/terms/", "/free-trial/")}
    ProgrammeTerms.objects.create(starts_at=timezone.now() + timedelta(days=1), **NEW_TERMS)
    assert {address: seen(client, address) for address in before} == before


def test_every_page_follows_the_catalogue(client: Client) -> None:
    Product.objects.filter(code="cdn").update(earns_credit=True)
    Product.objects.filter(family="Security").update(earns_credit=False)
    Product.objects.filter(code="simple-app-server").update(accepts_credit=True)
    Product.objects.filter(code="ecs").update(accepts_trial=False, name="Big Iron")
    for address in ("/", "/terms/"):
        page = seen(client, address)
        assert "Elastic Compute Service; Storage & CDN; Networking; Database Services; Analytics & Big Data." in page
        assert "Web Hosting, Domains, DNS, Marketplace, Special offers." in page
        assert "Simple Application Service, Web Hosting" not in page
    assert "from $4.50 a month. Credit pays for it, but it earns none." in seen(client, "/")
    trial = seen(client, "/free-trial/")
    assert "Try 43 products for free" in trial
    assert trial.index("What it does not pay for") < trial.index("Big Iron")
    assert "pays for 43 products" in seen(client, f"/r/{referrer('alice').code}/")


def test_products_that_count_are_named_with_their_exceptions(client: Client) -> None:
    answer = questions(client)["Which products count?"]
    assert "Storage & CDN (except Content Delivery Network); Networking" in answer
    assert "Simple Application Service" not in answer
    assert (
        "Simple Application Service, Web Hosting, Domains, DNS, Marketplace, Special offers."
        in questions(client)["How is credit used?"]
    )


def test_there_are_answers_to_what_people_ask(client: Client) -> None:
    answers = questions(client)
    assert len(answers) >= 8
    assert "$20 arrive 30 days after your friend has spent $20." in answers["When does my credit arrive?"]
    assert "Each coupon 180 days" in answers["How long is credit valid?"]
    page = client.get("/").content.decode()
    for place in ("refer", "coupons", "orders", "payment-methods"):
        assert f'<a href="/console/{place}/">Billing Management › ' in page
    assert '<a href="/console/verification/">Account › Verification</a>' in page


def test_button_leads_a_visitor_past_the_log_in_and_a_customer_straight_to_the_link(client: Client) -> None:
    def button() -> str:
        found = re.search(
            r'<a class="button" href="([^"]*)">Get My Referral Link</a>', client.get("/").content.decode()
        )
        assert found
        return found[1]

    assert button() == "/accounts/login/?next=/console/refer/"
    client.force_login(register("alice"))
    assert button() == "/console/refer/"


def test_operator_is_a_setting(client: Client, settings: object) -> None:
    settings.OPERATOR_NAME = "Nimbus"  # type: ignore[attr-defined]
    assert "© Nimbus" in seen(client, "/")


def cards(client: Client) -> list[str]:
    page = client.get("/").content.decode()
    return [words(card) for card in re.findall(r'<li class="card benefit">(.*?)</li>', page, flags=re.DOTALL)]


def test_first_cards_are_the_trial_the_server_and_china(client: Client) -> None:
    trial, server, china = cards(client)
    assert trial.startswith("Free trial $300 for individuals and $1,200 for enterprises, valid 365 days")
    assert server.startswith("Simple Application Server")
    assert "from $4.50 a month. Neither earns nor accepts credit." in server
    assert china.startswith("Entering the China market")


def test_the_servers_price_is_the_catalogues(client: Client) -> None:
    Product.objects.filter(code="simple-app-server").update(price="3.99")
    assert "from $3.99 a month." in cards(client)[1]


def test_cards_are_the_operators_in_their_order(client: Client) -> None:
    BenefitCard.objects.filter(title="Entering the China market").update(position=0)
    BenefitCard.objects.filter(title="Free trial").update(is_visible=False)
    BenefitCard.objects.create(
        title="<b>", text="At most {cap_per_friend}, {x}.", link="https://example.com/", link_label="Go", position=9
    )
    assert [card.split()[0] for card in cards(client)] == ["Entering", "Simple", "<b>"]
    assert cards(client)[2] == "<b> At most $300, {x}. Go"


def test_pages_link_to_terms_and_privacy(client: Client) -> None:
    for address in ("/", SIGN_UP, "/r/nobody/"):
        page = client.get(address).content.decode()
        assert 'href="/terms/"' in page
        assert 'href="/privacy/"' in page

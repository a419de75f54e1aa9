"""Who is the referrer of a newcomer (TERMS: What a new customer gets)."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client

from accounts.models import User
from referrals.models import ProgrammeTerms, Referral
from referrals.operations import switch_link_off
from tests.newcomers import NOW, SIGN_UP, confirm, fill_in, referrer, sign_up, sign_up_form

pytestmark = pytest.mark.django_db(transaction=True)


def referrer_of(user: User) -> User | None:
    referral = Referral.objects.filter(friend=user).first()
    return referral.referrer if referral else None


def test_cookie_is_signed_out_of_reach_of_scripts_and_kept_for_30_days(client: Client) -> None:
    link = referrer("alice")
    cookie = client.get(f"/r/{link.code}/").cookies["referral"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["max-age"] == 30 * 24 * 3600


def test_cookie_is_secure_in_production(client: Client, settings: object) -> None:
    settings.PRODUCTION = True  # type: ignore[attr-defined]
    link = referrer("alice")
    assert client.get(f"/r/{link.code}/").cookies["referral"]["secure"]


def test_tampered_cookie_brings_no_code(client: Client) -> None:
    alice, ann = referrer("alice"), referrer("ann")
    client.get(f"/r/{alice.code}/")
    client.cookies["referral"] = client.cookies["referral"].value.replace(alice.code, ann.code)
    assert client.get(SIGN_UP).context["form"]["referral_code"].value() == ""
    assert referrer_of(sign_up(client, "bob@example.com")) is None


def test_a_code_of_nobody_in_the_address_does_not_cost_the_link_visited(client: Client) -> None:
    alice = referrer("alice")
    client.get(f"/r/{alice.code}/")
    for address in (f"{SIGN_UP}?code=nobody", f"{SIGN_UP}?code=%00", f"{SIGN_UP}?code="):
        assert client.get(address).context["form"]["referral_code"].value() == alice.code


def test_a_link_in_the_address_counts_as_the_one_visited_last(client: Client) -> None:
    """One that is switched off brings nothing then, as its page does."""
    alice, ann = referrer("alice"), referrer("ann")
    client.get(f"/r/{alice.code}/")
    address = f"{SIGN_UP}?code={ann.code}"
    assert client.get(address).context["form"]["referral_code"].value() == ann.code
    switch_link_off(user_id=ann.owner_id, actor=None, reason="x", now=NOW)
    assert client.get(address).context["form"]["referral_code"].value() == ""


@pytest.mark.parametrize(
    ("later", "counts"),
    [(timedelta(days=30, seconds=-1), True), (timedelta(days=30), False)],
)
def test_visit_counts_for_30_days(client: Client, later: timedelta, counts: bool) -> None:
    link = referrer("alice")
    with time_machine.travel(NOW, tick=False):
        client.get(f"/r/{link.code}/")
    kept = client.cookies["referral"].value
    with time_machine.travel(NOW + later, tick=False):
        # A browser that keeps the cookie longer than it was told to.
        client.cookies["referral"] = kept
        bob = sign_up(client, "bob@example.com")
    assert referrer_of(bob) == (link.owner if counts else None)


def test_days_of_attribution_are_those_of_the_terms_in_force(client: Client) -> None:
    ProgrammeTerms.objects.create(starts_at=NOW, attribution_days=2)
    link = referrer("alice")
    with time_machine.travel(NOW, tick=False):
        client.get(f"/r/{link.code}/")
    kept = client.cookies["referral"].value
    with time_machine.travel(NOW + timedelta(days=2), tick=False):
        client.cookies["referral"] = kept
        assert client.get(SIGN_UP).context["form"]["referral_code"].value() == ""


def test_last_link_visited_wins(client: Client) -> None:
    alice, ann = referrer("alice"), referrer("ann")
    client.get(f"/r/{alice.code}/")
    client.get(f"/r/{ann.code}")
    assert referrer_of(sign_up(client, "bob@example.com")) == ann.owner


def test_typed_code_wins_over_the_link(client: Client) -> None:
    alice, ann = referrer("alice"), referrer("ann")
    client.get(f"/r/{alice.code}/")
    bob = sign_up(client, "bob@example.com", referral_code=f"  {ann.code.upper()} ")
    assert referrer_of(bob) == ann.owner
    assert bob.signup_attribution == {"code": ann.code, "typed": True}


def test_whole_link_may_be_typed(client: Client) -> None:
    link = referrer("alice")
    bob = sign_up(client, "bob@example.com", referral_code=f"https://cloud.example/r/{link.code}/")
    assert referrer_of(bob) == link.owner


@pytest.mark.parametrize("end", ["?utm_source=mail", "/?utm_source=mail&x=/y", "/#a", "#/a", "/?a#b"])
def test_whole_link_may_have_what_mailers_add(client: Client, end: str) -> None:
    link = referrer("alice")
    bob = sign_up(client, "bob@example.com", referral_code=f"https://cloud.example/r/{link.code}{end}")
    assert referrer_of(bob) == link.owner


def test_link_last_visited_that_is_switched_off_brings_no_earlier_one(client: Client) -> None:
    alice, ann = referrer("alice"), referrer("ann")
    switch_link_off(user_id=ann.owner_id, actor=None, reason="asked", now=NOW)
    client.get(f"/r/{alice.code}/")
    client.get(f"/r/{ann.code}/")
    assert client.get(SIGN_UP).context["form"]["referral_code"].value() == ""
    bob = sign_up(client, "bob@example.com")
    assert referrer_of(bob) is None
    assert bob.signup_attribution == {}


def test_address_that_is_no_link_forgets_none(client: Client) -> None:
    link = referrer("alice")
    client.get(f"/r/{link.code}/")
    client.get("/r/nobody/")
    assert referrer_of(sign_up(client, "bob@example.com")) == link.owner


def brought_without_cookies(client: Client, code: str, **changed: str) -> dict[str, object]:
    """The attribution of a sign-up by the form of a link's page, in a browser that keeps no cookies of it."""
    form = sign_up_form(client.get(f"/r/{code}/").content.decode())
    brought = {name: form[name] for name in ("referral_code", "brought_code")}
    return dict(sign_up(Client(), "bob@example.com", **brought | changed).signup_attribution)


def test_code_that_the_page_brought_is_not_typed(client: Client) -> None:
    code = referrer("alice").code
    assert brought_without_cookies(client, code) == {"code": code, "typed": False}


def test_code_in_place_of_the_one_that_the_page_brought_is_typed(client: Client) -> None:
    alice, ann = referrer("alice").code, referrer("ann").code
    assert brought_without_cookies(client, alice, referral_code=ann) == {"code": ann, "typed": True}


@pytest.mark.parametrize("signature", ["", "{code}", "{code}:forged"])
def test_page_cannot_be_made_to_have_brought_a_code(client: Client, signature: str) -> None:
    code = referrer("alice").code
    forged = signature.format(code=code)
    assert brought_without_cookies(client, code, brought_code=forged) == {"code": code, "typed": True}


def test_cleared_code_means_no_referrer(client: Client) -> None:
    link = referrer("alice")
    client.get(f"/r/{link.code}/")
    bob = sign_up(client, "bob@example.com", referral_code="")
    assert referrer_of(bob) is None
    assert bob.signup_attribution == {}


def test_code_in_the_form_survives_a_browser_that_forgets_the_link(client: Client) -> None:
    link = referrer("alice")
    code = sign_up_form(client.get(f"/r/{link.code}/").content.decode())["referral_code"]
    assert referrer_of(sign_up(Client(), "bob@example.com", referral_code=code)) == link.owner


@pytest.mark.parametrize("switched_off", [True, False])
def test_code_that_does_not_work_is_an_error_that_keeps_the_form(client: Client, switched_off: bool) -> None:
    code = "nobody"
    if switched_off:
        link = referrer("alice")
        switch_link_off(user_id=link.owner_id, actor=None, reason="asked", now=NOW)
        code = link.code
    response = fill_in(client, "bob@example.com", referral_code=code)
    assert response.status_code == 200
    assert "referral_code" in response.context["form"].errors
    assert response.context["form"]["email"].value() == "bob@example.com"
    assert not User.objects.filter(email="bob@example.com").exists()


def test_link_switched_off_before_the_address_is_confirmed_brings_no_referrer(client: Client) -> None:
    link = referrer("alice")
    client.get(f"/r/{link.code}/")
    fill_in(client, "bob@example.com")
    switch_link_off(user_id=link.owner_id, actor=None, reason="asked", now=NOW)
    confirm(client)
    bob = User.objects.get(email="bob@example.com")
    assert bob.registered_at is not None
    assert referrer_of(bob) is None


def test_link_visited_and_switched_off_since_is_not_brought(client: Client) -> None:
    link = referrer("alice")
    client.get(f"/r/{link.code}/")
    switch_link_off(user_id=link.owner_id, actor=None, reason="asked", now=NOW)
    assert referrer_of(sign_up(client, "bob@example.com")) is None


def test_referrer_is_for_good(client: Client) -> None:
    alice, ann = referrer("alice"), referrer("ann")
    client.get(f"/r/{alice.code}/")
    bob = sign_up(client, "bob@example.com")
    client.get(f"/r/{ann.code}/")
    assert referrer_of(bob) == alice.owner
